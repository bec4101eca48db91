/* Which form somebody wants. */
#include "config.h"

#include "status/forms.h"

#include "base/ascii.h"

#include <string.h>

struct text {
    const char *at;
    size_t len;
};

/* The names of ?format=, and what each form is for Accept. Where a client likes several equally, the earlier one. */
static const struct {
    const char *name, *type;
    const char *version; /* a parameter of the type that a client must name; "": may, and must not if it is NULL */
    enum status_form form;
} kinds[] = {
    {"text", "text/plain", NULL, STATUS_TEXT},
    {"json", "application/json", NULL, STATUS_JSON},
    {"html", "text/html", NULL, STATUS_HTML},
    {"openmetrics", "application/openmetrics-text", "", STATUS_OPENMETRICS},
    {"prometheus", "text/plain", "0.0.4", STATUS_PROMETHEUS},
    {"health", NULL, NULL, STATUS_HEALTH}, /* which nobody gets without having asked for it by name */
};

enum { KINDS = sizeof kinds / sizeof kinds[0] };

static bool equals(struct text t, const char *word) {
    return t.len == strlen(word) && ascii_equals_nocase(t.at, word, t.len);
}

/* Takes what stands in front of the next `separator` off *rest, without blanks around it. */
static struct text take(struct text *rest, char separator) {
    const char *end = rest->len ? memchr(rest->at, separator, rest->len) : NULL;
    struct text part = {rest->at, end ? (size_t)(end - rest->at) : rest->len};
    rest->at += part.len + (end != NULL);
    rest->len -= part.len + (end != NULL);
    while (part.len && ascii_is_space(part.at[0])) {
        part.at++;
        part.len--;
    }
    while (part.len && ascii_is_space(part.at[part.len - 1]))
        part.len--;
    return part;
}

/* A weight in thousandths (RFC 9110, 12.4.2). One that makes no sense is none at all. */
static unsigned read_weight(struct text t) {
    unsigned weight = 0, unit = 1000;
    for (size_t i = 0; i < t.len && i < 5; i++) {
        if (t.at[i] == '.')
            continue;
        if (!ascii_is_digit(t.at[i]))
            return 1000;
        weight += (unsigned)(t.at[i] - '0') * unit;
        unit /= 10;
    }
    return weight < 1000 ? weight : 1000;
}

/* One range of an Accept field: "text/plain;version=0.0.4;q=0.3". */
struct range {
    struct text type, version;
    unsigned weight;
};

static struct range read_range(struct text t) {
    struct range r = {.type = take(&t, ';'), .weight = 1000};
    while (t.len) {
        struct text value = take(&t, ';'), name = take(&value, '=');
        if (equals(name, "q"))
            r.weight = read_weight(value);
        else if (equals(name, "version"))
            r.version = value;
    }
    return r;
}

/* How closely a range names a kind; 0: it does not. */
static unsigned closeness(const struct range *r, unsigned kind) {
    const char *type = kinds[kind].type, *slash = type ? strchr(type, '/') : NULL;
    if (!slash)
        return 0;
    const size_t major = (size_t)(slash - type) + 1;
    if (equals(r->type, type)) {
        const char *version = kinds[kind].version;
        const bool is_it = version ? !*version || equals(r->version, version) : !r->version.len;
        return is_it ? 3 : 0;
    }
    if (r->type.len == major + 1 && ascii_equals_nocase(r->type.at, type, major) && r->type.at[major] == '*')
        return 2;
    return equals(r->type, "*/*");
}

/* The closest range gives a kind its weight; of kinds with the same, that one is taken which is named more closely,
 * then that which is named first, then that which stands first in the table. */
static enum status_form choose_by_accept(struct text accept) {
    struct {
        unsigned closeness, weight, position;
    } found[KINDS] = {{0, 0, 0}};
    for (unsigned position = 0; accept.len; position++) {
        struct text part = take(&accept, ',');
        const struct range r = read_range(part);
        for (unsigned k = 0; k < KINDS; k++) {
            const unsigned c = closeness(&r, k);
            if (c > found[k].closeness) {
                found[k].closeness = c;
                found[k].weight = r.weight;
                found[k].position = position;
            }
        }
    }
    unsigned best = 0;
    for (unsigned k = 1; k < KINDS; k++) {
        if (found[k].weight != found[best].weight         ? found[k].weight > found[best].weight
            : found[k].closeness != found[best].closeness ? found[k].closeness > found[best].closeness
                                                          : found[k].position < found[best].position)
            best = k;
    }
    return kinds[best].form;
}

/* The value of the last parameter of this name. */
static bool find_parameter(struct text query, const char *name, struct text *value) {
    bool found = false;
    while (query.len) {
        struct text part = take(&query, '&'), key = take(&part, '=');
        if (equals(key, name)) {
            *value = part;
            found = true;
        }
    }
    return found;
}

enum status_form status_choose(const char *accept, size_t accept_len, const char *query, size_t query_len) {
    const enum status_form by_accept = choose_by_accept((struct text){accept, accept_len});
    struct text format;
    if (!find_parameter((struct text){query, query_len}, "format", &format))
        return by_accept;
    for (unsigned k = 0; k < KINDS; k++) {
        /* Prometheus, asking for its own, still says by Accept which of the two it reads. */
        if (equals(format, kinds[k].name))
            return kinds[k].form == STATUS_PROMETHEUS && by_accept == STATUS_OPENMETRICS ? by_accept : kinds[k].form;
    }
    return STATUS_UNKNOWN;
}

bool status_wants_stacks(enum status_form form, const char *query, size_t query_len) {
    struct text value;
    return (form == STATUS_TEXT || form == STATUS_JSON || form == STATUS_HTML || form == STATUS_HEALTH) &&
           !(find_parameter((struct text){query, query_len}, "stacks", &value) && equals(value, "0"));
}

int form_unknown(struct buf *out) {
    static const char begin[] = "?format= is one of:";
    int failed = buf_append(out, begin, sizeof begin - 1);
    for (unsigned k = 0; k < KINDS; k++)
        failed |= buf_append(out, " ", 1) | buf_append(out, kinds[k].name, strlen(kinds[k].name));
    return failed | buf_append(out, "\n", 1) ? -1 : 0;
}
