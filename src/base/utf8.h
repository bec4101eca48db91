/* Reads UTF-8 character by character, whatever the locale.
 *
 * Open it when text of others is to be shown or written in some form.
 *
 * Threads: any. Pure: no I/O, no allocation, no lock.
 */
#ifndef WSGI_FCGI_BASE_UTF8_H
#define WSGI_FCGI_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How many bytes the character at the beginning of the `len` bytes (at least one) has, and its number in *code; 0: it
 * is no character (RFC 3629, 4), and *code is not to be used. */
static inline size_t utf8_read(const char *text, size_t len, uint32_t *code) {
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *in = (const unsigned char *)text;
    size_t n = in[0] < 0x80 ? 1 : in[0] < 0xc0 ? 0 : in[0] < 0xe0 ? 2 : in[0] < 0xf0 ? 3 : in[0] < 0xf8 ? 4 : 0;
    if (!n || n > len)
        return 0;
    *code = n == 1 ? in[0] : in[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((in[i] & 0xc0) != 0x80)
            return 0;
        *code = *code << 6 | (in[i] & 0x3fu);
    }
    return *code < least[n] || *code > 0x10ffff || (*code >= 0xd800 && *code < 0xe000) ? 0 : n;
}

/* Whether it shows as one character and does not affect others. That excludes controls (C0, DEL, C1), line ends
 * (U+2028, U+2029), and characters that turn the direction of the text around them, which can make a line show
 * something that is not there. */
static inline bool utf8_is_plain(uint32_t code) {
    if (code < 0xa0)
        return code >= 0x20 && code < 0x7f;
    return !(code >= 0x2028 && code <= 0x202e) && !(code >= 0x2066 && code <= 0x2069) && code != 0x061c &&
           code != 0x200e && code != 0x200f;
}

/* How many of the first `len` bytes of the text are at most `most` and end with a whole character. */
static inline size_t utf8_cut(const char *text, size_t len, size_t most) {
    if (len <= most)
        return len;
    size_t n = most;
    /* Bytes that continue a character, of which there are at most three; more is no UTF-8, and cut anywhere. */
    for (int back = 0; n && back < 3 && (text[n] & 0xc0) == 0x80; back++)
        n--;
    return n && (text[n] & 0xc0) == 0x80 ? most : n;
}

#endif
