#include "config.h"

#include "proto/params.h"

#include <string.h>

/* Returns how many bytes the length at `p` takes, or 0 when it is cut off. */
static size_t read_length(const char *p, const char *end, size_t *length) {
    const uint8_t *u = (const uint8_t *)p;
    if (p == end)
        return 0;
    if (u[0] < 0x80) {
        *length = u[0];
        return 1;
    }
    if (end - p < 4)
        return 0;
    *length = (size_t)(u[0] & 0x7f) << 24 | (size_t)u[1] << 16 | (size_t)u[2] << 8 | u[3];
    return 4;
}

/* Reads both lengths of a pair. Returns how many bytes they take, or 0 when they are cut off. */
static size_t read_lengths(const char *p, const char *end, size_t *name, size_t *value) {
    size_t first = read_length(p, end, name);
    size_t second = first ? read_length(p + first, end, value) : 0;
    return second ? first + second : 0;
}

enum params_result params_next_long(const char **pos, const char *end, struct params_pair *pair) {
    const char *p = *pos;
    size_t name, value;
    if (p == end)
        return PARAMS_END;
    size_t n = read_lengths(p, end, &name, &value);
    if (!n)
        return PARAMS_MALFORMED;
    p += n;
    /* Two comparisons instead of a sum: lengths come from the peer, and may be near 2^31. */
    size_t left = (size_t)(end - p);
    if (name > left || value > left - name)
        return PARAMS_MALFORMED;
    pair->name = (struct slice){p, name};
    pair->value = (struct slice){p + name, value};
    *pos = p + name + value;
    return PARAMS_PAIR;
}

size_t params_common(const char *a, const char *b, size_t n) {
    size_t i = 0;
    if (!memcmp(a, b, n))
        return n;
    for (uint64_t x, y; i + 8 <= n; i += 8) {
        memcpy(&x, a + i, 8);
        memcpy(&y, b + i, 8);
        if (x != y)
            break;
    }
    while (i < n && a[i] == b[i])
        i++;
    return i;
}

static char *put_length(char *out, size_t n) {
    if (n < 0x80) {
        *out = (char)n;
        return out + 1;
    }
    uint8_t bytes[4] = {(uint8_t)(n >> 24 | 0x80), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};
    memcpy(out, bytes, sizeof bytes);
    return out + sizeof bytes;
}

char *params_put_lengths(char *out, size_t name, size_t value) {
    return put_length(put_length(out, name), value);
}

size_t params_put(char *out, size_t size, struct slice name, struct slice value) {
    size_t need = (name.n < 0x80 ? 1u : 4u) + (value.n < 0x80 ? 1u : 4u) + name.n + value.n;
    if (need > size)
        return need;
    out = params_put_lengths(out, name.n, value.n);
    if (name.n)
        memcpy(out, name.p, name.n);
    if (value.n)
        memcpy(out + name.n, value.p, value.n);
    return need;
}
