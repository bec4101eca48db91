/* Writes the values of a line of the access log, escaped so that no peer can make one look like something else.
 *
 * In text a value is escaped as Apache does it, as is the character that the format has behind it; what is missing is
 * "-". In JSON values that are text stand in quotes, as base/json.h writes them, and what is missing is null.
 *
 * Most values need no escape. They are copied and looked at in one go, 16 bytes at a time, and only if something was
 * found are they written once more, byte by byte.
 *
 * All functions take where the next byte goes, and return where the one behind goes. Beyond the end of the line there is
 * room for what is short, so only what may be long looks whether it fits: who writes a line asks access_text_is_full
 * for each of its fields.
 *
 * Threads: one at a time for each line.
 */
#ifndef WSGI_FCGI_NET_ACCESS_TEXT_H
#define WSGI_FCGI_NET_ACCESS_TEXT_H

#include "base/buf.h"
#include "base/decimal_text.h"
#include "proto/access_format.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { ACCESS_TEXT_SPARE = 128 };

struct access_text {
    char *end;         /* what comes further is too long; ACCESS_TEXT_SPARE bytes from here on can be written */
    size_t limit;      /* bytes that a value may take: in text of what is written, in JSON of what is given */
    struct buf *spare; /* for JSON that has to be escaped */
};

/* There is no room for `n` more bytes, or was none for what was written, or no memory: that is of no use. */
static inline bool access_text_is_full(const struct access_text *t, const char *out, size_t n) {
    return (ptrdiff_t)n > t->end - out;
}

/* What the format itself has, if it fits. */
static inline char *access_text_put(char *out, struct slice text);

/* Up to 32 bytes that nobody else has made, without one that would have to be escaped. */
static inline char *access_text_plain(char *out, const char *bytes, size_t n, bool json);

static inline char *access_text_none(char *out, bool json);

/* Whatever it is; none if it is empty. In text this byte is escaped as well: 0: none. */
char *access_text_value(const struct access_text *t, char *out, struct slice text, unsigned char stop);
char *access_text_value_json(const struct access_text *t, char *out, struct slice text);

static inline char *access_text_number(char *out, uint64_t n);

/* Nanoseconds as seconds, with six digits behind the point. */
static inline char *access_text_seconds(char *out, uint64_t ns);

/* What the two for values do, byte by byte: slower, and as good. For values that have to be escaped, or are long. */
char *access_text_escape(const struct access_text *t, char *out, struct slice text, unsigned char stop);
char *access_text_escape_json(const struct access_text *t, char *out, struct slice text);

/* --- the inline ones */

/* In steps of ACCESS_BLOCK bytes, of which the last one may go beyond both ends. */
static inline char *access_text_put(char *out, struct slice text) {
    memcpy(out, text.p, ACCESS_BLOCK);
    for (size_t i = ACCESS_BLOCK; i < text.n; i += ACCESS_BLOCK)
        memcpy(out + i, text.p + i, ACCESS_BLOCK);
    return out + text.n;
}

static inline char *access_text_plain(char *out, const char *bytes, size_t n, bool json) {
    if (!json)
        return (char *)mempcpy(out, bytes, n);
    out[0] = '"';
    memcpy(out + 1, bytes, n);
    out[n + 1] = '"';
    return out + n + 2;
}

static inline char *access_text_none(char *out, bool json) {
    if (json)
        return (char *)mempcpy(out, "null", 4);
    *out = '-';
    return out + 1;
}

static inline char *access_text_number(char *out, uint64_t n) {
    return out + decimal_text(out, n);
}

static inline char *access_text_seconds(char *out, uint64_t ns) {
    return out + decimal_text_microseconds(out, ns / 1000);
}

#endif
