#include "config.h"

#include "base/hash.h"

#include "base/clock.h"

#include <sys/random.h>
#include <unistd.h>

uint64_t hash_seed(void) {
    uint64_t seed;
    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) == (ssize_t)sizeof seed)
        return seed;
    /* No randomness yet, or none at all in a sandbox: something hard to guess must do. */
    return hash_fold(clock_ns() ^ (uint64_t)(uintptr_t)&seed, UINT64_C(0x9e3779b97f4a7c15) + (uint64_t)getpid());
}
