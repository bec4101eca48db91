/* Numbers in decimal digits, for what is written with each answer, where the formatting of stdio would cost more than all
 * else about the header line.
 *
 * Pure: no I/O, no allocation, no lock.
 */
#ifndef WSGI_FCGI_PROTO_DECIMAL_H
#define WSGI_FCGI_PROTO_DECIMAL_H

#include "proto/params.h"

enum { DECIMAL_MAX = 20 }; /* digits of the largest number */

/* Writes `n` at the end of `digits`. Returns where in `digits` it stands. */
static inline struct slice decimal(char digits[static DECIMAL_MAX], uint64_t n) {
    size_t i = DECIMAL_MAX;
    do
        digits[--i] = (char)('0' + n % 10);
    while ((n /= 10) != 0);
    return (struct slice){digits + i, DECIMAL_MAX - i};
}

#endif
