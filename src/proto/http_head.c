#include "config.h"

#include "proto/http_head.h"

#include "base/ascii.h"
#include "proto/http_target.h"
#include "proto/http_token.h"

#include <llhttp.h>
#include <string.h>

static const char bad_request[] = "400 Bad Request", not_implemented[] = "501 Not Implemented";

/* While llhttp runs. */
struct parsing {
    struct http_head *head;
    const char *begin, *end;
    char *out;
    struct slice name; /* of the field whose value is to come */
    struct slice host, expect, transfer_encoding;
    struct slice length;
    unsigned nhosts, ntransfer_encodings, nlengths, ncontent_types;
    bool complete;
    bool close, keep_alive; /* options of Connection */
    uint64_t content_length;
    uint16_t flags; /* of llhttp, which clears them when the request has no body */
    struct http_refusal *refusal;
};

/* Fields. */

static void put_pair(struct parsing *p, struct slice name, struct slice value) {
    p->out += params_put(p->out, SIZE_MAX, name, value);
}

/* "Accept-Encoding" becomes HTTP_ACCEPT_ENCODING (RFC 3875, 4.1.18). */
static void put_field(struct parsing *p, struct slice name, struct slice value) {
    static const char prefix[] = "HTTP_";
    char *at = params_put_lengths(p->out, sizeof prefix - 1 + name.n, value.n);
    memcpy(at, prefix, sizeof prefix - 1);
    at += sizeof prefix - 1;
    for (size_t i = 0; i < name.n; i++)
        at[i] = http_token_chars[(unsigned char)name.p[i]];
    at += name.n;
    if (value.n)
        memcpy(at, value.p, value.n);
    p->out = at + value.n;
}

static bool is(struct slice s, const char *lower) {
    return ascii_equals_nocase(s.p, lower, s.n);
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

static struct slice trim(const char *at, size_t len) {
    while (len && is_blank(at[len - 1]))
        len--;
    return (struct slice){at, len};
}

/* The options of a Connection field (RFC 9110, 7.6.1). llhttp finds none that stands beside a tab. */
static void take_connection(struct parsing *p, struct slice value) {
    const char *at = value.p, *end = value.p + value.n;
    while (at < end) {
        const char *comma = memchr(at, ',', (size_t)(end - at)), *stop = comma ? comma : end;
        while (at < stop && is_blank(*at))
            at++;
        struct slice option = trim(at, (size_t)(stop - at));
        p->close |= option.n == sizeof "close" - 1 && is(option, "close");
        p->keep_alive |= option.n == sizeof "keep-alive" - 1 && is(option, "keep-alive");
        at = stop + 1;
    }
}

/* Records what the server itself needs. Returns whether the field becomes an HTTP_* parameter. */
static bool take_field(struct parsing *p, struct slice name, struct slice value) {
    switch (name.n) {
    case sizeof "Host" - 1:
        if (is(name, "host")) {
            p->host = value;
            p->nhosts++;
            return false; /* comes from the target, maybe */
        }
        return true;
    case sizeof "Expect" - 1:
        if (is(name, "expect"))
            p->expect = value;
        return true;
    case sizeof "Connection" - 1:
        if (is(name, "connection"))
            take_connection(p, value);
        return true;
    case sizeof "Content-Type" - 1:
        if (!is(name, "content-type"))
            return true;
        p->ncontent_types++;
        put_pair(p, LITERAL("CONTENT_TYPE"), value);
        return false;
    case sizeof "Content-Length" - 1:
        if (!is(name, "content-length"))
            return true;
        p->length = value;
        p->nlengths++;
        put_pair(p, LITERAL("CONTENT_LENGTH"), value);
        return false;
    case sizeof "Transfer-Encoding" - 1:
        if (!is(name, "transfer-encoding"))
            return true;
        p->transfer_encoding = value;
        p->ntransfer_encodings++;
        return false;
    default:
        return true;
    }
}

/* Callbacks of llhttp: each span is whole, because the section is; of one that run_trimmed cuts, what is behind the cut
 * is empty. */

static int on_header_field(llhttp_t *llhttp, const char *at, size_t len) {
    struct parsing *p = llhttp->data;
    p->name = (struct slice){at, len};
    return 0;
}

static int on_header_value(llhttp_t *llhttp, const char *at, size_t len) {
    struct parsing *p = llhttp->data;
    struct slice value = trim(at, len);
    if (!p->name.n)
        return 0; /* behind a cut */
    p->head->nfields++;
    if (!memchr(p->name.p, '_', p->name.n) && take_field(p, p->name, value))
        put_field(p, p->name, value);
    p->name.n = 0;
    return 0;
}

static int on_headers_complete(llhttp_t *llhttp) {
    struct parsing *p = llhttp->data;
    p->complete = true;
    p->content_length = llhttp->content_length;
    p->flags = llhttp->flags;
    /* Upgrade is an offer that need not be taken (RFC 9110, 7.8): what follows is HTTP/1.1. */
    llhttp->upgrade = 0;
    return 0;
}

static const llhttp_settings_t settings = {
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
    .on_headers_complete = on_headers_complete,
};

/* Checks of the request line and the fields together. Each function returns whether the request may go on. */

static bool refuse(struct parsing *p, const char *status, const char *why) {
    *p->refusal = (struct http_refusal){status, why};
    return false;
}

enum { VERSION_LEN = sizeof "HTTP/1.1" - 1 };

static bool is_method(struct slice s, const char *method) {
    return s.n == strlen(method) && !memcmp(s.p, method, s.n);
}

/* Whether these VERSION_LEN bytes are a version (RFC 9112, 2.3). */
static bool is_version(const char *at) {
    return !memcmp(at, "HTTP/", 5) && ascii_is_digit(at[5]) && at[6] == '.' && ascii_is_digit(at[7]);
}

/* RFC 9110, 2.5: a client that sends a later minor version of 1 understands 1.1 as well. */
static bool check_version(struct parsing *p, const char *at) {
    struct http_head *head = p->head;
    if (at[5] == '1') {
        head->minor = at[7] != '0';
        return true;
    }
    return refuse(p, "505 HTTP Version Not Supported",
                  at[5] == '2' && is_method(head->method, "PRI") /* RFC 9113, 3.4 */
                      ? "the peer speaks HTTP/2, which is not spoken here: end it in a proxy in front of this server"
                      : "only HTTP/1.1 and HTTP/1.0 are spoken");
}

/* No blanks and no controls. RFC 3986, 2 has no bytes beyond ASCII either, but clients send them, proxies pass them on,
 * and none of them ends anything: there is one way to read them. */
static bool is_target(struct slice s) {
    for (size_t i = 0; i < s.n; i++) {
        if ((unsigned char)s.p[i] <= ' ' || s.p[i] == 0x7f)
            return false;
    }
    return s.n > 0;
}

/* RFC 9112, 3: a method, which is any token (RFC 9110, 9.1), a target and a version, with single spaces between. llhttp
 * does not see this line: it knows the methods of a list only, lets more spaces through, and no byte beyond ASCII. */
static bool take_line(struct parsing *p, const char *end) {
    struct http_head *head = p->head;
    const char *at = p->begin;
    while (at < end && http_is_token_char(*at))
        at++;
    head->method = (struct slice){p->begin, (size_t)(at - p->begin)};
    if (!head->method.n || at == end || *at++ != ' ')
        return refuse(p, bad_request, "the request does not begin with a method");
    if (end - at < VERSION_LEN || !is_version(end - VERSION_LEN))
        return refuse(p, bad_request, "malformed version");
    if (end - at < 1 + VERSION_LEN || end[-VERSION_LEN - 1] != ' ')
        return refuse(p, bad_request, "malformed request line");
    head->target = (struct slice){at, (size_t)(end - at) - VERSION_LEN - 1};
    if (!is_target(head->target))
        return refuse(p, bad_request, "no target, or white space or a control character in it");
    if (is_method(head->method, "CONNECT"))
        return refuse(p, not_implemented, "CONNECT: this is no proxy");
    return check_version(p, end - VERSION_LEN);
}

/* As llhttp is behind a request line, ready for fields that say alone what there is of a body, whatever the method and
 * the version.
 * Mutable behind_line: made before main begins, and constant then. */
static llhttp_t behind_line;

__attribute__((constructor)) static void make_behind_line(void) {
    static const char line[] = "POST / HTTP/1.1\r\n";
    llhttp_init(&behind_line, HTTP_REQUEST, &settings);
    llhttp_execute(&behind_line, line, sizeof line - 1);
}

static void begin_fields(struct parsing *p, llhttp_t *llhttp) {
    *llhttp = behind_line;
    llhttp->data = p;
    p->head->nfields = 0;
}

/* Runs llhttp on the fields without the blanks at line ends. */
static llhttp_errno_t run_trimmed(llhttp_t *llhttp, const char *at, const char *end) {
    llhttp_errno_t error = HPE_OK;
    for (const char *line = at; line < end && error == HPE_OK;) {
        const char *feed = memchr(line, '\n', (size_t)(end - line)), *cr = feed - 1, *stop = cr;
        while (stop > line && is_blank(stop[-1]))
            stop--;
        if (stop < cr) {
            error = llhttp_execute(llhttp, at, (size_t)(stop - at));
            at = cr;
        }
        line = feed + 1;
    }
    return error == HPE_OK ? llhttp_execute(llhttp, at, (size_t)(end - at)) : error;
}

/* Spaces and tabs may follow a value (RFC 9110, 5.6.3). llhttp accepts that, but not for a length and a coding. */
static bool take_fields(struct parsing *p, llhttp_t *llhttp, const char *at, char *params) {
    size_t len = (size_t)(p->end - at);
    begin_fields(p, llhttp);
    llhttp_errno_t error = llhttp_execute(llhttp, at, len);
    if ((error == HPE_INVALID_CONTENT_LENGTH || error == HPE_INVALID_TRANSFER_ENCODING) && memchr(at, '\t', len)) {
        *p = (struct parsing){.head = p->head, .begin = p->begin, .end = p->end, .out = params, .refusal = p->refusal};
        begin_fields(p, llhttp);
        error = run_trimmed(llhttp, at, p->end);
    }
    if (error != HPE_OK)
        return refuse(p, bad_request, llhttp_get_error_reason(llhttp));
    return p->complete || refuse(p, bad_request, "malformed fields");
}

static bool is_number(struct slice digits, uint64_t number) {
    uint64_t n = 0;
    for (size_t i = 0; i < digits.n; i++) {
        if (!ascii_is_digit(digits.p[i]) || n > (UINT64_MAX - 9) / 10)
            return false;
        n = n * 10 + (uint64_t)(digits.p[i] - '0');
    }
    return digits.n && n == number;
}

/* RFC 9112, 6.3 and 11.2: llhttp checks that the fields are well-formed, and parses Content-Length; the values recorded
 * here decide where the body ends. If the two disagree, the request is refused. */
static bool check_framing(struct parsing *p) {
    bool chunked = p->flags & F_CHUNKED, length = p->flags & F_CONTENT_LENGTH;
    if (chunked == (p->ntransfer_encodings > 0) && length == (p->nlengths > 0) &&
        (length ? is_number(p->length, p->content_length) : !p->content_length))
        return true;
    return refuse(p, bad_request, "the parser reads Transfer-Encoding or Content-Length in another way");
}

/* RFC 9112, 6.1 and 6.3: if both lengths are there, or the transfer coding is not understood, nobody can be sure where
 * the body ends. llhttp refuses the former, and a coding that does not end in "chunked". */
static bool check_length(struct parsing *p) {
    if (p->content_length > INT64_MAX)
        return refuse(p, bad_request, "Content-Length is too large");
    p->head->content_length = (int64_t)p->content_length;
    if (!p->ntransfer_encodings)
        return true;
    if (!p->head->minor)
        return refuse(p, bad_request, "Transfer-Encoding in HTTP/1.0");
    if (p->ntransfer_encodings > 1)
        return refuse(p, bad_request, "several Transfer-Encoding fields");
    if (p->transfer_encoding.n != sizeof "chunked" - 1 || !is(p->transfer_encoding, "chunked"))
        return refuse(p, p->transfer_encoding.n ? not_implemented : bad_request, "a transfer coding besides chunked");
    p->head->content_length = -1;
    return true;
}

static bool check_expect(struct parsing *p) {
    /* RFC 9110, 10.1.1: in HTTP/1.0 it means nothing. */
    if (!p->expect.n || !p->head->minor)
        return true;
    if (p->expect.n != sizeof "100-continue" - 1 || !is(p->expect, "100-continue"))
        return refuse(p, "417 Expectation Failed", "an expectation besides 100-continue");
    p->head->expects_continue = p->head->content_length != 0;
    return true;
}

/* RFC 9110, 8.3: this is not a list, so of several values nobody can say which one others have read. */
static bool check_content_type(struct parsing *p) {
    return p->ncontent_types < 2 || refuse(p, bad_request, "several Content-Type fields");
}

/* RFC 9112, 3.2 */
static bool check_host(struct parsing *p, const struct http_target *target) {
    if (p->nhosts > 1)
        return refuse(p, bad_request, "several Host fields");
    if (!p->nhosts && p->head->minor)
        return refuse(p, bad_request, "no Host field");
    if (!http_is_authority(p->host))
        return refuse(p, bad_request, "malformed Host field");
    p->head->host = target->absolute ? target->authority : p->host;
    p->head->has_host = target->absolute || p->nhosts;
    return true;
}

/* Parameters from the request line. */
static bool put_line(struct parsing *p, const struct http_target *target) {
    struct http_head *head = p->head;
    put_pair(p, LITERAL("REQUEST_METHOD"), head->method);
    put_pair(p, LITERAL("SERVER_PROTOCOL"), head->minor ? LITERAL("HTTP/1.1") : LITERAL("HTTP/1.0"));
    put_pair(p, LITERAL("REQUEST_URI"), head->target);
    put_pair(p, LITERAL("QUERY_STRING"), target->query);
    /* Decoded in its final place. It may become shorter, which may change the size of the encoded length. */
    char *decoded = p->out + 64;
    size_t n = http_target_decode(target->path, decoded);
    if (n == SIZE_MAX)
        return refuse(p, bad_request, "a malformed percent-encoding, or that of NUL, in the path");
    char *at = params_put_lengths(p->out, sizeof "PATH_INFO" - 1, n);
    memcpy(at, "PATH_INFO", sizeof "PATH_INFO" - 1);
    at += sizeof "PATH_INFO" - 1;
    memmove(at, decoded, n);
    p->out = at + n;
    return true;
}

static bool check_target(struct parsing *p, struct http_target *target) {
    const char *problem = http_target_parse(p->head->target, target);
    if (problem)
        return refuse(p, bad_request, problem);
    if (target->path.p[0] == '*' && !is_method(p->head->method, "OPTIONS"))
        return refuse(p, bad_request, "the target * without the method OPTIONS");
    return true;
}

/* RFC 9112, 9.3 */
static bool is_kept(const struct parsing *p) {
    return !p->close && (p->head->minor || p->keep_alive);
}

bool http_parse_head(const char *data, size_t len, struct http_head *head, char *params, size_t *nparams,
                     struct http_body *body, struct http_refusal *refusal) {
    llhttp_t llhttp;
    struct http_target target;
    struct parsing p = {.head = head, .begin = data, .end = data + len, .out = params, .refusal = refusal};
    *head = (struct http_head){0};
    const char *line_end = memchr(data, '\n', len);
    *nparams = 0;
    if (!take_line(&p, line_end - 1) || !take_fields(&p, &llhttp, line_end + 1, params) || !check_length(&p) ||
        !check_framing(&p) || !check_expect(&p) || !check_target(&p, &target) || !check_host(&p, &target) ||
        !check_content_type(&p) || !put_line(&p, &target))
        return false;
    head->keep_alive = is_kept(&p);
    head->head_only = is_method(head->method, "HEAD");
    *nparams = (size_t)(p.out - params);
    http_body_begin(body, head->content_length);
    return true;
}
