/* Which calls tend to block: a small table of moving averages, indexed by the key of a job.
 *
 * Keys fall on the same slot by a hash that nobody outside can know, and a path may name something of which there are any
 * number (/article/123): a key that has not come before is judged by the others of its slot, the crowd. What comes again
 * and again is judged by itself: a slot has one owner, whose calls raise its standing, and those of all others lower it
 * until one of them takes the place. So a key with more than an eighth of the calls of all others in its slot stays its
 * owner, and however many keys a peer invents, they tell nothing about it, nor does it about them.
 *
 * The figure kept is the time, in nanoseconds, for which a call of its kind would leave the event loop without a thread
 * if it ran inline: 0 for a call that did not block, else its duration up to the moment at which the watch would have
 * taken the loop over. Handing the loop over in advance pays when that time is longer than a hand-over takes.
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
    PREDICT_QUICK_CALLS = 32,     /* and so are its kind after so many of them in a row */
    PREDICT_STANDING_CALL = 8,    /* a call of the owner's makes up for so many of others */
    PREDICT_STANDING_MAX = 256    /* it gives way when it has not come for about so many, and sooner if it was new */
};

/* Calls that are judged together. */
struct predict_kind {
    atomic_uint blind_ns; /* the moving average */
    atomic_uchar measure; /* calls that are still to be measured */
    atomic_uchar quick;   /* quick calls in a row, up to PREDICT_QUICK_CALLS */
};

struct predict_slot {
    atomic_uint owner;       /* its key */
    atomic_uint standing;    /* 0: the next call of the crowd makes its key the owner */
    struct predict_kind own; /* the owner's calls */
    struct predict_kind crowd;
};

struct predict {
    struct predict_slot slots[PREDICT_SLOTS]; /* zeroed: nothing blocks */
};

static inline struct predict_slot *predict_slot(struct predict *p, uint32_t key) {
    return &p->slots[key % PREDICT_SLOTS];
}

/* What calls of this key are judged by now; at their end it may be something else. */
static inline struct predict_kind *predict_kind(struct predict_slot *slot, uint32_t key) {
    return atomic_load_explicit(&slot->owner, memory_order_relaxed) == key ? &slot->own : &slot->crowd;
}

/* Part of predict_count: for a key that does not own the slot. */
void predict_count_other(struct predict_slot *slot, uint32_t key);

/* Counts a call of this key, once it has been recorded. Who owns the slot may be another one afterwards; a new owner begins
 * with what is known about the crowd. */
static inline void predict_count(struct predict_slot *slot, uint32_t key) {
    if (atomic_load_explicit(&slot->owner, memory_order_relaxed) != key) {
        predict_count_other(slot, key);
        return;
    }
    unsigned standing = atomic_load_explicit(&slot->standing, memory_order_relaxed);
    if (standing < PREDICT_STANDING_MAX)
        atomic_store_explicit(&slot->standing, standing + PREDICT_STANDING_CALL, memory_order_relaxed);
}

/* Should the loop be handed over before a call of this kind? */
static inline bool predict_blocks(struct predict_kind *kind) {
    return atomic_load_explicit(&kind->blind_ns, memory_order_relaxed) > PREDICT_HAND_OVER_NS;
}

/* Should voluntary context switches be counted around a call of this kind? It costs two getrusage calls (0.6 us). */
static inline bool predict_wants_measure(struct predict_kind *kind) {
    return atomic_load_explicit(&kind->measure, memory_order_relaxed) > 0 ||
           atomic_load_explicit(&kind->blind_ns, memory_order_relaxed) > 0;
}

/* May finished work wait until a call of this kind has ended? */
static inline bool predict_is_quick(struct predict_kind *kind) {
    return atomic_load_explicit(&kind->quick, memory_order_relaxed) == PREDICT_QUICK_CALLS;
}

/* Takes note of how long any call took. */
static inline void predict_record_duration(struct predict_kind *kind, uint64_t duration_ns) {
    unsigned char quick = atomic_load_explicit(&kind->quick, memory_order_relaxed);
    if (duration_ns > PREDICT_QUICK_NS)
        atomic_store_explicit(&kind->quick, 0, memory_order_relaxed);
    else if (quick < PREDICT_QUICK_CALLS)
        atomic_store_explicit(&kind->quick, (unsigned char)(quick + 1), memory_order_relaxed);
}

/* Takes note of a call that was measured, or that the watch saw asleep (`blocked`). */
void predict_record(struct predict_kind *kind, uint64_t duration_ns, bool blocked);

/* Takes note of a call that was not measured. */
static inline void predict_record_unmeasured(struct predict_kind *kind, uint64_t duration_ns) {
    if (duration_ns > PREDICT_NOTICE_NS)
        atomic_store_explicit(&kind->measure, PREDICT_MEASURE_CALLS, memory_order_relaxed);
}

#endif
