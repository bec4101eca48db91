#include "config.h"

#include "proto/http_body.h"

#include <sys/types.h>

static const char too_much_framing[] = "too many bytes of chunk extensions or trailers";

/* Callbacks of llhttp. */

static struct http_body *body_of(llhttp_t *p) {
    return p->data;
}

static bool count_framing(struct http_body *body, const char *end) {
    body->framing += (size_t)(end - body->mark);
    body->mark = end;
    return body->framing <= HTTP_FRAMING_MAX;
}

static int on_body(llhttp_t *p, const char *at, size_t len) {
    struct http_body *body = body_of(p);
    if (!count_framing(body, at)) {
        llhttp_set_error_reason(p, too_much_framing);
        return HPE_USER;
    }
    body->framing = 0;
    body->mark = at + len;
    if (len)
        body->put(body->arg, at, len);
    return 0;
}

/* llhttp is lenient with the lines of trailers: http_lines looks at them first. */
static int on_chunk_header(llhttp_t *p) {
    if (p->content_length)
        return 0;
    body_of(p)->in_trailers = true;
    return HPE_PAUSED;
}

static int on_message_complete(llhttp_t *p) {
    body_of(p)->ended = true;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_body = on_body,
    .on_chunk_header = on_chunk_header,
    .on_message_complete = on_message_complete,
};

void http_body_begin_chunks(struct http_body *body) {
    body->llhttp.settings = (void *)(uintptr_t)&settings;
    body->llhttp.data = body;
}

/* Decoding. */

static enum http_body_result decode_known(struct http_body *body, const char **pos, const char *end) {
    size_t n = (size_t)(end - *pos);
    if (n > body->left)
        n = (size_t)body->left;
    if (n)
        body->put(body->arg, *pos, n);
    *pos += n;
    body->left -= n;
    body->ended = !body->left;
    return body->ended ? HTTP_BODY_END : HTTP_BODY_MORE;
}

/* Feeds `len` bytes. Returns how many llhttp took before it paused, or -1 with *why. */
static ssize_t feed(struct http_body *body, const char *data, size_t len, const char **why) {
    llhttp_errno_t error = llhttp_execute(&body->llhttp, data, len);
    if (error == HPE_OK)
        return (ssize_t)len;
    if (error != HPE_PAUSED) {
        *why = llhttp_get_error_reason(&body->llhttp);
        return -1;
    }
    ssize_t taken = llhttp_get_error_pos(&body->llhttp) - data;
    llhttp_resume(&body->llhttp);
    return taken;
}

static enum http_body_result decode_chunks(struct http_body *body, const char **pos, const char *end,
                                           const char **why) {
    while (!body->in_trailers && *pos < end) {
        ssize_t taken = feed(body, *pos, (size_t)(end - *pos), why);
        if (taken < 0)
            return HTTP_BODY_BAD;
        *pos += taken;
    }
    return HTTP_BODY_MORE;
}

static enum http_body_result decode_trailers(struct http_body *body, const char **pos, const char *end,
                                             const char **why) {
    size_t used;
    enum http_lines_result lines = http_lines_scan(&body->trailers, *pos, (size_t)(end - *pos), &used);
    if (lines != HTTP_LINES_MORE && lines != HTTP_LINES_END) {
        *why = http_lines_problem(lines);
        return HTTP_BODY_BAD;
    }
    ssize_t taken = used ? feed(body, *pos, used, why) : 0;
    if (taken < 0)
        return HTTP_BODY_BAD;
    if ((size_t)taken != used || body->ended != (lines == HTTP_LINES_END)) {
        *why = "malformed trailers";
        return HTTP_BODY_BAD;
    }
    *pos += used;
    return body->ended ? HTTP_BODY_END : HTTP_BODY_MORE;
}

enum http_body_result http_body_decode(struct http_body *body, const char **pos, const char *end, http_body_fn *put,
                                       void *arg, const char **why) {
    enum http_body_result result = HTTP_BODY_MORE;
    if (body->ended)
        return HTTP_BODY_END;
    body->put = put;
    body->arg = arg;
    body->mark = *pos;
    if (!body->chunked)
        return decode_known(body, pos, end);
    if (!body->in_trailers)
        result = decode_chunks(body, pos, end, why);
    if (result == HTTP_BODY_MORE && body->in_trailers)
        result = decode_trailers(body, pos, end, why);
    if (result != HTTP_BODY_BAD && !count_framing(body, *pos)) {
        *why = too_much_framing;
        return HTTP_BODY_BAD;
    }
    return result;
}
