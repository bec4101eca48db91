/* Writes numbers as decimal text, whatever the locale, and faster than printf.
 *
 * Threads: any. Pure: no I/O, no allocation, no lock.
 */
#ifndef WSGI_FCGI_BASE_DECIMAL_TEXT_H
#define WSGI_FCGI_BASE_DECIMAL_TEXT_H

#include <stddef.h>
#include <stdint.h>

enum { DECIMAL_TEXT_SIZE = 24 }; /* any 64-bit number, with a point and the terminating byte */

static inline unsigned decimal_text_length(uint64_t number) {
    for (unsigned n = 0;; n += 4, number /= 10000) {
        if (number < 100)
            return n + (number < 10 ? 1 : 2);
        if (number < 10000)
            return n + (number < 1000 ? 3 : 4);
    }
}

/* Writes two digits of a number below 100. */
static inline void decimal_text_pair(char *out, unsigned number) {
    const unsigned tens = number * 103 >> 10; /* as / 10 up to 178 */
    out[0] = (char)('0' + tens);
    out[1] = (char)('0' + number - 10 * tens);
}

/* Writes the digits of a number, and a terminating byte. Returns how many there are. */
static inline size_t decimal_text(char out[static DECIMAL_TEXT_SIZE], uint64_t number) {
    const size_t n = decimal_text_length(number);
    size_t i = n;
    out[n] = '\0';
    for (; i > 1; number /= 100)
        decimal_text_pair(out + (i -= 2), (unsigned)(number % 100));
    if (i)
        out[0] = (char)('0' + number);
    return n;
}

/* Writes microseconds as seconds, always with six digits behind the point: "1.500000". Returns the length. */
static inline size_t decimal_text_microseconds(char out[static DECIMAL_TEXT_SIZE], uint64_t us) {
    const uint64_t whole = us / 1000000;
    const size_t n = whole < 10 ? 1 : decimal_text(out, whole); /* most are short */
    if (whole < 10)
        out[0] = (char)('0' + whole);
    const unsigned rest = (unsigned)(us - whole * 1000000);
    out[n] = '.';
    decimal_text_pair(out + n + 1, rest / 10000);
    decimal_text_pair(out + n + 3, rest / 100 % 100);
    decimal_text_pair(out + n + 5, rest % 100);
    return n + 7;
}

/* Writes nanoseconds as seconds, without zeros at the end: "1.5", "0.00025", "0". Returns the length. */
static inline size_t decimal_text_seconds(char out[static DECIMAL_TEXT_SIZE], uint64_t ns) {
    size_t n = decimal_text(out, ns / 1000000000u);
    uint64_t rest = ns % 1000000000u;
    if (!rest)
        return n;
    out[n++] = '.';
    for (uint64_t unit = 100000000u; rest; unit /= 10) {
        out[n++] = (char)('0' + rest / unit);
        rest %= unit;
    }
    out[n] = '\0';
    return n;
}

#endif
