/* Which calls tend to block: a small table of moving averages, indexed by the key of a job.
 *
 * The figure kept for a key is the time, in nanoseconds, for which a call of its kind would leave the event loop
 * without a thread if it ran inline: 0 for a call that did not block, else its duration up to the moment at which the
 * watch would have taken the loop over. Handing the loop over in advance pays when that time is longer than a hand-over
 * takes.
 *
 * Threads: any; the fields are relaxed atomics, and a lost update costs a little precision and nothing else.
 */
#ifndef WSGI_FCGI_SCHED_PREDICT_H
#define WSGI_FCGI_SCHED_PREDICT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    PREDICT_SLOTS = 1024,         /* keys share a slot modulo this */
    PREDICT_HAND_OVER_NS = 20000, /* what a hand-over costs: a wake-up of another thread and its cold start */
    PREDICT_WATCH_NS = 1500000,   /* after this the watch has taken a blocked thread's loop over anyway */
    PREDICT_NOTICE_NS = 100000,   /* an unmeasured call longer than this makes the next ones be measured */
    PREDICT_MEASURE_CALLS = 8,    /* so many of them */
    PREDICT_WEIGHT = 8,           /* one call moves the average by 1/8 of the difference */
    PREDICT_QUICK_NS = 20000,     /* a call that takes no longer is quick, */
    PREDICT_QUICK_CALLS = 32      /* and so are its kind after so many of them in a row */
};

struct predict_slot {
    atomic_uint blind_ns; /* the moving average */
    atomic_uchar measure; /* calls that are still to be measured */
    atomic_uchar quick;   /* quick calls in a row, up to PREDICT_QUICK_CALLS */
};

struct predict {
    struct predict_slot slots[PREDICT_SLOTS]; /* zeroed: nothing blocks */
};

static inline struct predict_slot *predict_slot(struct predict *p, uint32_t key) {
    return &p->slots[key % PREDICT_SLOTS];
}

/* Should the loop be handed over before a call of this kind? */
static inline bool predict_blocks(struct predict_slot *slot) {
    return atomic_load_explicit(&slot->blind_ns, memory_order_relaxed) > PREDICT_HAND_OVER_NS;
}

/* Should voluntary context switches be counted around a call of this kind? It costs two getrusage calls (0.6 us). */
static inline bool predict_wants_measure(struct predict_slot *slot) {
    return atomic_load_explicit(&slot->measure, memory_order_relaxed) > 0 ||
           atomic_load_explicit(&slot->blind_ns, memory_order_relaxed) > 0;
}

/* May finished work wait until a call of this kind has ended? */
static inline bool predict_is_quick(struct predict_slot *slot) {
    return atomic_load_explicit(&slot->quick, memory_order_relaxed) == PREDICT_QUICK_CALLS;
}

/* Takes note of how long any call took. */
static inline void predict_record_duration(struct predict_slot *slot, uint64_t duration_ns) {
    unsigned char quick = atomic_load_explicit(&slot->quick, memory_order_relaxed);
    if (duration_ns > PREDICT_QUICK_NS)
        atomic_store_explicit(&slot->quick, 0, memory_order_relaxed);
    else if (quick < PREDICT_QUICK_CALLS)
        atomic_store_explicit(&slot->quick, (unsigned char)(quick + 1), memory_order_relaxed);
}

/* Takes note of a call that was measured, or that the watch saw asleep (`blocked`). */
void predict_record(struct predict_slot *slot, uint64_t duration_ns, bool blocked);

/* Takes note of a call that was not measured. */
static inline void predict_record_unmeasured(struct predict_slot *slot, uint64_t duration_ns) {
    if (duration_ns > PREDICT_NOTICE_NS)
        atomic_store_explicit(&slot->measure, PREDICT_MEASURE_CALLS, memory_order_relaxed);
}

#endif
