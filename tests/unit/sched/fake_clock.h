/* A monotonic clock that stands still until a test moves it, for the test and what is linked into it. Linked with
 * -Wl,--wrap=clock_gettime. Include it before sched_rig.h. */
#ifndef WSGI_FCGI_TESTS_FAKE_CLOCK_H
#define WSGI_FCGI_TESTS_FAKE_CLOCK_H

#include <stdatomic.h>
#include <stdint.h>
#include <time.h>

static atomic_ullong fake_now; /* 0: the true time */

int __real_clock_gettime(clockid_t id, struct timespec *t);
int __wrap_clock_gettime(clockid_t id, struct timespec *t);

int __wrap_clock_gettime(clockid_t id, struct timespec *t) {
    unsigned long long now = atomic_load(&fake_now);
    if (id != CLOCK_MONOTONIC || !now)
        return __real_clock_gettime(id, t);
    *t = (struct timespec){.tv_sec = (time_t)(now / 1000000000u), .tv_nsec = (long)(now % 1000000000u)};
    return 0;
}

/* From the true time on, so that whoever waits until a time does not end at once. */
static inline void clock_stop(void) {
    struct timespec t;
    __real_clock_gettime(CLOCK_MONOTONIC, &t);
    atomic_store(&fake_now, (unsigned long long)t.tv_sec * 1000000000u + (unsigned long long)t.tv_nsec);
}

static inline void clock_pass(uint64_t ns) {
    atomic_fetch_add(&fake_now, ns);
}

#endif
