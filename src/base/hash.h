/* A keyed hash of short strings, for tables that are indexed by what peers send. Without the key, nobody can choose
 * strings that collide with those of others.
 *
 * It is not a checksum, and differs from process to process. It is not cryptographic either: somebody who sees hashes
 * may be able to break it. That is enough here, because nobody sees them, and because a table only forgets one of two
 * strings that collide.
 *
 * Threads: any. The inline functions are pure and need nothing to be linked.
 */
#ifndef WSGI_FCGI_BASE_HASH_H
#define WSGI_FCGI_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Combines both halves of the product, so that each bit of either number affects all bits of the result. */
static inline uint64_t hash_fold(uint64_t a, uint64_t b) {
#ifdef __SIZEOF_INT128__
    __extension__ typedef unsigned __int128 wide;
    wide product = (wide)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
#else
    uint64_t low = (a & UINT32_MAX) * (b & UINT32_MAX), mid = (a >> 32) * (b & UINT32_MAX) + (low >> 32);
    uint64_t cross = (a & UINT32_MAX) * (b >> 32) + (mid & UINT32_MAX);
    return (cross << 32 | (low & UINT32_MAX)) ^ ((a >> 32) * (b >> 32) + (mid >> 32) + (cross >> 32));
#endif
}

/* The hash of `n` bytes. `h` is the key (hash_seed), or the hash of the bytes before them. */
static inline uint64_t hash_bytes(uint64_t h, const char *p, size_t n) {
    const uint64_t odd = UINT64_C(0x9e3779b97f4a7c15); /* the golden ratio: about as many ones as zeros */
    uint64_t word = 0;
    if (n > 8) {
        for (size_t i = 0; i + 8 < n; i += 8) {
            memcpy(&word, p + i, 8);
            h = hash_fold(h ^ word, odd);
        }
        p += n - 8;
    }
    if (n >= 8)
        memcpy(&word, p, 8);
    else if (n >= 4) {
        uint32_t first, last;
        memcpy(&first, p, 4);
        memcpy(&last, p + n - 4, 4);
        word = (uint64_t)first << 32 | last;
    } else if (n)
        word = (uint64_t)(uint8_t)p[0] << 16 | (uint64_t)(uint8_t)p[n / 2] << 8 | (uint8_t)p[n - 1];
    return hash_fold(h ^ word, odd ^ (uint64_t)n << 8);
}

/* The next of a series of numbers that look random. `state`: hash_seed at first. */
static inline uint64_t hash_next(uint64_t *state) {
    *state += UINT64_C(0x9e3779b97f4a7c15);
    return hash_fold(*state ^ *state >> 32, UINT64_C(0xbf58476d1ce4e5b9));
}

/* Returns a new secret key at each call. Never waits, not even while the machine boots. */
uint64_t hash_seed(void);

#endif
