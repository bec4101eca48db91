#include "config.h"

#include "traces/spans.h"

#include "base/clock.h"

#include <stdlib.h>
#include <time.h>

struct spans {
    _Alignas(64) atomic_size_t put; /* counted up for ever, as `taken` is */
    _Alignas(64) atomic_size_t taken;
    _Atomic uint64_t *lost, own_lost; /* the first one may be the second one */
    sem_t some;
    struct span ring[SPANS_ROOM];
};

struct spans *spans_new(_Atomic uint64_t *lost) {
    struct spans *s = aligned_alloc(64, (sizeof *s + 63) / 64 * 64);
    if (!s)
        return NULL;
    atomic_init(&s->put, 0);
    atomic_init(&s->taken, 0);
    atomic_init(&s->own_lost, 0);
    s->lost = lost ? lost : &s->own_lost;
    sem_init(&s->some, 0, 0);
    return s;
}

void spans_free(struct spans *s) {
    if (s)
        sem_destroy(&s->some);
    free(s);
}

static size_t count(const struct spans *s) {
    return atomic_load_explicit(&s->put, memory_order_acquire) - atomic_load_explicit(&s->taken, memory_order_acquire);
}

struct span *spans_room(struct spans *s) {
    if (count(s) == SPANS_ROOM) {
        spans_lose(s, 1);
        return NULL;
    }
    return &s->ring[atomic_load_explicit(&s->put, memory_order_relaxed) % SPANS_ROOM];
}

void spans_put(struct spans *s) {
    atomic_fetch_add_explicit(&s->put, 1, memory_order_release);
    if (count(s) % SPANS_BATCH == 0)
        sem_post(&s->some);
}

size_t spans_wait(struct spans *s, uint64_t ns) {
    return spans_wait_more(s, count(s) < SPANS_BATCH ? ns : 0);
}

size_t spans_wait_more(struct spans *s, uint64_t ns) {
    uint64_t until = clock_ns() + ns;
    struct timespec at = {.tv_sec = (time_t)(until / 1000000000), .tv_nsec = (long)(until % 1000000000)};
    if (ns)
        (void)sem_clockwait(&s->some, CLOCK_MONOTONIC, &at);
    return count(s);
}

const struct span *spans_at(const struct spans *s, size_t i) {
    return &s->ring[(atomic_load_explicit(&s->taken, memory_order_relaxed) + i) % SPANS_ROOM];
}

void spans_drop(struct spans *s, size_t n) {
    atomic_fetch_add_explicit(&s->taken, n, memory_order_release);
}

void spans_wake(struct spans *s) {
    sem_post(&s->some);
}

void spans_lose(struct spans *s, uint64_t n) {
    atomic_fetch_add_explicit(s->lost, n, memory_order_relaxed);
}

uint64_t spans_lost(const struct spans *s) {
    return atomic_load_explicit(s->lost, memory_order_relaxed);
}
