/* Compares and parses text as ASCII, byte by byte, whatever the locale. Use this for the text of protocols and options.
 *
 * Functions of <strings.h> and <ctype.h>, and those of <stdlib.h> and <stdio.h> for numbers, depend on the locale,
 * which Python sets from the environment (LC_CTYPE) and which an application may change. In tr_TR, "TITLE" and "title"
 * are different words, and "0,5" is a half. The server uses none of them; tests/check-locale makes sure.
 *
 * Threads: any. Pure: no I/O, no allocation, no lock. The inline functions need nothing to be linked.
 */
#ifndef WSGI_FCGI_BASE_ASCII_H
#define WSGI_FCGI_BASE_ASCII_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline bool ascii_is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* White space in a text file: blanks, tabs and line ends; also vertical tabs and form feeds. */
static inline bool ascii_is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Whether the character may appear in the name of a method, field or parameter (RFC 9110, 5.6.2: tchar). */
static inline bool ascii_is_token_char(char c) {
    /* Bit n of word w: the character 64 * w + n. ! # $ % & ' * + - . 0-9 A-Z ^ _ ` a-z | ~ */
    static const uint64_t chars[2] = {UINT64_C(0x03ff6cfa00000000), UINT64_C(0x57ffffffc7fffffe)};
    unsigned char n = (unsigned char)c;
    return n < 128 && (chars[n / 64] >> (n % 64) & 1);
}

static inline char ascii_lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* The value of a hexadecimal digit, or -1. */
static inline int ascii_hex_digit(char c) {
    if (ascii_is_digit(c))
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Converts eight bytes at a time to lower case. Bit 7 of each byte's sum tells whether the byte is past a limit; no
 * carry can reach the next byte. */
static inline uint64_t ascii_lower_word(uint64_t word) {
    const uint64_t each = UINT64_C(0x0101010101010101), low = word & 0x7f * each;
    uint64_t from_a = low + (0x80 - 'A') * each, beyond_z = low + (0x7f - 'Z') * each;
    return word | ((from_a ^ beyond_z) & ~word & 0x80 * each) >> 2;
}

static inline bool ascii_equals_word(const char *a, const char *b) {
    uint64_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return x == y || ascii_lower_word(x) == ascii_lower_word(y);
}

/* Whether the first `n` bytes are equal, ignoring the case of A to Z. Fast, because it runs for the header fields of
 * every answer. */
static inline bool ascii_equals_nocase(const char *a, const char *b, size_t n) {
    if (n >= 8) {
        for (size_t i = 0; i + 8 < n; i += 8) {
            if (!ascii_equals_word(a + i, b + i))
                return false;
        }
        return ascii_equals_word(a + n - 8, b + n - 8);
    }
    for (size_t i = 0; i < n; i++) {
        if (a[i] != b[i] && ascii_lower(a[i]) != ascii_lower(b[i]))
            return false;
    }
    return true;
}

/* The same for whole strings. */
static inline bool ascii_str_equals_nocase(const char *a, const char *b) {
    while (*a && ascii_lower(*a) == ascii_lower(*b)) {
        a++;
        b++;
    }
    return *a == *b;
}

/* Reads the digits at the beginning of `text`, in base 8 or 10. Returns a pointer behind the last digit, or NULL when
 * there are no digits or the number exceeds 2^64-1. */
static inline const char *ascii_read_number(const char *text, unsigned base, uint64_t *number) {
    const char *p = text;
    uint64_t n = 0;
    for (; *p >= '0' && *p < (char)('0' + base); p++) {
        unsigned digit = (unsigned)(*p - '0');
        if (n > (UINT64_MAX - digit) / base)
            return NULL;
        n = n * base + digit;
    }
    *number = n;
    return p > text ? p : NULL;
}

/* Like ascii_read_number in base 10, but the whole text must be a number of at most `max`. Returns whether it is; only
 * then sets *number. */
static inline bool ascii_is_number(const char *text, uint64_t max, uint64_t *number) {
    uint64_t n;
    const char *end = ascii_read_number(text, 10, &n);
    if (!end || *end || n > max)
        return false;
    *number = n;
    return true;
}

/* The plural ending for this number: "1 request", "2 requests". */
static inline const char *ascii_plural(uint64_t n) {
    return n == 1 ? "" : "s";
}

enum { ASCII_SECONDS_SIZE = 24 };

/* Writes a time of 0 to 10^15 seconds with up to three decimals: "30", "0.25". Returns `out`. */
const char *ascii_put_seconds(char out[static ASCII_SECONDS_SIZE], double seconds);

#endif
