/* Predicts which calls block: a small table of moving averages, indexed by the key of a job.
 *
 * Keys are hashes that nobody outside can predict, and several keys share a slot. A path may name one of any number of
 * things (/article/123), so a key that has not come before is judged by the others of its slot, the crowd. A key that
 * comes again and again is judged by itself: it owns the slot. The owner's calls raise its standing, and all others
 * lower it, until one of them takes its place. So a key with more than an eighth of the calls of all others in its slot
 * stays the owner; and however many keys a peer invents, they do not affect what is known about the owner, nor does the
 * owner affect them.
 *
 * The value kept is the time, in nanoseconds, for which a call would leave the event loop without a thread if it ran
 * inline: 0 for a call that did not block, else its duration up to the moment at which the watch would have taken the
 * loop over. Handing the loop over in advance pays when that time is longer than a hand-over takes. Beside it stands
 * whether such calls compute without the jobs' lock, or with it.
 *
 * Threads: any. The fields are relaxed atomics; a lost update only costs a little precision.
 */
#ifndef WSGI_FCGI_SCHED_PREDICT_H
#define WSGI_FCGI_SCHED_PREDICT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    PREDICT_SLOTS = 1024,         /* keys share a slot modulo this */
    PREDICT_HAND_OVER_NS = 20000, /* the cost of a hand-over: another thread wakes up with cold caches */
    PREDICT_WATCH_NS = 1500000,   /* after this the watch has taken a blocked thread's loop over anyway */
    PREDICT_NOTICE_NS = 100000,   /* an unmeasured call longer than this makes the next ones be measured */
    PREDICT_MEASURE_CALLS = 8,    /* this many of them... */
    PREDICT_CALM_CALLS = 64,      /* ...until so many in a row did not block: */
    PREDICT_CALM_SHARE = 16,      /* then one of so many such calls makes one be measured */
    PREDICT_WEIGHT = 8,           /* one call moves the average by 1/8 of the difference */
    PREDICT_QUICK_NS = 20000,     /* a call that takes no longer is quick */
    PREDICT_QUICK_CALLS = 32,     /* a kind is quick after this many quick calls in a row */
    PREDICT_LOOK_CALLS = 8,       /* one of so many blocking calls is looked at, to see whether it computes as well */
    PREDICT_STANDING_CALL = 8,    /* one call of the owner outweighs this many others */
    PREDICT_STANDING_MAX = 256    /* the owner gives way after about this many other calls, or fewer if it is new */
};

/* Calls that are judged together. */
struct predict_kind {
    atomic_uint blind_ns; /* the moving average */
    atomic_uchar measure; /* calls that are still to be measured */
    atomic_uchar calm;    /* measured calls in a row that did not block, up to PREDICT_CALM_CALLS */
    atomic_uchar notices; /* of a calm kind, calls that were longer than PREDICT_NOTICE_NS: counts round and round */
    atomic_uchar quick;   /* quick calls in a row, up to PREDICT_QUICK_CALLS */
    atomic_uchar free;    /* 1: calls compute without the jobs' lock, as far as they were looked at */
    atomic_uchar turn;    /* calls until the next is looked at */
    atomic_uchar holds;   /* 1: calls compute with that lock for long, as far as they were looked at */
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

/* The kind by which calls of this key are judged now; when they end it may be another. */
static inline struct predict_kind *predict_kind(struct predict_slot *slot, uint32_t key) {
    return atomic_load_explicit(&slot->owner, memory_order_relaxed) == key ? &slot->own : &slot->crowd;
}

/* Part of predict_count: for a key that does not own the slot. */
void predict_count_other(struct predict_slot *slot, uint32_t key);

/* Counts a call of this key, after it has been recorded. This may change the owner of the slot; a new owner starts with
 * what is known about the crowd. */
static inline void predict_count(struct predict_slot *slot, uint32_t key) {
    if (atomic_load_explicit(&slot->owner, memory_order_relaxed) != key) {
        predict_count_other(slot, key);
        return;
    }
    unsigned standing = atomic_load_explicit(&slot->standing, memory_order_relaxed);
    if (standing < PREDICT_STANDING_MAX)
        atomic_store_explicit(&slot->standing, standing + PREDICT_STANDING_CALL, memory_order_relaxed);
}

/* Whether the loop should be handed over before a call of this kind. */
static inline bool predict_blocks(struct predict_kind *kind) {
    return atomic_load_explicit(&kind->blind_ns, memory_order_relaxed) > PREDICT_HAND_OVER_NS;
}

/* Whether voluntary context switches should be counted around a call of this kind. It costs two calls of getrusage
 * (0.6 us). */
static inline bool predict_wants_measure(struct predict_kind *kind) {
    return atomic_load_explicit(&kind->measure, memory_order_relaxed) > 0 ||
           atomic_load_explicit(&kind->blind_ns, memory_order_relaxed) > 0;
}

/* Whether calls of this kind are expected to compute without the jobs' lock, so that others can run meanwhile. */
static inline bool predict_is_free(struct predict_kind *kind) {
    return atomic_load_explicit(&kind->free, memory_order_relaxed);
}

/* Whether the watch should look at a call of this kind, for which the loop is handed over. Of those that are not known
 * to be free a few will do: one that waits at first, for a database perhaps, may compute for longer than that. */
static inline bool predict_wants_look(struct predict_kind *kind) {
    unsigned char turn = atomic_load_explicit(&kind->turn, memory_order_relaxed);
    atomic_store_explicit(&kind->turn, (unsigned char)((turn ? turn : PREDICT_LOOK_CALLS) - 1), memory_order_relaxed);
    return !turn || predict_is_free(kind);
}

/* Whether finished work may wait until a call of this kind has ended. */
static inline bool predict_is_quick(struct predict_kind *kind) {
    return atomic_load_explicit(&kind->quick, memory_order_relaxed) == PREDICT_QUICK_CALLS;
}

/* Records how long a call took; for every call. */
static inline void predict_record_duration(struct predict_kind *kind, uint64_t duration_ns) {
    unsigned char quick = atomic_load_explicit(&kind->quick, memory_order_relaxed);
    if (duration_ns > PREDICT_QUICK_NS)
        atomic_store_explicit(&kind->quick, 0, memory_order_relaxed);
    else if (quick < PREDICT_QUICK_CALLS)
        atomic_store_explicit(&kind->quick, (unsigned char)(quick + 1), memory_order_relaxed);
}

/* Records a call that was measured or followed, or that the watch saw asleep. `blocked`: the loop should have been
 * handed over. */
void predict_record(struct predict_kind *kind, uint64_t duration_ns, bool blocked);

/* Records what the watch has seen of a call. Forgotten when calls of this kind leave the loop alone for no time any
 * more. */
static inline void predict_record_free(struct predict_kind *kind, bool free) {
    atomic_store_explicit(&kind->free, free, memory_order_relaxed);
}

/* Whether calls of this kind are expected to compute with the jobs' lock for so long that another process had better do
 * meanwhile what comes. */
static inline bool predict_holds(struct predict_kind *kind) {
    return atomic_load_explicit(&kind->holds, memory_order_relaxed);
}

/* Records what the watch has seen of a call that ran detached. */
static inline void predict_record_holds(struct predict_kind *kind, bool holds) {
    atomic_store_explicit(&kind->holds, holds, memory_order_relaxed);
}

/* Part of predict_record_unmeasured: a call that took long. */
void predict_notice(struct predict_kind *kind);

/* Records a call that was not measured. */
static inline void predict_record_unmeasured(struct predict_kind *kind, uint64_t duration_ns) {
    if (duration_ns > PREDICT_NOTICE_NS)
        predict_notice(kind);
}

#endif
