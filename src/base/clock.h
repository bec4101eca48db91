/* Clocks in nanoseconds; about 25 ns a call, no system call. */
#ifndef WSGI_FCGI_BASE_CLOCK_H
#define WSGI_FCGI_BASE_CLOCK_H

#include <pthread.h>
#include <stdint.h>
#include <time.h>

static inline uint64_t clock_of(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* The monotonic clock: for everything that lasts, or is due. */
static inline uint64_t clock_ns(void) {
    return clock_of(CLOCK_MONOTONIC);
}

/* The time of day, since 1970 (Unix time): for what people and other machines read. It steps when somebody sets it. */
static inline uint64_t clock_unix_ns(void) {
    return clock_of(CLOCK_REALTIME);
}

/* The monotonic clock for functions of the system, such as timed waits. */
static inline struct timespec clock_timespec(uint64_t ns) {
    return (struct timespec){.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
}

/* Prepares a condition variable whose timed waits go by the monotonic clock. */
static inline void clock_cond_init(pthread_cond_t *cond) {
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attr);
    pthread_condattr_destroy(&attr);
}

#endif
