/* Writes the values of a line of the access log, escaped so that no peer can make one look like something else.
 *
 * In text a value is escaped as Apache does it, as is the character that the format has behind it; what is missing is
 * "-". In JSON values that are text stand in quotes, as base/json.h writes them, and what is missing is null.
 *
 * Most values need no escape. They are copied and looked at in one go, 16 bytes at a time, and only if something was
 * found are they written once more, byte by byte.
 *
 * Threads: one at a time for each line.
 */
#ifndef WSGI_FCGI_NET_ACCESS_TEXT_H
#define WSGI_FCGI_NET_ACCESS_TEXT_H

#include "base/buf.h"
#include "base/decimal_text.h"
#include "proto/params.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct access_text {
    char *p, *end;      /* where the next byte goes, and where none goes any more */
    size_t limit;       /* bytes that a value may take: in text of what is written, in JSON of what is given */
    bool full;          /* it is too long, or there is no memory: what is written is of no use */
    bool json;          /* which of both it is */
    unsigned char stop; /* in text: what is escaped as well; 0: nothing */
    struct buf *spare;  /* for JSON that has to be escaped */
};

/* What the format itself has. */
static inline void access_text_put(struct access_text *t, const char *bytes, size_t n);

/* What nobody else has made: without a byte that would have to be escaped. */
static inline void access_text_plain(struct access_text *t, const char *bytes, size_t n);

static inline void access_text_none(struct access_text *t);

/* Whatever it is; none if it is empty. */
static inline void access_text_value(struct access_text *t, struct slice text);

static inline void access_text_number(struct access_text *t, uint64_t n);

/* Nanoseconds as seconds, with six digits behind the point. */
static inline void access_text_seconds(struct access_text *t, uint64_t ns);

/* The rest of access_text_value: what has to be escaped, or is long. */
void access_text_escape(struct access_text *t, struct slice text);

/* --- the inline ones */

typedef uint8_t access_block __attribute__((vector_size(16)));
typedef int8_t access_signs __attribute__((vector_size(16)));

static inline access_block access_block_at(const char *text) {
    access_block b;
    memcpy(&b, text, sizeof b);
    return b;
}

/* Not zero where a byte has to be escaped. Those from 0x80 on are negative. */
static inline __attribute__((always_inline)) access_block access_block_odd(access_block b, bool json,
                                                                           access_block stop) {
    const access_block odd =
        (access_block)((access_signs)b < ' ') | (access_block)(b == 0x7f) | (access_block)(b == '\\');
    if (json) /* quote and &, < and > differ by one bit */
        return odd | (access_block)((b | 4) == '&') | (access_block)((b | 2) == '>');
    return odd | (access_block)(b == '"') | (access_block)(b == stop);
}

/* Copies `n` bytes, at least one. Returns whether they are all shown as they are. */
static inline __attribute__((always_inline)) bool access_text_copy(char *to, const char *from, size_t n, bool json,
                                                                   unsigned char stop) {
    const access_block stops = (access_block){0} + stop;
    access_block odd = {0};
    uint64_t halves[2];
    if (n > 16) {
        for (size_t i = 0; i < n - 16; i += 16) {
            const access_block b = access_block_at(from + i);
            memcpy(to + i, &b, sizeof b);
            odd |= access_block_odd(b, json, stops);
        }
        const access_block last = access_block_at(from + n - 16);
        memcpy(to + n - 16, &last, sizeof last);
        odd |= access_block_odd(last, json, stops);
    } else {
        uint32_t words[2];
        if (n >= 8) {
            memcpy(&halves[0], from, 8);
            memcpy(&halves[1], from + n - 8, 8);
            memcpy(to, &halves[0], 8);
            memcpy(to + n - 8, &halves[1], 8);
        } else if (n >= 4) {
            memcpy(&words[0], from, 4);
            memcpy(&words[1], from + n - 4, 4);
            memcpy(to, &words[0], 4);
            memcpy(to + n - 4, &words[1], 4);
            halves[0] = halves[1] = (uint64_t)words[0] << 32 | words[1];
        } else {
            const unsigned char first = (unsigned char)from[0], middle = (unsigned char)from[n / 2],
                                last = (unsigned char)from[n - 1];
            to[0] = (char)first;
            to[n / 2] = (char)middle;
            to[n - 1] = (char)last;
            words[0] = (uint32_t)first << 24 | (uint32_t)first << 16 | (uint32_t)middle << 8 | last;
            halves[0] = halves[1] = (uint64_t)words[0] << 32 | words[0];
        }
        access_block b;
        memcpy(&b, halves, sizeof b);
        odd = access_block_odd(b, json, stops);
    }
    memcpy(halves, &odd, sizeof halves);
    return !(halves[0] | halves[1]);
}

static inline bool access_text_has_room(const struct access_text *t, size_t n) {
    return n <= (size_t)(t->end - t->p);
}

/* Most pieces are short: in two steps that overlap. */
static inline void access_text_put(struct access_text *t, const char *bytes, size_t n) {
    if (!access_text_has_room(t, n)) {
        t->full = true;
        return;
    }
    char *to = t->p;
    t->p += n;
    if (n > 16) {
        memcpy(to, bytes, n);
    } else if (n >= 8) {
        uint64_t first, last;
        memcpy(&first, bytes, 8);
        memcpy(&last, bytes + n - 8, 8);
        memcpy(to, &first, 8);
        memcpy(to + n - 8, &last, 8);
    } else if (n >= 4) {
        uint32_t first, last;
        memcpy(&first, bytes, 4);
        memcpy(&last, bytes + n - 4, 4);
        memcpy(to, &first, 4);
        memcpy(to + n - 4, &last, 4);
    } else if (n) {
        to[0] = bytes[0];
        to[n / 2] = bytes[n / 2];
        to[n - 1] = bytes[n - 1];
    }
}

static inline void access_text_plain(struct access_text *t, const char *bytes, size_t n) {
    if (t->json)
        access_text_put(t, "\"", 1);
    access_text_put(t, bytes, n);
    if (t->json)
        access_text_put(t, "\"", 1);
}

static inline void access_text_none(struct access_text *t) {
    if (t->json)
        access_text_put(t, "null", 4);
    else
        access_text_put(t, "-", 1);
}

static inline void access_text_value(struct access_text *t, struct slice text) {
    const size_t quote = t->json;
    if (!text.n) {
        access_text_none(t);
    } else if (text.n + 3 > t->limit || !access_text_has_room(t, text.n + 2)) {
        access_text_escape(t, text);
    } else if (t->json ? access_text_copy(t->p + 1, text.p, text.n, true, 0)
                       : access_text_copy(t->p, text.p, text.n, false, t->stop)) {
        if (quote)
            t->p[0] = t->p[text.n + 1] = '"';
        t->p += text.n + 2 * quote;
    } else {
        access_text_escape(t, text);
    }
}

static inline void access_text_number(struct access_text *t, uint64_t n) {
    if (access_text_has_room(t, DECIMAL_TEXT_SIZE))
        t->p += decimal_text(t->p, n);
    else
        t->full = true;
}

static inline void access_text_seconds(struct access_text *t, uint64_t ns) {
    if (access_text_has_room(t, DECIMAL_TEXT_SIZE))
        t->p += decimal_text_microseconds(t->p, ns / 1000);
    else
        t->full = true;
}

#endif
