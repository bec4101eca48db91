#include "config.h"

#include "proto/forwarded.h"

#include "base/ascii.h"

#include <arpa/inet.h>
#include <string.h>

#define EMPTY ((struct slice){"", 0})

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

static struct slice trim_end(struct slice s) {
    while (s.n && is_blank(s.p[s.n - 1]))
        s.n--;
    return s;
}

static struct slice trim(struct slice s) {
    while (s.n && is_blank(s.p[0])) {
        s.p++;
        s.n--;
    }
    return trim_end(s);
}

/* For a value without quotes. RFC 7239 requires quotes around addresses and hosts, but they are often left out. */
static bool is_plain_char(char c) {
    return c > ' ' && c < 0x7f && !strchr("\"\\,;", c);
}

/* Whether the quote at s.p[at] begins or ends a string; one after a backslash does not. */
static bool is_quote(struct slice s, size_t at) {
    size_t escape = at;
    while (escape && s.p[escape - 1] == '\\')
        escape--;
    return s.p[at] == '"' && (at - escape) % 2 == 0;
}

/* The quote that begins the string which ends with that at s.p[end], or 0. */
static size_t string_begins(struct slice s, size_t end) {
    size_t at = end;
    while (at-- > 0) {
        if (s.p[at] == '"' && is_quote(s, at))
            return at;
    }
    return 0;
}

/* A pair of Forwarded: token "=" ( token / quoted-string ), or nothing at all (RFC 7239, 4). */
struct pair {
    size_t begin;       /* where it stands in the text */
    struct slice name;  /* empty: there is no pair between two separators */
    struct slice value; /* without its quotes */
    bool first;         /* nothing stands in front of it, */
    char separator;     /* or this does */
};

/* Finds the last pair's name and value; s ends with something. */
static bool read_pair(struct slice s, struct pair *pair) {
    size_t begin = s.n, equals;
    bool quoted = s.p[s.n - 1] == '"';
    if (quoted) {
        size_t quote = is_quote(s, s.n - 1) ? string_begins(s, s.n - 1) : 0;
        if (!quote || s.p[quote - 1] != '=')
            return false;
        begin = equals = quote - 1;
        pair->value = (struct slice){s.p + quote + 1, s.n - quote - 2};
        while (begin && ascii_is_token_char(s.p[begin - 1]))
            begin--;
    } else {
        while (begin && is_plain_char(s.p[begin - 1]))
            begin--;
        for (equals = begin; equals < s.n && ascii_is_token_char(s.p[equals]);)
            equals++;
        if (equals == s.n ? begin < s.n : s.p[equals] != '=')
            return false;
        pair->value = equals < s.n ? (struct slice){s.p + equals + 1, s.n - equals - 1} : EMPTY;
    }
    pair->begin = begin;
    pair->name = (struct slice){s.p + begin, equals - begin};
    return pair->name.n || (!quoted && begin == s.n);
}

/* Removes the last pair from *rest, with the separator in front of it. Returns false if it is not a pair.
 *
 * Read from its end, the text means what the nearest proxy has written, whatever comes before that. A quote that was
 * left open there, by a client for example, cannot make a string of it. */
static bool take_pair(struct slice *rest, struct pair *pair) {
    struct slice s = trim_end(*rest);
    *pair = (struct pair){.name = EMPTY, .value = EMPTY, .first = true};
    if (s.n && !read_pair(s, pair))
        return false;
    *rest = trim_end((struct slice){s.p, pair->begin});
    if (!rest->n)
        return true;
    pair->first = false;
    pair->separator = rest->p[--rest->n];
    return pair->separator == ',' || pair->separator == ';';
}

/* Removes the last element from *rest. Returns false if it is no element. */
static bool take_element(struct slice *rest, struct slice *element) {
    struct slice all = trim_end(*rest);
    struct pair pair;
    size_t begin = all.n;
    do {
        if (!take_pair(rest, &pair))
            return false;
        if (pair.name.n)
            begin = pair.begin;
    } while (!pair.first && pair.separator == ';');
    *element = (struct slice){all.p + begin, all.n - begin};
    return true;
}

static void push(struct forwarded_list *list, struct slice item) {
    if (!item.n)
        return; /* RFC 9110, 5.6.1: empty elements do not count */
    if (list->count == FORWARDED_HOPS) {
        memmove(list->items, list->items + 1, sizeof list->items - sizeof *list->items);
        list->count--;
    }
    list->items[list->count++] = item;
}

void forwarded_append(struct forwarded_list *list, struct slice value) {
    while (value.n) {
        const char *comma = memchr(value.p, ',', value.n);
        size_t n = comma ? (size_t)(comma - value.p) : value.n, used = n + (comma != NULL);
        push(list, trim((struct slice){value.p, n}));
        value.p += used;
        value.n -= used;
    }
}

void forwarded_append_elements(struct forwarded_list *list, struct slice value) {
    struct slice found[FORWARDED_HOPS]; /* the nearest one first */
    size_t count = 0;
    while (value.n && count < FORWARDED_HOPS) {
        if (!take_element(&value, &found[count])) {
            list->count = 0;
            break;
        }
        count += found[count].n > 0;
    }
    while (count)
        push(list, found[--count]);
}

static bool take_port(struct slice text, in_port_t *port) {
    unsigned number = 0;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9' || number > 65535)
            return false;
        number = number * 10 + (unsigned)(text.p[i] - '0');
    }
    *port = htons((uint16_t)number);
    return text.n && number <= 65535;
}

static struct slice unquote(struct slice s) {
    if (s.n >= 2 && s.p[0] == '"' && s.p[s.n - 1] == '"')
        return (struct slice){s.p + 1, s.n - 2};
    return s;
}

bool forwarded_address(struct slice text, union peer_address *address) {
    char name[INET6_ADDRSTRLEN];
    struct slice host = unquote(text), port = EMPTY;
    const char *close = host.n && host.p[0] == '[' ? memchr(host.p, ']', host.n) : NULL;
    const char *colon = host.n ? memchr(host.p, ':', host.n) : NULL, *end = host.p + host.n;
    bool v6 = close || (colon && memchr(colon + 1, ':', (size_t)(end - colon - 1)));
    *address = (union peer_address){0};
    if (close) {
        if (close + 1 < end && (close[1] != ':' || close + 2 == end))
            return false;
        port = close + 1 < end ? (struct slice){close + 2, (size_t)(end - close - 2)} : EMPTY;
        host = (struct slice){host.p + 1, (size_t)(close - host.p) - 1};
    } else if (colon && !v6) {
        port = (struct slice){colon + 1, (size_t)(end - colon) - 1};
        host.n = (size_t)(colon - host.p);
        if (!port.n)
            return false;
    }
    if (!host.n || host.n >= sizeof name ||
        (port.n && !take_port(port, v6 ? &address->in6.sin6_port : &address->in.sin_port)))
        return false;
    memcpy(name, host.p, host.n);
    name[host.n] = '\0';
    address->sa.sa_family = v6 ? AF_INET6 : AF_INET;
    return inet_pton(address->sa.sa_family, name,
                     v6 ? (void *)&address->in6.sin6_addr : (void *)&address->in.sin_addr) == 1;
}

struct slice forwarded_parameter(struct slice element, const char *name) {
    size_t n = strlen(name);
    struct pair pair;
    while (element.n && take_pair(&element, &pair)) {
        if (pair.name.n == n && ascii_equals_nocase(pair.name.p, name, n))
            return pair.value.n && memchr(pair.value.p, '\\', pair.value.n) ? EMPTY : pair.value;
    }
    return EMPTY;
}
