#include "config.h"

#include "proto/cgi_rules.h"

#include "base/ascii.h"

#include <stdint.h>
#include <string.h>

bool cgi_is_token(struct slice s) {
    for (size_t i = 0; i < s.n; i++) {
        if (!ascii_is_token_char(s.p[i]))
            return false;
    }
    return s.n > 0;
}

#define EACH(byte) (0x0101010101010101u * (byte))

/* Nonzero if one of eight bytes is below 0x20 or is DEL. */
static inline uint64_t controls(uint64_t eight) {
    uint64_t del = eight ^ EACH(0x7f);
    return (((eight - EACH(0x20)) & ~eight) | ((del - EACH(1)) & ~del)) & EACH(0x80);
}

/* The earliest possible place of the first control character. */
static size_t pass_clean(struct slice s) {
    size_t at = 0;
    for (uint64_t eight; s.n - at >= sizeof eight; at += sizeof eight) {
        memcpy(&eight, s.p + at, sizeof eight);
        if (controls(eight))
            break;
    }
    return at;
}

static bool is_control(char c) {
    return (unsigned char)c < 0x20 || c == 0x7f;
}

bool cgi_is_target(struct slice s) {
    for (size_t i = pass_clean(s); i < s.n; i++) {
        if (is_control(s.p[i]))
            return false;
    }
    return true;
}

bool cgi_is_field_value(struct slice s) {
    for (size_t i = pass_clean(s); i < s.n; i++) {
        if (is_control(s.p[i]) && s.p[i] != '\t')
            return false;
    }
    return true;
}

bool cgi_has_nul(struct slice s) {
    return s.n && memchr(s.p, 0, s.n);
}
