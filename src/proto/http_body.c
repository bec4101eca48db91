#include "config.h"

#include "proto/http_body.h"

#include "proto/http_head.h"

#include <sys/types.h>

static const char too_much_framing[] = "too many bytes of chunk extensions or trailers";

/* Trailers go through llhttp, which takes them for those of a last chunk. */

static int on_message_complete(llhttp_t *p) {
    struct http_body *body = p->data;
    body->ended = true;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {.on_message_complete = on_message_complete};

void http_body_begin_chunks(struct http_body *body) {
    body->llhttp.settings = (void *)(uintptr_t)&settings;
    body->llhttp.data = body;
    body->state = HTTP_CHUNK_START;
}

static void begin_trailers(struct http_body *body) {
    static const char last_chunk[] = "0\r\n";
    llhttp_execute(&body->llhttp, last_chunk, sizeof last_chunk - 1);
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
    return llhttp_get_error_pos(&body->llhttp) - data;
}

static enum http_body_result decode_trailers(struct http_body *body, const char **pos, const char *end,
                                             const char **why) {
    size_t used;
    enum http_lines_result lines = http_lines_scan(&body->trailers, *pos, (size_t)(end - *pos), &used);
    if (lines != HTTP_LINES_MORE && lines != HTTP_LINES_END) {
        *why = http_lines_problem(lines);
        return HTTP_BODY_BAD;
    }
    body->framing += used;
    if (body->framing > HTTP_FRAMING_MAX) {
        *why = too_much_framing;
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

/* The line of a chunk's size (RFC 9112, 7.1 and 7.1.1):
 *     1*HEXDIG *( BWS ";" BWS token [ BWS "=" BWS ( token / quoted-string ) ] ) CR LF
 * What extensions mean is nobody's business here, but where they end is: a proxy in front that looks for the end of the
 * line finds the same one, because neither CR nor LF is let through within it. */

static int hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

/* RFC 9110, 5.6.4: what stands within quotes, or behind a backslash there. */
static bool is_quotable(char c) {
    return c == '\t' || ((unsigned char)c >= ' ' && c != 0x7f);
}

/* The state behind a byte that is neither of what goes before nor a blank. */
static enum http_chunk_state at_separator(char c, bool line_may_end) {
    if (c == ';')
        return HTTP_CHUNK_NAME_START;
    return c == '\r' && line_may_end ? HTTP_CHUNK_LINE_END : HTTP_CHUNK_BAD;
}

static enum http_chunk_state next_of_line(enum http_chunk_state state, char c) {
    switch (state) {
    case HTTP_CHUNK_SIZE:
    case HTTP_CHUNK_QUOTED_END:
        return is_blank(c) ? HTTP_CHUNK_BLANK : at_separator(c, true);
    case HTTP_CHUNK_BLANK:
        return is_blank(c) ? state : at_separator(c, false);
    case HTTP_CHUNK_NAME_START:
        return is_blank(c) ? state : http_is_token_char(c) ? HTTP_CHUNK_NAME : HTTP_CHUNK_BAD;
    case HTTP_CHUNK_NAME:
    case HTTP_CHUNK_NAME_BLANK:
        if (c == '=')
            return HTTP_CHUNK_VALUE_START;
        if (is_blank(c))
            return HTTP_CHUNK_NAME_BLANK;
        if (state == HTTP_CHUNK_NAME && http_is_token_char(c))
            return state;
        return at_separator(c, state == HTTP_CHUNK_NAME);
    case HTTP_CHUNK_VALUE_START:
        if (c == '"')
            return HTTP_CHUNK_QUOTED;
        return is_blank(c) ? state : http_is_token_char(c) ? HTTP_CHUNK_VALUE : HTTP_CHUNK_BAD;
    case HTTP_CHUNK_VALUE:
        if (http_is_token_char(c))
            return state;
        return is_blank(c) ? HTTP_CHUNK_BLANK : at_separator(c, true);
    case HTTP_CHUNK_QUOTED:
        if (c == '"')
            return HTTP_CHUNK_QUOTED_END;
        if (c == '\\')
            return HTTP_CHUNK_QUOTED_PAIR;
        return is_quotable(c) ? state : HTTP_CHUNK_BAD;
    case HTTP_CHUNK_QUOTED_PAIR:
        return is_quotable(c) ? HTTP_CHUNK_QUOTED : HTTP_CHUNK_BAD;
    default:
        return HTTP_CHUNK_BAD;
    }
}

/* The next byte that is not data of a chunk. */
static enum http_chunk_state next(struct http_body *body, char c, const char **why) {
    int digit;
    switch (body->state) {
    case HTTP_CHUNK_START:
    case HTTP_CHUNK_SIZE:
        *why = "malformed chunk size";
        digit = hex_digit(c);
        if (digit < 0)
            return body->state == HTTP_CHUNK_SIZE ? next_of_line(body->state, c) : HTTP_CHUNK_BAD;
        if (body->left > INT64_MAX >> 4) {
            *why = "a chunk size is too large";
            return HTTP_CHUNK_BAD;
        }
        body->left = body->left << 4 | (unsigned)digit;
        return HTTP_CHUNK_SIZE;
    case HTTP_CHUNK_LINE_END:
        *why = "a bare CR behind a chunk size";
        if (c != '\n')
            return HTTP_CHUNK_BAD;
        if (body->left)
            return HTTP_CHUNK_DATA;
        begin_trailers(body);
        return HTTP_CHUNK_TRAILERS;
    case HTTP_CHUNK_DATA_END:
        *why = "a chunk is longer than its size";
        return c == '\r' ? HTTP_CHUNK_DATA_CR : HTTP_CHUNK_BAD;
    case HTTP_CHUNK_DATA_CR:
        *why = "a bare CR behind a chunk";
        return c == '\n' ? HTTP_CHUNK_START : HTTP_CHUNK_BAD;
    default:
        *why = "a malformed chunk extension";
        return next_of_line(body->state, c);
    }
}

/* Decoding. */

static enum http_body_result decode_known(struct http_body *body, const char **pos, const char *end, http_body_fn *put,
                                          void *arg) {
    size_t n = (size_t)(end - *pos);
    if (n > body->left)
        n = (size_t)body->left;
    if (n)
        put(arg, *pos, n);
    *pos += n;
    body->left -= n;
    return body->left ? HTTP_BODY_MORE : HTTP_BODY_END;
}

static enum http_body_result decode_chunks(struct http_body *body, const char **pos, const char *end, http_body_fn *put,
                                           void *arg, const char **why) {
    while (*pos < end && body->state != HTTP_CHUNK_TRAILERS) {
        if (body->state == HTTP_CHUNK_DATA) {
            body->framing = 0;
            if (decode_known(body, pos, end, put, arg) == HTTP_BODY_END)
                body->state = HTTP_CHUNK_DATA_END;
            continue;
        }
        if (++body->framing > HTTP_FRAMING_MAX) {
            *why = too_much_framing;
            return HTTP_BODY_BAD;
        }
        body->state = next(body, *(*pos)++, why);
        if (body->state == HTTP_CHUNK_BAD)
            return HTTP_BODY_BAD;
    }
    return *pos < end ? decode_trailers(body, pos, end, why) : HTTP_BODY_MORE;
}

enum http_body_result http_body_decode(struct http_body *body, const char **pos, const char *end, http_body_fn *put,
                                       void *arg, const char **why) {
    if (body->ended)
        return HTTP_BODY_END;
    if (body->chunked)
        return decode_chunks(body, pos, end, put, arg, why);
    enum http_body_result result = decode_known(body, pos, end, put, arg);
    body->ended = result == HTTP_BODY_END;
    return result;
}
