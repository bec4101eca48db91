/* What the processes of a server count, in memory that all of them share (memfd_create(2)): so whoever is asked can
 * tell the sums, also while the process that has counted is stuck, and when it has died.
 *
 * Each process writes its own slot, that of the scoreboard. Only the thread that has the baton does, by a relaxed load
 * and a store, unless a counter says otherwise, so that nothing on the path of a request is locked or shared between
 * processors. Others read at any moment without a lock, and may find what belongs together apart by one
 * (ipc/metrics_read.h).
 *
 * Sums never go back. When a process has ended, the supervisor adds its slot to the past, and only then gives it to
 * another (metrics_fold). There are two pasts: a new one is made of the other one and the slot, and `state` says at one
 * stroke which of them counts, and which slot is a part of it already. So who reads finds all in order at any moment,
 * also when the supervisor has got no further, and reads again only when it has. The past is kept over a reload. A
 * program that has other numbers, or other places for them, begins a new one, and says so (METRICS_VERSION).
 *
 * Nothing in it is trusted: a process that writes anywhere in its memory may have written here. Who shows it checks
 * bounds, and escapes what is text. A process maps only its own slot for writing, so that it spoils no other's by
 * accident.
 *
 * Units: times and durations are nanoseconds. Moments are those of clock_ns, except where Unix time is named.
 *
 * Threads: writing, owner of the lane only; metrics_new, metrics_map and what folds, any, one at a time.
 */
#ifndef WSGI_FCGI_IPC_METRICS_H
#define WSGI_FCGI_IPC_METRICS_H

#include "ipc/scoreboard.h"
#include "ipc/shared_memory.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Why the server refuses requests: X(name, text), in the order of enum refusal (net/refusal.h), whose names they have.
 */
#define METRICS_REFUSALS(X)                                                                                            \
    X(MALFORMED, "malformed")                                                                                          \
    X(BODY_SHORT, "body_short")                                                                                        \
    X(STATUS_CLIENT, "status_client")                                                                                  \
    X(STATUS_PROXY, "status_proxy")                                                                                    \
    X(STATUS_HOST, "status_host")                                                                                      \
    X(OUTSIDE, "outside")                                                                                              \
    X(STATUS_METHOD, "status_method")                                                                                  \
    X(PARAMS_LATE, "params_late")                                                                                      \
    X(HEAD_STALLED, "head_stalled")                                                                                    \
    X(BODY_LATE, "body_late")                                                                                          \
    X(BODY_STALLED, "body_stalled")                                                                                    \
    X(BODY_SLOW, "body_slow")                                                                                          \
    X(BODY_LARGE, "body_large")                                                                                        \
    X(LINE_LARGE, "line_large")                                                                                        \
    X(PARAMS_LARGE, "params_large")                                                                                    \
    X(PARAMS_MANY, "params_many")                                                                                      \
    X(CONN_FULL, "conn_full")                                                                                          \
    X(QUEUE_FULL, "queue_full")                                                                                        \
    X(QUEUE_LATE, "queue_late")                                                                                        \
    X(NO_MEMORY, "no_memory")                                                                                          \
    X(OVERDUE, "overdue")                                                                                              \
    X(NO_SPOOL, "no_spool")

#define METRICS_REFUSAL_NAME(name, text) METRICS_REFUSED_##name,
enum metrics_refusal { METRICS_REFUSED_NONE, METRICS_REFUSALS(METRICS_REFUSAL_NAME) METRICS_REFUSAL_COUNT };
#undef METRICS_REFUSAL_NAME

/* In the order of enum listener_protocol (net/listen/listener.h), without what serves no requests of the application;
 * and of enum request_end (request/request.h). */
enum metrics_protocol { METRICS_FASTCGI, METRICS_HTTP, METRICS_PROTOCOL_COUNT };
enum metrics_end {
    METRICS_END_ANSWERED,
    METRICS_END_OVERDUE,
    METRICS_END_REFUSED,
    METRICS_END_DROPPED,
    METRICS_END_CUT,
    METRICS_END_ABORTED,
    METRICS_END_COUNT
};

enum { METRICS_CLASS_COUNT = 6 }; /* 0: no status; 1 to 5: 1xx to 5xx */

/* What only grows. */
enum metrics_counter {
    METRICS_ACCEPTED,                                             /* connections, by protocol */
    METRICS_REQUESTS = METRICS_ACCEPTED + METRICS_PROTOCOL_COUNT, /* that have ended, by protocol and class */
    METRICS_ENDED = METRICS_REQUESTS + METRICS_PROTOCOL_COUNT * METRICS_CLASS_COUNT, /* by enum metrics_end */
    METRICS_REFUSED = METRICS_ENDED + METRICS_END_COUNT,                             /* by enum metrics_refusal */
    METRICS_RECEIVED_BYTES = METRICS_REFUSED + METRICS_REFUSAL_COUNT,                /* of bodies */
    METRICS_SENT_BYTES,      /* of bodies, given to the peer or stored for it */
    METRICS_SPOOLED_BODIES,  /* that were kept in a file */
    METRICS_SPOOLED_BYTES,   /* of these */
    METRICS_SPOOL_FAILURES,  /* bodies that no file took: refused, or held back until the application read */
    METRICS_BATONS_GIVEN,    /* calls that began without the loop */
    METRICS_BATONS_TAKEN,    /* calls that lost the loop, since they slept or computed */
    METRICS_HANDOVERS_GIVEN, /* connections, to other processes */
    METRICS_HANDOVERS_TAKEN,
    METRICS_LOG_LINES_LOST,  /* by whoever loses them, as the loop may sleep */
    METRICS_ACCESS_LOG_LOST, /* in the same way */
    METRICS_SPANS_LOST,      /* counted by the thread that sends them as well: traces/spans.h, which adds atomically */
    METRICS_STACKS_TAKEN,    /* counted by those that take them, who add atomically: python/stack.h */
    METRICS_COUNTERS
};

/* What is so at present: true when the loop last waited. The past has none of them. */
enum metrics_gauge {
    METRICS_CONNECTIONS,
    METRICS_REQUESTS_ACTIVE, /* that have begun and not ended; with those of calls that are overdue */
    METRICS_REQUESTS_QUEUED, /* that wait for a thread */
    METRICS_THREADS,         /* that run calls, or would begin one; those that neither run nor are lost are idle */
    METRICS_THREADS_RUNNING, /* a call without the loop */
    METRICS_THREADS_LOST,    /* in a call that is overdue */
    METRICS_THREADS_MAX,     /* --threads */
    METRICS_STARTED_AT,      /* Unix time, nanoseconds: when the process began to serve; 0: it does not yet */
    METRICS_GAUGES
};

/* Distributions of durations. */
enum metrics_duration {
    METRICS_REQUEST,    /* from the first bytes of a request to its end */
    METRICS_QUEUE,      /* that a call waited for a thread */
    METRICS_FIRST_BYTE, /* from the first bytes of a request to the first ones of its answer */
    METRICS_APPLICATION,
    METRICS_CPU,       /* of calls. One that ended before the watch looked at it counts by its wall time */
    METRICS_LOCK_WAIT, /* of calls, for the interpreter lock, where one waited noticeably */
    METRICS_DURATIONS
};

/* Buckets of a histogram are log-linear: a unit wide each up to METRICS_SUB units, then METRICS_SUB for each power of
 * two: a value is known to 1/8, in fixed memory. The last one takes all from 36 minutes on. */
enum { METRICS_UNIT_SHIFT = 7, METRICS_SUB_SHIFT = 3, METRICS_SUB = 1 << METRICS_SUB_SHIFT, METRICS_BUCKETS = 256 };

struct metrics_histogram {
    _Atomic uint64_t counts[METRICS_BUCKETS];
    _Atomic uint64_t sum; /* nanoseconds */
};

/* The last minutes, in steps of METRICS_STEP_NS of clock_ns, which all processes have in common: step N is at place N
 * modulo METRICS_STEPS. A place has what happened in that step; what belongs to the latest one is what counters have
 * beyond `mark`, so a request pays for a comparison with the time. Durations are those of METRICS_REQUEST, in buckets
 * of which each is METRICS_COARSE of the histogram's. */
#define METRICS_STEP_NS UINT64_C(5000000000)
enum { METRICS_STEPS = 128, METRICS_COARSE = 4, METRICS_COARSE_BUCKETS = METRICS_BUCKETS / METRICS_COARSE };

struct metrics_step {
    _Atomic uint64_t number; /* of the step, from 1; 0: nothing is here */
    _Atomic uint64_t errors; /* answers 5xx, of the application or of the server */
    _Atomic uint32_t durations[METRICS_COARSE_BUCKETS];
};

struct metrics_history {
    _Atomic uint64_t step;                                                /* the latest one; 0: none yet */
    _Atomic uint64_t mark_errors, mark_durations[METRICS_COARSE_BUCKETS]; /* when that began */
    struct metrics_step steps[METRICS_STEPS];
};

/* Which paths came most often, and which took longest, in the last five to ten minutes: a path has two halves, that of
 * the present epoch at `epoch` modulo 2, and that of the one before. A place of `frequent` is found by the key of a
 * request, which is a hash of its method and the first segments of its path; who has it gives way, as in
 * sched/predict.h, when others come more often. `slow` has those with the longest requests among all that have no place
 * there. */
enum { METRICS_FREQUENT = 64, METRICS_SLOW = 16, METRICS_PATH_SIZE = 104, METRICS_STANDING_MAX = 64 };
enum { METRICS_EPOCH_STEPS = 60 };

struct metrics_path_half {
    _Atomic uint64_t count, sum, max; /* requests; nanoseconds */
};

struct metrics_path {
    _Atomic uint32_t named; /* 0: nobody is here, or the text changes */
    _Atomic uint32_t key, standing;
    struct metrics_path_half halves[2];
    char text[METRICS_PATH_SIZE]; /* method and path without a query, made safe to show (log_escape); terminated */
};

struct metrics_paths {
    _Atomic uint64_t epoch;     /* a step divided by METRICS_EPOCH_STEPS */
    _Atomic uint64_t slow_from; /* who has no place comes into `slow` by a request that takes longer */
    struct metrics_path frequent[METRICS_FREQUENT];
    struct metrics_path slow[METRICS_SLOW];
};

struct metrics_slot {
    _Alignas(64) _Atomic uint64_t counters[METRICS_COUNTERS];
    _Atomic uint64_t gauges[METRICS_GAUGES];
    struct metrics_histogram durations[METRICS_DURATIONS];
    struct metrics_paths paths;
    struct metrics_history history;
};

enum { METRICS_SLOT_SIZE = 65536 }; /* of which all pages of machines are parts */

/* What is in the head: how many numbers of each kind there are, which nobody can forget to change, and a number to
 * raise whenever one has another meaning or another place. */
enum { METRICS_VERSION = 2 << 24 | METRICS_COUNTERS << 16 | METRICS_GAUGES << 8 | METRICS_DURATIONS };
_Static_assert(METRICS_COUNTERS < 256 && METRICS_GAUGES < 256 && METRICS_DURATIONS < 256, "each has its bits");

/* Why processes that were workers have ended: X(name, text). */
#define METRICS_REASONS(X)                                                                                             \
    X(MAX_REQUESTS, "max_requests")                                                                                    \
    X(MAX_MEMORY, "max_memory")                                                                                        \
    X(MAX_LIFETIME, "max_lifetime")                                                                                    \
    X(STUCK, "stuck")                                                                                                  \
    X(CRASH, "crash")                                                                                                  \
    X(RELOAD, "reload")                                                                                                \
    X(SIGNAL, "signal")                                                                                                \
    X(LOAD_FAILED, "load_failed")                                                                                      \
    X(FILES, "files")                                                                                                  \
    X(OTHER, "other")

#define METRICS_REASON_NAME(name, text) METRICS_REASON_##name,
enum metrics_reason { METRICS_REASONS(METRICS_REASON_NAME) METRICS_REASON_COUNT };
#undef METRICS_REASON_NAME

enum { METRICS_ENDS = 16, METRICS_END_TEXT_SIZE = 104 };

/* A worker that has ended. `at` is written last, and zeroed first when it changes. */
struct metrics_worker_end {
    _Atomic uint64_t at; /* Unix time, nanoseconds; 0: none */
    _Atomic uint32_t number, reason;
    _Atomic int32_t pid;
    char text[METRICS_END_TEXT_SIZE]; /* "was killed by SIGSEGV"; terminated */
};

/* Written by the supervisor. */
struct metrics_supervisor {
    _Atomic uint64_t started_at; /* Unix time, nanoseconds: of the server, whatever was reloaded since */
    _Atomic uint64_t workers_started, workers_ended[METRICS_REASON_COUNT];
    _Atomic uint64_t reloads, reloads_failed;
    _Atomic uint64_t ends_told; /* the next one goes to ends[ends_told % METRICS_ENDS] */
    struct metrics_worker_end ends[METRICS_ENDS];
};

struct metrics {
    union {
        struct {
            struct shared_memory_head head;
            _Alignas(64) _Atomic uint32_t state; /* see metrics_state_make */
            _Atomic uint32_t used;               /* slots from here on were never used */
            struct metrics_supervisor supervisor;
            struct metrics_slot pasts[2];
        };
        char head_room[2 * METRICS_SLOT_SIZE];
    };
    union {
        struct metrics_slot slot;
        char room[METRICS_SLOT_SIZE];
    } slots[SCOREBOARD_SLOTS];
};

/* `state`: a number that grows with each change (22 bits), the slot that is part of the past, from 1 (9 bits; 0: none),
 * and which past counts (1 bit). */
static inline uint32_t metrics_state_make(uint32_t before, unsigned folded, unsigned past) {
    return ((before >> 10) + 1) << 10 | folded << 1 | past;
}

static inline unsigned metrics_state_folded(uint32_t state) {
    return state >> 1 & 0x1ff;
}

static inline unsigned metrics_state_past(uint32_t state) {
    return state & 1;
}

_Static_assert(sizeof(struct metrics_slot) <= METRICS_SLOT_SIZE, "a slot is mapped by itself");

/* Makes one, mapped for reading and writing. Returns it, and its descriptor, which is close-on-exec and the server's
 * (base/descriptors.h), in *fd; or NULL with errno. It is sparse: a slot that counts takes about 60 KiB. */
struct metrics *metrics_new(int *fd);

/* Maps one that another process has made: for reading alone, unless it `writes`, as the supervisor does. Returns NULL
 * with errno; EPROTO if it is none, or of another version. */
struct metrics *metrics_map(int fd, bool writes);

void metrics_unmap(struct metrics *m);

/* Maps the slot of this process for writing, of a descriptor that metrics_map has taken. Returns NULL with errno. */
struct metrics_slot *metrics_map_slot(int fd, unsigned slot);
void metrics_unmap_slot(struct metrics_slot *s);

/* A process is about to use the slot, which is empty. Supervisor, or the only process there is. */
void metrics_use(struct metrics *m, unsigned slot);

/* The process of the slot has ended, and nobody writes there any more: adds it to the past, and empties it. Its memory
 * is given back. Supervisor. */
void metrics_fold(struct metrics *m, unsigned slot);

/* Adds 1 to the supervisor's counter `*counter`. */
static inline void metrics_count(_Atomic uint64_t *counter) {
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1, memory_order_relaxed);
}

/* A worker has ended. `now`: Unix time, nanoseconds. Supervisor. */
void metrics_worker_ended(struct metrics *m, uint64_t now, unsigned number, int pid, enum metrics_reason reason,
                          const char *text);

/* Writing to the own slot. */

/* A relaxed load and a store, which is what a plain addition is where words have 64 bits: nobody else writes, and no
 * other thread of this process reads. Compilers make one instruction of it, and three of the atomic ones. */
static inline void metrics_grow(_Atomic uint64_t *at, uint64_t n) {
#if UINTPTR_MAX >= UINT64_MAX
    *(uint64_t *)(uintptr_t)at += n;
#else
    atomic_store_explicit(at, atomic_load_explicit(at, memory_order_relaxed) + n, memory_order_relaxed);
#endif
}

static inline void metrics_add(struct metrics_slot *s, unsigned counter, uint64_t n) {
    metrics_grow(&s->counters[counter], n);
}

static inline void metrics_set(struct metrics_slot *s, enum metrics_gauge gauge, uint64_t value) {
    atomic_store_explicit(&s->gauges[gauge], value, memory_order_relaxed);
}

/* The bucket of a duration. */
static inline unsigned metrics_bucket(uint64_t ns) {
    uint64_t units = ns >> METRICS_UNIT_SHIFT;
    if (units < METRICS_SUB)
        return (unsigned)units;
    unsigned power = 63u - (unsigned)__builtin_clzll(units) - METRICS_SUB_SHIFT;
    unsigned bucket = (power << METRICS_SUB_SHIFT) + (unsigned)(units >> power);
    return bucket < METRICS_BUCKETS ? bucket : METRICS_BUCKETS - 1;
}

/* Where a bucket begins: the smallest duration in it. That of METRICS_BUCKETS is where the last one would end. */
static inline uint64_t metrics_bucket_start(unsigned bucket) {
    if (bucket < 2 * METRICS_SUB)
        return (uint64_t)bucket << METRICS_UNIT_SHIFT;
    unsigned power = (bucket >> METRICS_SUB_SHIFT) - 1;
    return (uint64_t)((bucket & (METRICS_SUB - 1)) + METRICS_SUB) << power << METRICS_UNIT_SHIFT;
}

/* The same with a bucket that is known. */
static inline void metrics_record_at(struct metrics_slot *s, enum metrics_duration which, unsigned bucket,
                                     uint64_t ns) {
    metrics_grow(&s->durations[which].counts[bucket], 1);
    metrics_grow(&s->durations[which].sum, ns);
}

static inline void metrics_record(struct metrics_slot *s, enum metrics_duration which, uint64_t ns) {
    metrics_record_at(s, which, metrics_bucket(ns), ns);
}

/* Part of metrics_step: another step has begun. */
void metrics_step_begins(struct metrics_slot *s, uint64_t step);

/* Before anything of a request is counted that ends at `now`. *until is the caller's, 0 at first: when the step is
 * over. */
static inline void metrics_step(struct metrics_slot *s, uint64_t now, uint64_t *until) {
    if (now < *until)
        return;
    uint64_t step = now / METRICS_STEP_NS;
    *until = (step + 1) * METRICS_STEP_NS;
    metrics_step_begins(s, step);
}

static inline void metrics_path_add(struct metrics_path *p, uint64_t epoch, uint64_t ns) {
    struct metrics_path_half *half = &p->halves[epoch % 2];
    metrics_grow(&half->count, 1);
    metrics_grow(&half->sum, ns);
    if (ns > atomic_load_explicit(&half->max, memory_order_relaxed))
        atomic_store_explicit(&half->max, ns, memory_order_relaxed);
}

/* Part of metrics_count_path, for a key that has no place of its own. */
struct metrics_path *metrics_count_other(struct metrics_slot *s, uint32_t key, uint64_t ns);

/* A request of this kind has taken so long. Returns NULL; or a place that was made free for it, which metrics_name_path
 * is to fill. */
static inline struct metrics_path *metrics_count_path(struct metrics_slot *s, uint32_t key, uint64_t ns) {
    struct metrics_path *p = &s->paths.frequent[key % METRICS_FREQUENT];
    if (atomic_load_explicit(&p->key, memory_order_relaxed) != key)
        return metrics_count_other(s, key, ns);
    uint32_t standing = atomic_load_explicit(&p->standing, memory_order_relaxed);
    if (!standing)
        return metrics_count_other(s, key, ns);
    if (standing < METRICS_STANDING_MAX)
        atomic_store_explicit(&p->standing, standing + 1, memory_order_relaxed);
    metrics_path_add(p, atomic_load_explicit(&s->paths.epoch, memory_order_relaxed), ns);
    return NULL;
}

/* `text`: as in struct metrics_path. */
void metrics_name_path(struct metrics_slot *s, struct metrics_path *p, uint32_t key, uint64_t ns, const char *text);

#endif
