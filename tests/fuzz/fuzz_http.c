/* Requests of HTTP/1.1 in a row. What they are does not depend on where the bytes are cut: whole, byte by byte, and in
 * pieces of the size that the first byte says, the same parameters and bodies come out, and the same error. */
#include "config.h"

/* A promise that is not kept is a finding. */
#undef NDEBUG
#include <assert.h>

#include "base/buf.h"
#include "proto/cgi.h"
#include "proto/http_encode.h"
#include "proto/http_head.h"
#include "proto/http_lines.h"
#include "proto/http_token.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { REQUESTS_MAX = 50 };

/* What was understood: parameters, bodies and outcomes in order. */
static struct buf log_of[3];

static void note(struct buf *log, const void *bytes, size_t len) {
    assert(!buf_append(log, bytes, len));
}

static void take_body(void *arg, const char *data, size_t len) {
    assert(len > 0);
    note(arg, data, len);
}

static void check_head(const struct http_head *head, const char *params, size_t len) {
    struct cgi_vars vars;
    assert(cgi_scan(params, len, (struct slice){"", 0}, NULL, &vars) == CGI_OK);
    assert(vars.method.n == head->method.n && !memcmp(vars.method.p, head->method.p, head->method.n));
    bool asterisk = head->target.n == 1 && head->target.p[0] == '*';
    assert(vars.request_uri.n == head->target.n && !vars.path_info[0].n == asterisk && !vars.path_info[1].n);
    assert((asterisk || !memchr(vars.path_info[0].p, 0, vars.path_info[0].n)) && head->minor <= 1);
    assert(head->content_length > 0 ? vars.content_length == head->content_length : vars.content_length <= 0);
}

/* Parses a section that has ended. Returns false when the request is refused. */
static bool parse(const char *data, size_t len, struct http_body *body, struct buf *log) {
    struct http_head head;
    struct http_refusal refusal = {NULL, NULL};
    size_t n, room = http_params_max(len);
    char *params = malloc(room), *copy = malloc(len);
    assert(params && copy);
    memcpy(copy, data, len);
    bool good = http_parse_head(copy, len, &head, params, &n, body, &refusal);
    if (good) {
        assert(n <= room);
        check_head(&head, params, n);
        note(log, params, n);
        note(log, &head.content_length, sizeof head.content_length);
    } else {
        assert(refusal.status && refusal.why && strlen(refusal.status) > 4);
        note(log, refusal.status, strlen(refusal.status));
    }
    free(params);
    free(copy);
    return good;
}

/* Takes the bytes in pieces of `piece`. */
static void run(const char *data, size_t size, size_t piece, struct buf *log) {
    const char *pos = data, *end = data + size;
    for (int requests = 0; requests < REQUESTS_MAX; requests++) {
        struct http_lines lines = {0};
        enum http_lines_result result = HTTP_LINES_MORE;
        const char *head = pos;
        while (result == HTTP_LINES_MORE && pos < end) {
            size_t used, n = (size_t)(end - pos) < piece ? (size_t)(end - pos) : piece;
            result = http_lines_scan(&lines, pos, n, &used);
            pos += used;
        }
        note(log, &result, sizeof result);
        if (result != HTTP_LINES_END)
            return;
        /* net/http/conn.c looks at the first byte itself. */
        struct http_body body;
        if (!http_is_token_char(*head) || !parse(head, (size_t)(pos - head), &body, log))
            return;
        enum http_body_result decoded = body.ended ? HTTP_BODY_END : HTTP_BODY_MORE;
        const char *why = NULL;
        while (decoded == HTTP_BODY_MORE && pos < end) {
            const char *stop = (size_t)(end - pos) < piece ? end : pos + piece;
            decoded = http_body_decode(&body, &pos, stop, take_body, log, &why);
            assert(decoded != HTTP_BODY_MORE || pos == stop);
        }
        assert(decoded != HTTP_BODY_BAD || (why && *why));
        note(log, &decoded, sizeof decoded);
        if (decoded != HTTP_BODY_END)
            return;
    }
}

/* An answer's head is looked through. */
static void scan(const char *data, size_t size) {
    struct http_fields fields;
    http_scan_fields(&fields, data, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!size)
        return 0;
    const char *text = (const char *)data + 1;
    size_t pieces[] = {SIZE_MAX, 1, data[0] ? data[0] : 1};
    for (int i = 0; i < 3; i++) {
        buf_reset(&log_of[i], 1 << 20);
        run(text, size - 1, pieces[i], &log_of[i]);
        assert(buf_len(&log_of[i]) == buf_len(&log_of[0]));
        assert(!memcmp(buf_head(&log_of[i]), buf_head(&log_of[0]), buf_len(&log_of[0])));
    }
    scan(text, size - 1);
    return 0;
}
