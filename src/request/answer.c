#include "config.h"

#include "request/answer.h"

#include "base/ascii.h"

#include <string.h>

static bool is_length(const char *line, size_t len) {
    static const char name[] = "content-length:";
    return len > sizeof name - 1 && ascii_equals_nocase(line, name, sizeof name - 1);
}

static bool has_field(const struct request *r, const char *name, size_t n) {
    const char *at = buf_head(&r->head), *end = at + buf_len(&r->head);
    while (at < end) {
        const char *feed = memchr(at, '\n', (size_t)(end - at));
        size_t len = feed ? (size_t)(feed - at) + 1 : (size_t)(end - at);
        if (len > n && ascii_equals_nocase(at, name, n))
            return true;
        at += len;
    }
    return false;
}

int answer_add_id(struct request *r) {
    static const char name[] = "X-Request-ID:";
    if (has_field(r, name, sizeof name - 1))
        return 0;
    return buf_append(&r->head, name, sizeof name - 1) || buf_append(&r->head, " ", 1) ||
                   buf_append(&r->head, r->id.p, r->id.n) || buf_append(&r->head, "\r\n", 2)
               ? -1
               : 0;
}

int answer_set_length(struct request *r, enum answer_content content) {
    char *at = buf_head(&r->head), *to = at, *end = at + buf_len(&r->head);
    while (at < end) {
        char *feed = memchr(at, '\n', (size_t)(end - at));
        size_t len = feed ? (size_t)(feed - at) + 1 : (size_t)(end - at);
        if (!is_length(at, len)) {
            memmove(to, at, len);
            to += len;
        }
        at += len;
    }
    r->head.end -= (size_t)(end - to);
    return content == ANSWER_EMPTY ? buf_append(&r->head, "Content-Length: 0\r\n", 19) : 0;
}
