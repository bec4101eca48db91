/* Writes numbers as decimal text, whatever the locale, and faster than printf.
 *
 * Threads: any. Pure: no I/O, no allocation, no lock.
 */
#ifndef WSGI_FCGI_BASE_DECIMAL_TEXT_H
#define WSGI_FCGI_BASE_DECIMAL_TEXT_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { DECIMAL_TEXT_SIZE = 24 }; /* any 64-bit number, with a point and the terminating byte */

/* Writes two digits of a number below 100. */
static inline void decimal_text_pair(char *out, unsigned number) {
    const unsigned tens = number * 103 >> 10; /* as / 10 up to 178 */
    out[0] = (char)('0' + tens);
    out[1] = (char)('0' + number - 10 * tens);
}

/* The eight digits of a number below 10^8, as the numbers 0 to 9 in the bytes of a word, the first digit in the lowest.
 * First both halves are taken apart, then their halves, then those of these: all at the same time. */
static inline uint64_t decimal_text_digits(uint32_t number) {
    const uint64_t halves = number / 10000 | (uint64_t)(number % 10000) << 32;
    const uint64_t hundreds = (halves * 10486 >> 20) & 0x7f0000007f; /* as / 100 up to 43698 */
    const uint64_t pairs = hundreds | (halves - 100 * hundreds) << 16;
    const uint64_t tens = (pairs * 103 >> 10) & 0x000f000f000f000f; /* as / 10 up to 178 */
    return tens | (pairs - 10 * tens) << 8;
}

/* Writes the lowest byte of a word first. */
static inline void decimal_text_store(char *out, uint64_t word) {
    word = htole64(word);
    memcpy(out, &word, sizeof word);
}

enum { DECIMAL_TEXT_WORD = 100000000 }; /* a word has the digits of what is less */

/* Writes the digits of a number below 10^8, and as many bytes as make it eight, of which the next one is zero. Returns
 * how many digits there are. */
static inline size_t decimal_text_begin(char *out, uint32_t number) {
    const uint64_t digits = decimal_text_digits(number);
    const unsigned zeros = (unsigned)__builtin_ctzll(digits | UINT64_C(1) << 56) / 8; /* the last digit is shown */
    decimal_text_store(out, (digits | 0x3030303030303030) >> 8 * zeros);
    return 8 - zeros;
}

/* Writes the digits of a number, and a terminating byte. Returns how many there are. */
static inline size_t decimal_text(char out[static DECIMAL_TEXT_SIZE], uint64_t number) {
    const uint64_t high = number / DECIMAL_TEXT_WORD;
    size_t n;
    if (!high) { /* most are short */
        n = decimal_text_begin(out, (uint32_t)number);
    } else {
        n = decimal_text_begin(out, (uint32_t)(high < DECIMAL_TEXT_WORD ? high : high / DECIMAL_TEXT_WORD));
        for (int left = high < DECIMAL_TEXT_WORD ? 1 : 2; left; left--, n += 8) {
            const uint64_t part = left == 2 ? high % DECIMAL_TEXT_WORD : number % DECIMAL_TEXT_WORD;
            decimal_text_store(out + n, decimal_text_digits((uint32_t)part) | 0x3030303030303030);
        }
    }
    out[n] = '\0';
    return n;
}

/* Writes microseconds as seconds, always with six digits behind the point: "1.500000". Returns the length. */
static inline size_t decimal_text_microseconds(char out[static DECIMAL_TEXT_SIZE], uint64_t us) {
    if (us < 10000000) { /* most are short: 0sdddddd */
        const uint64_t text = decimal_text_digits((uint32_t)us) | 0x3030303030303030;
        decimal_text_store(out, (text & ~UINT64_C(0xffff)) | (uint64_t)'.' << 8 | (text >> 8 & 0xff));
        return 8;
    }
    const size_t n = decimal_text(out, us / 1000000);
    out[n] = '.';
    decimal_text_store(out + n + 1, (decimal_text_digits((uint32_t)(us % 1000000)) | 0x3030303030303030) >> 16);
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
