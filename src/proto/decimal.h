/* Writes numbers in decimal digits. For values in every answer: formatting with stdio would cost more than the rest of
 * the header line.
 *
 * Threads: any. Pure: no I/O, no allocation, no lock.
 */
#ifndef WSGI_FCGI_PROTO_DECIMAL_H
#define WSGI_FCGI_PROTO_DECIMAL_H

#include "proto/params.h"

enum { DECIMAL_MAX = 20 }; /* digits of the largest number */

/* Writes `n` at the end of `digits`. Returns the digits, which point into that. */
static inline struct slice decimal(char digits[static DECIMAL_MAX], uint64_t n) {
    size_t i = DECIMAL_MAX;
    do
        digits[--i] = (char)('0' + n % 10);
    while ((n /= 10) != 0);
    return (struct slice){digits + i, DECIMAL_MAX - i};
}

#endif
