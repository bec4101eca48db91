#include "config.h"

#include "proto/trace_context.h"

#include <string.h>

/* Where the parts stand. */
enum { AT_TRACE = 3, AT_SPAN = 36, AT_FLAGS = 53 };

/* Only lower case is valid (2.2.2: HEXDIGLC). -1: no digit. */
static int digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Returns whether all are digits. */
static bool read_hex(const char *text, uint8_t *out, size_t n) {
    for (size_t i = 0; i < n; i++) {
        int high = digit(text[2 * i]), low = digit(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

/* An id of zeros is none (2.2.2.3 and 2.2.2.4). */
static bool is_some(const uint8_t *id, size_t n) {
    uint8_t any = 0;
    for (size_t i = 0; i < n; i++)
        any |= id[i];
    return any != 0;
}

bool trace_context_read(struct slice value, struct trace_context *out) {
    uint8_t version;
    struct trace_context read;
    const char *p = value.p;
    if (value.n < TRACE_PARENT_LEN || p[AT_TRACE - 1] != '-' || p[AT_SPAN - 1] != '-' || p[AT_FLAGS - 1] != '-' ||
        !read_hex(p, &version, 1) || !read_hex(p + AT_TRACE, read.trace, sizeof read.trace) ||
        !read_hex(p + AT_SPAN, read.span, sizeof read.span) || !read_hex(p + AT_FLAGS, &read.flags, 1))
        return false;
    if (version == 0xff || !is_some(read.trace, sizeof read.trace) || !is_some(read.span, sizeof read.span))
        return false;
    if (value.n > TRACE_PARENT_LEN && (!version || p[TRACE_PARENT_LEN] != '-'))
        return false;
    read.flags &= TRACE_SAMPLED | TRACE_RANDOM;
    *out = read;
    return true;
}

void trace_context_put_hex(const uint8_t *bytes, size_t n, char *out) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
}

void trace_context_put(const struct trace_context *context, char out[static TRACE_PARENT_LEN]) {
    memset(out, '-', TRACE_PARENT_LEN);
    memcpy(out, "00", 2);
    trace_context_put_hex(context->trace, sizeof context->trace, out + AT_TRACE);
    trace_context_put_hex(context->span, sizeof context->span, out + AT_SPAN);
    trace_context_put_hex(&context->flags, 1, out + AT_FLAGS);
}
