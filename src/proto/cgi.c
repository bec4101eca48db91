#include "config.h"

#include "proto/cgi.h"

#include "base/ascii.h"
#include "base/hash.h"
#include "proto/cgi_names.h"
#include "proto/cgi_paths.h"
#include "proto/cgi_rules.h"
#include "proto/http_target.h"

#include <string.h>

#define EMPTY LITERAL("")

/* The value of a variable that was not sent; its address tells it from one that was sent empty. */
static const char none[] = "";

/* The rules of cgi_rules.h. */
static bool is_good(enum cgi_var var, struct slice value) {
    switch (var) {
    case CGI_VAR_FIELD:
    case CGI_VAR_HTTP_TRACEPARENT:
    case CGI_VAR_HTTP_TRACESTATE:
    case CGI_VAR_HTTP_X_REQUEST_ID:
        return cgi_is_field_value(value);
    case CGI_VAR_HTTP_HOST:
        return http_is_authority(value);
    case CGI_VAR_REQUEST_METHOD:
        return !value.n || cgi_is_token(value);
    case CGI_VAR_QUERY_STRING:
    case CGI_VAR_REQUEST_URI:
        return cgi_is_target(value);
    case CGI_VAR_DOCUMENT_URI:
    case CGI_VAR_PATH_INFO:
    case CGI_VAR_SCRIPT_NAME:
        return !cgi_has_nul(value);
    default:
        return true;
    }
}

static inline struct slice or_else(struct slice s, struct slice otherwise) {
    return s.n ? s : otherwise;
}

static int64_t parse_length(struct slice s) {
    int64_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        int digit = s.p[i] - '0';
        if (digit < 0 || digit > 9 || n > (INT64_MAX - digit) / 10)
            return -1;
        n = n * 10 + digit;
    }
    return s.n ? n : -1;
}

static bool is_port(struct slice s) {
    int64_t n = parse_length(s);
    return n > 0 && n <= 65535;
}

static bool equals_nocase(struct slice s, struct slice text) {
    return s.n == text.n && ascii_equals_nocase(s.p, text.p, text.n);
}

static bool is_https(const struct slice *raw) {
    struct slice https = raw[CGI_VAR_HTTPS];
    return equals_nocase(https, LITERAL("on")) || equals_nocase(https, LITERAL("1")) ||
           equals_nocase(https, LITERAL("yes")) || equals_nocase(raw[CGI_VAR_REQUEST_SCHEME], LITERAL("https"));
}

/* Splits "name", "name:port", "[v6]" and "[v6]:port"; *port is empty when there is none. Several colons without
 * brackets are an IPv6 address without a port. */
static void split_host(struct slice host, struct slice *name, struct slice *port) {
    *name = host;
    *port = EMPTY;
    const char *colon = host.n ? memchr(host.p, ':', host.n) : NULL;
    if (!colon)
        return;
    const char *last = memrchr(host.p, ':', host.n);
    if (host.p[0] == '[' ? last[-1] != ']' : last != colon)
        return;
    name->n = (size_t)(last - host.p);
    *port = (struct slice){last + 1, host.n - name->n - 1};
}

/* nginx without server_name sends an empty SERVER_NAME, HAProxy its Host header with the port; SERVER_PORT may be
 * missing or "0". PEP 3333: both "can never be empty strings, and so are always required". */
static void set_server(const struct slice *raw, struct cgi_vars *vars) {
    struct slice name, name_port, host = EMPTY, host_port = EMPTY;
    bool port_given = is_port(raw[CGI_VAR_SERVER_PORT]);
    split_host(raw[CGI_VAR_SERVER_NAME], &name, &name_port);
    if (!name.n || !port_given)
        split_host(raw[CGI_VAR_HTTP_HOST], &host, &host_port);
    vars->server_name = or_else(name, or_else(host, or_else(raw[CGI_VAR_SERVER_ADDR], LITERAL("localhost"))));
    if (port_given)
        vars->server_port = raw[CGI_VAR_SERVER_PORT];
    else if (is_port(name_port))
        vars->server_port = name_port;
    else if (is_port(host_port))
        vars->server_port = host_port;
    else
        vars->server_port = vars->https ? LITERAL("443") : LITERAL("80");
}

/* Most requests have one of two forms, for which nothing has to be compared: the path is PATH_INFO, or nginx has sent
 * it as SCRIPT_NAME and as DOCUMENT_URI. cgi_paths.c handles the others. */
static enum cgi_result set_paths(const struct slice *raw, struct slice prefix, struct cgi_vars *vars) {
    struct slice script = raw[CGI_VAR_SCRIPT_NAME], info = raw[CGI_VAR_PATH_INFO], document = raw[CGI_VAR_DOCUMENT_URI];
    struct slice path = or_else(info, script);
    if (!prefix.n && path.n && path.p[0] == '/' &&
        (info.n ? !script.n : script.n == document.n && !memcmp(script.p, document.p, script.n))) {
        vars->script_name = vars->path_info[1] = EMPTY;
        vars->path_info[0] = path;
        vars->path_encoded = false;
        return CGI_OK;
    }
    const struct cgi_paths sent = {.script_name = script,
                                   .path_info = info,
                                   .request_uri = raw[CGI_VAR_REQUEST_URI],
                                   .document_uri = document,
                                   .has_path_info = info.p != none};
    return cgi_set_paths(&sent, prefix, vars);
}

/* Enough to tell the resources of an application apart, and a bound on what a client can make the server hash. */
enum { KEY_BYTES = 64 };

static inline size_t key_bytes(size_t n) {
    return n < KEY_BYTES ? n : KEY_BYTES;
}

/* Only the part of the path before its third slash counts. */
static uint32_t make_key(const struct cgi_vars *vars, uint64_t seed) {
    struct slice path = vars->path_info[0], tail = vars->path_info[1];
    char joined[2 * KEY_BYTES];
    size_t n = key_bytes(path.n);
    if (tail.n) {
        memcpy(joined, path.p, n);
        memcpy(joined + n, tail.p, key_bytes(tail.n));
        path = (struct slice){joined, n + key_bytes(tail.n)};
    }
    n = 0;
    for (int slashes = 0; n < key_bytes(path.n); n++) {
        if (path.p[n] == '/' && ++slashes == 3)
            break;
    }
    return (uint32_t)hash_bytes(hash_bytes(seed, vars->method.p, key_bytes(vars->method.n)), path.p, n);
}

/* A scan under way. */
struct scan {
    const char *pos, *end; /* what is left */
    uint32_t npairs;
    uint64_t shape;
    struct cgi_pairs changed; /* from a sample */
    struct slice bad;         /* the name whose value is not what it has to be, if any */
    struct slice raw[CGI_VAR_COUNT];
};

static inline void scan_begin(struct scan *s, const char *params, size_t len, uint64_t seed) {
    s->pos = params;
    s->end = len ? params + len : params;
    s->npairs = 0;
    s->shape = seed;
    s->bad = EMPTY;
    memset(s->raw, 0, sizeof *s->raw * (CGI_VAR_LAST_LABEL + 1)); /* of these it is known whether they were sent */
    for (int i = CGI_VAR_LAST_LABEL + 1; i < CGI_VAR_COUNT; i++)
        s->raw[i] = (struct slice){none, 0};
}

/* Skips the pairs of the sample, from the one at *p, whose bytes are all the same. */
static inline void pass_same(struct scan *s, const struct cgi_sample *sample, const struct cgi_sample_pair **p,
                             uint32_t at) {
    const struct cgi_sample_pair *first = *p, *behind = sample->pairs + sample->npairs;
    const char *start = s->pos;
    size_t left = (size_t)(s->end - s->pos), known = sample->nbytes - at;
    size_t same = at + params_common(sample->params + at, start, known < left ? known : left);
    if (same < sample->nbytes)
        for (behind = first; behind->end <= same;)
            behind++;
    for (const struct cgi_sample_pair *r = sample->pairs + first->read; r < behind; r = sample->pairs + r[1].read)
        s->raw[r->var] = (struct slice){start + (r->value - at), (size_t)(r->end - r->value)};
    if (behind > first)
        s->pos = start + (behind[-1].end - at);
    *p = behind;
}

/* Scans the pairs that have the names of the sample, in its order; for most of them it only checks that they are the
 * same. Stops where other names begin, or at a malformed pair. Returns whether the sample has exactly these names. */
static bool scan_like(struct scan *s, const struct cgi_sample *sample) {
    const struct cgi_sample_pair *p = sample->pairs, *last = sample->pairs + sample->npairs;
    struct params_pair pair;
    uint32_t at = 0; /* in the sample, where *p begins */
    s->changed = sample->blanked;
    while (p < last && s->pos < s->end) {
        pass_same(s, sample, &p, at);
        const char *pos = s->pos;
        if (p == last || params_next(&pos, s->end, &pair) != PARAMS_PAIR ||
            pair.name.n != (size_t)(p->value - p->name) || memcmp(pair.name.p, sample->params + p->name, pair.name.n))
            break;
        if (!is_good(p->var, pair.value)) {
            s->bad = pair.name;
            break;
        }
        s->raw[p->var] = pair.value;
        s->pos = pos;
        cgi_pairs_add(&s->changed, (uint32_t)(p - sample->pairs));
        at = p++->end;
    }
    s->npairs = (uint32_t)(p - sample->pairs);
    if (s->npairs)
        s->shape = p[-1].shape;
    return p == last && s->pos == s->end;
}

/* Scans what is left. */
static enum cgi_result scan_rest(struct scan *s) {
    struct params_pair pair;
    enum params_result result;
    while ((result = params_next(&s->pos, s->end, &pair)) == PARAMS_PAIR) {
        enum cgi_var var = cgi_find_var(pair.name);
        if ((var <= CGI_VAR_FIELD && cgi_has_nul(pair.name)) || !is_good(var, pair.value)) {
            s->bad = pair.name;
            return CGI_MALFORMED;
        }
        s->raw[var] = pair.value;
        s->npairs++;
        s->shape = hash_bytes(s->shape, pair.name.p, pair.name.n);
    }
    return result == PARAMS_END ? CGI_OK : CGI_MALFORMED;
}

/* Finds the sample of the shape that a full scan has found, if any. */
static const struct cgi_sample *recall(struct scan *s, struct cgi_memo *memo, const char *params, size_t len) {
    const struct cgi_sample *sample = cgi_memo_find(memo, s->shape);
    struct scan again;
    if (!sample) {
        sample = cgi_memo_take(memo, s->shape, params, len, s->npairs);
        if (sample)
            s->changed = sample->blanked;
        return sample;
    }
    scan_begin(&again, params, len, memo->seed);
    if (!scan_like(&again, sample))
        return NULL; /* the hash of other names is the same */
    s->changed = again.changed;
    return sample;
}

static enum cgi_result scan(struct scan *s, const char *params, size_t len, struct cgi_memo *memo,
                            struct cgi_likeness *like) {
    const struct cgi_sample *sample = memo ? cgi_memo_first(memo) : NULL;
    like->sample = like->place = 0;
    scan_begin(s, params, len, memo ? memo->seed : 0);
    if (sample && scan_like(s, sample))
        cgi_memo_hit(memo);
    else if (s->bad.n || scan_rest(s) != CGI_OK)
        return CGI_MALFORMED;
    else
        sample = memo ? recall(s, memo, params, len) : NULL;
    if (sample)
        *like = cgi_memo_likeness(memo, sample, &s->changed);
    return CGI_OK;
}

enum cgi_result cgi_scan(const char *params, size_t len, struct slice prefix, struct cgi_memo *memo,
                         struct cgi_vars *vars) {
    struct scan s;
    const struct slice *raw = s.raw;
    if (scan(&s, params, len, memo, &vars->like) != CGI_OK) {
        vars->bad = s.bad;
        return CGI_MALFORMED;
    }
    /* Set member by member, here and below: all are set, so none has to be zeroed first. */
    vars->method = or_else(raw[CGI_VAR_REQUEST_METHOD], LITERAL("GET"));
    vars->query = raw[CGI_VAR_QUERY_STRING];
    vars->request_uri = raw[CGI_VAR_REQUEST_URI];
    vars->remote_addr = raw[CGI_VAR_REMOTE_ADDR];
    vars->protocol = or_else(raw[CGI_VAR_SERVER_PROTOCOL], LITERAL("HTTP/1.0"));
    vars->request_id = raw[CGI_VAR_HTTP_X_REQUEST_ID];
    vars->traceparent = raw[CGI_VAR_HTTP_TRACEPARENT];
    vars->tracestate = raw[CGI_VAR_HTTP_TRACESTATE];
    vars->content_length = parse_length(raw[CGI_VAR_CONTENT_LENGTH]);
    vars->https = is_https(raw);
    vars->npairs = s.npairs;
    set_server(raw, vars);
    enum cgi_result result = set_paths(raw, prefix, vars);
    if (result == CGI_MALFORMED)
        vars->bad = raw[CGI_VAR_REQUEST_URI].n ? LITERAL("REQUEST_URI") : LITERAL("PATH_INFO");
    vars->key = make_key(vars, memo ? memo->seed : 0);
    return result;
}
