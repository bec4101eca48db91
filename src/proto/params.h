/* Reads and writes name-value pairs in the encoding of FastCGI 1.0, 3.4.
 *
 *      7 6 5 4 3 2 1 0
 *     +-+-------------+
 *     |0|   length    |                    a length below 128: one byte
 *     +-+-------------+-----------------------------+
 *     |1|                 length                    |   else: four bytes, network order, high bit set
 *     +-+-------------------------------------------+
 *     nameLength valueLength name[nameLength] value[valueLength]
 *
 * Threads: any. Pure: no I/O, no allocation, no lock. Slices point into the caller's bytes.
 */
#ifndef WSGI_FCGI_PROTO_PARAMS_H
#define WSGI_FCGI_PROTO_PARAMS_H

#include <stddef.h>
#include <stdint.h>

/* Bytes that belong to somebody else. `p` is not terminated, and may be NULL if `n` is 0. */
struct slice {
    const char *p;
    size_t n;
};

/* That of the text in quotes. */
#define LITERAL(text) ((struct slice){(text), sizeof(text) - 1})

struct params_pair {
    struct slice name;
    struct slice value;
};

enum params_result {
    PARAMS_PAIR,      /* *pair was filled, *pos stands behind it */
    PARAMS_END,       /* no bytes are left */
    PARAMS_MALFORMED, /* the bytes end inside a length, a name or a value */
};

/* The part of params_next for pairs with a length of 128 bytes or more, and for the end of the bytes, early or not. */
enum params_result params_next_long(const char **pos, const char *end, struct params_pair *pair);

/* Reads the pair at *pos; the bytes end before `end`. Inline, because it runs for each parameter of each request. */
static inline enum params_result params_next(const char **pos, const char *end, struct params_pair *pair) {
    const unsigned char *u = (const unsigned char *)*pos;
    size_t left = (size_t)(end - *pos);
    if (left < 2 || (u[0] | u[1]) >= 0x80 || (size_t)u[0] + u[1] > left - 2)
        return params_next_long(pos, end, pair);
    pair->name = (struct slice){*pos + 2, u[0]};
    pair->value = (struct slice){*pos + 2 + u[0], u[1]};
    *pos += 2 + u[0] + u[1];
    return PARAMS_PAIR;
}

/* Skips `n` pairs at `pos`, which must be there. Returns where the last of them ends. */
static inline const char *params_pass(const char *pos, const char *end, size_t n) {
    for (struct params_pair pair; n; n--) {
        const unsigned char *u = (const unsigned char *)pos;
        if ((u[0] | u[1]) < 0x80)
            pos += 2 + u[0] + u[1];
        else
            (void)params_next_long(&pos, end, &pair);
    }
    return pos;
}

/* How many bytes are equal at the beginning of both, up to `n`. */
size_t params_common(const char *a, const char *b, size_t n);

/* Writes the two lengths at the beginning of a pair, at most 8 bytes. Returns where the name goes. */
char *params_put_lengths(char *out, size_t name, size_t value);

/* Writes one pair to `out`, if it fits in `size` bytes. Returns the bytes that it takes; if that is more than `size`,
 * nothing was written. Lengths must be below 2^31. */
size_t params_put(char *out, size_t size, struct slice name, struct slice value);

#endif
