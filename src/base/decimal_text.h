/* Writes numbers as decimal text, whatever the locale, and faster than printf.
 *
 * Threads: any. Pure: no I/O, no allocation, no lock.
 */
#ifndef WSGI_FCGI_BASE_DECIMAL_TEXT_H
#define WSGI_FCGI_BASE_DECIMAL_TEXT_H

#include <stddef.h>
#include <stdint.h>

enum { DECIMAL_TEXT_SIZE = 24 }; /* any 64-bit number, with a point and the terminating byte */

/* Writes the digits of a number, and a terminating byte. Returns how many there are. */
static inline size_t decimal_text(char out[static DECIMAL_TEXT_SIZE], uint64_t number) {
    size_t n = 1;
    for (uint64_t rest = number; rest >= 10; rest /= 10)
        n++;
    out[n] = '\0';
    for (size_t i = n; i > 0; number /= 10)
        out[--i] = (char)('0' + number % 10);
    return n;
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
