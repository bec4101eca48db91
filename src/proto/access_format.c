#include "config.h"

#include "proto/access_format.h"

#include "base/ascii.h"

#include <string.h>

#define NAME_TEXT(name, text) [ACCESS_##name] = (text),
static const char *const names[ACCESS_NAMED_COUNT] = {ACCESS_FIELDS_JSON(NAME_TEXT) ACCESS_FIELDS_TEXT(NAME_TEXT)};
#undef NAME_TEXT

static const char combined[] =
    "{client} - {user} [{time}] \"{request}\" {status} {bytes_clf} \"{referer}\" \"{user_agent}\"";

const char *access_field_name(enum access_field field) {
    return names[field];
}

struct compiler {
    struct access_format *f;
    struct access_error *error;
    const char *text, *pos;
    struct slice literal; /* since the last field, in f->text */
};

static enum access_mistake mistake(struct compiler *c, enum access_mistake which, const char *at, size_t n) {
    *c->error = (struct access_error){.what = {at, n}, .at = (size_t)(at - c->text)};
    return which;
}

static char *take_text(struct access_format *f, size_t n) {
    if (n > ACCESS_TEXT_SIZE - f->ntext)
        return NULL;
    f->ntext += n;
    return f->text + f->ntext - n;
}

static bool put_literal(struct compiler *c, char byte) {
    char *to = take_text(c->f, 1);
    if (!to)
        return false;
    *to = byte;
    if (!c->literal.n)
        c->literal.p = to;
    c->literal.n++;
    return true;
}

/* The index of a parameter that is looked for, or ACCESS_PARAMS if there is no room. `name` must stay. */
static unsigned find_param(struct access_format *f, struct slice name) {
    unsigned i = 0;
    while (i < f->nparams && (f->params[i].n != name.n || memcmp(f->params[i].p, name.p, name.n) != 0))
        i++;
    if (i == ACCESS_PARAMS)
        return i;
    if (i == f->nparams)
        f->params[f->nparams++] = name;
    f->lengths |= UINT64_C(1) << name.n;
    return i;
}

/* What fields of their own look for among the parameters. */
static struct slice param_of(enum access_field field) {
    switch (field) {
    case ACCESS_USER:
        return LITERAL("REMOTE_USER");
    case ACCESS_HOST:
        return LITERAL("HTTP_HOST");
    case ACCESS_REFERER:
        return LITERAL("HTTP_REFERER");
    case ACCESS_USER_AGENT:
        return LITERAL("HTTP_USER_AGENT");
    default:
        return (struct slice){NULL, 0};
    }
}

static bool add_step(struct compiler *c, enum access_field field, struct slice param, struct slice name) {
    struct access_format *f = c->f;
    if (f->count == ACCESS_STEPS)
        return false;
    struct access_step *step = &f->steps[f->count++];
    *step = (struct access_step){.before = c->literal, .field = field, .name = name};
    c->literal.n = 0;
    f->uses[field] = true;
    if (!param.n)
        return true;
    step->param = find_param(f, param);
    return step->param < ACCESS_PARAMS;
}

static bool is_name(struct slice name) {
    size_t n = 0;
    while (n < name.n && ascii_is_token_char(name.p[n]))
        n++;
    return n && n == name.n;
}

static char upper(char c) {
    return c == '-' ? '_' : c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

/* As CGI names it (RFC 3875, 4.1.18). Two have no HTTP_ in front (4.1.2, 4.1.3). */
static struct slice header_param(struct access_format *f, struct slice name) {
    char *to = take_text(f, 5 + name.n);
    if (!to)
        return (struct slice){NULL, 0};
    memcpy(to, "HTTP_", 5);
    for (size_t i = 0; i < name.n; i++)
        to[5 + i] = upper(name.p[i]);
    struct slice param = {to, 5 + name.n}, bare = {to + 5, name.n};
    const bool has_no_prefix = (bare.n == 12 && !memcmp(bare.p, "CONTENT_TYPE", 12)) ||
                               (bare.n == 14 && !memcmp(bare.p, "CONTENT_LENGTH", 14));
    return has_no_prefix ? bare : param;
}

static bool is_word(struct slice s, const char *word) {
    return s.n == strlen(word) && !memcmp(s.p, word, s.n);
}

/* {header:NAME} and the like. */
static enum access_mistake add_argument(struct compiler *c, struct slice kind, struct slice name) {
    struct slice param = name, none = {NULL, 0};
    enum access_field field = ACCESS_PARAM;
    if (is_word(kind, "answer"))
        field = ACCESS_ANSWER;
    else if (!is_word(kind, "header") && !is_word(kind, "environ"))
        return mistake(c, ACCESS_UNKNOWN, kind.p, kind.n);
    if (!is_name(name) || name.n > ACCESS_NAME_MAX - 5)
        return mistake(c, ACCESS_BAD_NAME, name.p, name.n);
    if (is_word(kind, "header"))
        param = header_param(c->f, name);
    if (!param.n || !add_step(c, field, field == ACCESS_PARAM ? param : none, name))
        return mistake(c, ACCESS_LONG, kind.p, kind.n);
    return ACCESS_FINE;
}

static enum access_mistake add_named(struct compiler *c, struct slice name, bool has_argument) {
    if (!has_argument && (is_word(name, "header") || is_word(name, "answer") || is_word(name, "environ")))
        return mistake(c, ACCESS_NEEDS_NAME, name.p, name.n);
    for (unsigned i = 0; i < ACCESS_NAMED_COUNT; i++) {
        if (!is_word(name, names[i]))
            continue;
        if (has_argument)
            return mistake(c, ACCESS_TAKES_NO_NAME, name.p, name.n);
        bool added = add_step(c, (enum access_field)i, param_of((enum access_field)i), (struct slice){NULL, 0});
        return added ? ACCESS_FINE : mistake(c, ACCESS_LONG, name.p, name.n);
    }
    return mistake(c, ACCESS_UNKNOWN, name.p, name.n);
}

/* Behind an opening brace. */
static enum access_mistake add_field(struct compiler *c) {
    const char *from = c->pos, *end = strpbrk(from, "{}");
    if (!end || *end != '}')
        return mistake(c, ACCESS_OPEN, from - 1, 1);
    const char *colon = memchr(from, ':', (size_t)(end - from));
    struct slice name = {from, (size_t)((colon ? colon : end) - from)};
    c->pos = end + 1;
    enum access_mistake wrong = add_named(c, name, colon != NULL);
    if (wrong == ACCESS_UNKNOWN && colon)
        return add_argument(c, name, (struct slice){colon + 1, (size_t)(end - colon - 1)});
    return wrong;
}

static enum access_mistake add_next(struct compiler *c) {
    const char byte = *c->pos++;
    const bool is_brace = byte == '{' || byte == '}';
    if (is_brace && *c->pos != byte)
        return byte == '{' ? add_field(c) : mistake(c, ACCESS_CLOSED, c->pos - 1, 1);
    c->pos += is_brace;
    if (((unsigned char)byte < ' ' && byte != '\t') || byte == 0x7f)
        return mistake(c, ACCESS_CONTROL, c->pos - 1, 1);
    return put_literal(c, byte) ? ACCESS_FINE : mistake(c, ACCESS_LONG, c->pos - 1, 1);
}

static bool put_literals(struct compiler *c, const char *text) {
    while (*text && put_literal(c, *text))
        text++;
    return !*text;
}

/* Its keys are the names of the fields, but for the time, of which there is only one. */
static bool add_json(struct compiler *c) {
    for (unsigned i = 0; i < ACCESS_JSON_COUNT; i++) {
        const enum access_field field = (enum access_field)i;
        if (!put_literals(c, i ? ",\"" : "{\"") || !put_literals(c, field == ACCESS_TIME_ISO ? "time" : names[i]) ||
            !put_literals(c, "\":") || !add_step(c, field, param_of(field), (struct slice){NULL, 0}))
            return false;
    }
    return put_literals(c, "}");
}

/* What follows each field is what stands in front of the next one. */
static void set_stops(struct access_format *f) {
    for (unsigned i = 0; i < f->count; i++) {
        const struct slice *behind = i + 1 < f->count ? &f->steps[i + 1].before : &f->after;
        f->steps[i].stop = behind->n ? (unsigned char)behind->p[0] : 0;
    }
}

enum access_mistake access_format_compile(struct access_format *f, const char *text, struct access_error *error) {
    struct compiler c = {.f = f, .error = error, .text = text, .literal = {f->text, 0}};
    memset(f, 0, sizeof *f);
    f->json = !strcmp(text, "json");
    if (f->json && !add_json(&c))
        return mistake(&c, ACCESS_LONG, text, strlen(text)); /* not before there are many more fields */
    c.pos = f->json ? "" : !strcmp(text, "combined") ? combined : text;
    while (*c.pos) {
        enum access_mistake wrong = add_next(&c);
        if (wrong)
            return wrong;
    }
    f->after = c.literal;
    if (!f->count)
        return mistake(&c, ACCESS_NO_FIELD, text, strlen(text));
    set_stops(f);
    return ACCESS_FINE;
}
