#include "config.h"

#include "proto/http_body.h"

#include "base/ascii.h"
#include "proto/http_token.h"

static const char too_much_framing[] = "too many bytes of chunk extensions or trailers";

void http_body_begin(struct http_body *body, int64_t length) {
    *body = (struct http_body){
        .chunked = length < 0, .ended = !length, .state = HTTP_CHUNK_START, .left = length < 0 ? 0 : (uint64_t)length};
}

/* The line of a chunk's size (RFC 9112, 7.1 and 7.1.1):
 *     1*HEXDIG *( BWS ";" BWS token [ BWS "=" BWS ( token / quoted-string ) ] ) CR LF
 * What extensions mean is nobody's business here, but where they end is: a proxy in front that looks for the end of the
 * line finds the same one, because neither CR nor LF is let through within it. */

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

/* RFC 9110, 5.6.4: what stands within quotes, or behind a backslash there. */
static bool is_quotable(char c) {
    return c == '\t' || ((unsigned char)c >= ' ' && c != 0x7f);
}

/* The state after a byte that neither continues the part nor is a blank. */
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

/* Trailers (RFC 9112, 7.1.2) are fields, by the same rules: a name and a colon, no folded lines, CR and LF only at the
 * end of a line. A client that sends framing fields there (RFC 9110, 6.5.1: must not) hopes that somebody obeys
 * them. */

static const char *const framing_fields[] = {"transfer-encoding", "content-length"};

/* The next byte of a name. */
static void follow_name(struct http_body *body, char c) {
    for (unsigned i = 0; i < 2; i++) {
        /* Behind a difference its bit is gone; the end of the text is one. */
        if (body->framing_field & 1U << i && framing_fields[i][body->name] != ascii_lower(c))
            body->framing_field &= ~(1U << i);
    }
    body->name++;
}

static bool is_framing_field(const struct http_body *body) {
    for (unsigned i = 0; i < 2; i++) {
        if (body->framing_field & 1U << i && !framing_fields[i][body->name])
            return true;
    }
    return false;
}

static enum http_chunk_state next_of_trailers(struct http_body *body, char c, const char **why) {
    switch (body->state) {
    case HTTP_CHUNK_TRAILER_START:
        if (c == '\r')
            return HTTP_CHUNK_LAST_CR;
        body->name = 0;
        body->framing_field = 3;
        *why = c == ':' ? "a trailer without a name" : "a trailer line does not begin with a name";
        break;
    case HTTP_CHUNK_TRAILER_NAME:
        *why = "a malformed name of a trailer";
        if (c != ':')
            break;
        *why = "Transfer-Encoding or Content-Length in the trailers";
        return is_framing_field(body) ? HTTP_CHUNK_BAD : HTTP_CHUNK_TRAILER_VALUE;
    case HTTP_CHUNK_TRAILER_VALUE:
        *why = "a bare LF or another control character in a trailer";
        if (c == '\r')
            return HTTP_CHUNK_TRAILER_CR;
        return is_quotable(c) ? body->state : HTTP_CHUNK_BAD;
    case HTTP_CHUNK_TRAILER_CR:
        *why = "a bare CR in a trailer";
        return c == '\n' ? HTTP_CHUNK_TRAILER_START : HTTP_CHUNK_BAD;
    default:
        *why = "a bare CR behind the trailers";
        return c == '\n' ? HTTP_CHUNK_END : HTTP_CHUNK_BAD;
    }
    if (!http_is_token_char(c))
        return HTTP_CHUNK_BAD;
    follow_name(body, c);
    return HTTP_CHUNK_TRAILER_NAME;
}

/* The next byte that is not data of a chunk. */
static enum http_chunk_state next(struct http_body *body, char c, const char **why) {
    int digit;
    switch (body->state) {
    case HTTP_CHUNK_START:
    case HTTP_CHUNK_SIZE:
        *why = "malformed chunk size";
        digit = ascii_hex_digit(c);
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
        return body->left ? HTTP_CHUNK_DATA : HTTP_CHUNK_TRAILER_START;
    case HTTP_CHUNK_DATA_END:
        *why = "a chunk is longer than its size";
        return c == '\r' ? HTTP_CHUNK_DATA_CR : HTTP_CHUNK_BAD;
    case HTTP_CHUNK_DATA_CR:
        *why = "a bare CR behind a chunk";
        return c == '\n' ? HTTP_CHUNK_START : HTTP_CHUNK_BAD;
    case HTTP_CHUNK_TRAILER_START:
    case HTTP_CHUNK_TRAILER_NAME:
    case HTTP_CHUNK_TRAILER_VALUE:
    case HTTP_CHUNK_TRAILER_CR:
    case HTTP_CHUNK_LAST_CR:
        return next_of_trailers(body, c, why);
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
    while (*pos < end && body->state != HTTP_CHUNK_END) {
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
    return body->state == HTTP_CHUNK_END ? HTTP_BODY_END : HTTP_BODY_MORE;
}

enum http_body_result http_body_decode(struct http_body *body, const char **pos, const char *end, http_body_fn *put,
                                       void *arg, const char **why) {
    if (body->ended)
        return HTTP_BODY_END;
    enum http_body_result result =
        body->chunked ? decode_chunks(body, pos, end, put, arg, why) : decode_known(body, pos, end, put, arg);
    body->ended = result == HTTP_BODY_END;
    return result;
}
