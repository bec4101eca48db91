/* Sums of what the processes of a server have counted (ipc/metrics.h): those that run, and those that have ended. Plain
 * numbers, copied: what another process writes meanwhile changes nothing in them.
 *
 * A struct of this header is large: keep it where it can be used again, not on a stack that is small.
 *
 * Threads: any. Never waits, and allocates nothing.
 */
#ifndef WSGI_FCGI_IPC_METRICS_READ_H
#define WSGI_FCGI_IPC_METRICS_READ_H

#include "ipc/metrics.h"

/* The names of enum metrics_refusal ("queue_full"; NULL for METRICS_REFUSED_NONE) and enum metrics_reason ("crash"). */
extern const char *const metrics_refusal_names[METRICS_REFUSAL_COUNT];
extern const char *const metrics_reason_names[METRICS_REASON_COUNT];

struct metrics_distribution {
    uint64_t counts[METRICS_BUCKETS];
    uint64_t count; /* of all buckets */
    uint64_t sum;   /* nanoseconds */
};

struct metrics_sums {
    uint64_t counters[METRICS_COUNTERS]; /* of all processes, also of those that have ended */
    uint64_t gauges[METRICS_GAUGES];     /* of those that run; METRICS_STARTED_AT means nothing here */
    struct metrics_distribution durations[METRICS_DURATIONS];
};

/* Sums up everything. Nothing in it is less than at an earlier call. */
void metrics_sum(const struct metrics *m, struct metrics_sums *out);

/* One gauge of one process. */
static inline uint64_t metrics_gauge(const struct metrics *m, unsigned slot, enum metrics_gauge which) {
    return atomic_load_explicit(&m->slots[slot].slot.gauges[which], memory_order_relaxed);
}

/* The duration (nanoseconds) that `share` of those counted do not exceed: 0.5 for the median, 1 for the longest. Known
 * to one eighth. 0 when there are none. */
uint64_t metrics_quantile(const struct metrics_distribution *d, double share);

/* How many durations are not longer than `ns`, as a Prometheus histogram counts them: exact where a bucket begins
 * there, otherwise without those of the bucket that it is in. */
uint64_t metrics_up_to(const struct metrics_distribution *d, uint64_t ns);

/* One step of the history, of all processes. */
struct metrics_moment {
    uint64_t step; /* its number: it began at that number times METRICS_STEP_NS of clock_ns */
    uint64_t requests, errors;
    uint64_t p50, p99; /* nanoseconds; known to about a third; 0 without requests */
};

/* Writes the `n` steps that end with that of `now` (clock_ns), the oldest first; at most METRICS_STEPS - 1. */
void metrics_read_history(const struct metrics *m, uint64_t now, struct metrics_moment *out, unsigned n);

struct metrics_path_sum {
    uint64_t count, sum, max; /* requests; nanoseconds */
    char text[METRICS_PATH_SIZE];
};

/* The paths of all processes, the same ones of several added up; some are left out when it is full. */
enum { METRICS_PATHS_KEPT = 1024 };
struct metrics_path_table {
    unsigned count;
    struct metrics_path_sum paths[METRICS_PATHS_KEPT];
    uint16_t places[2 * METRICS_PATHS_KEPT]; /* by a hash of the text: 1 + index of paths; 0: none */
};

/* Gathers those of the last five to ten minutes. Counts are of the time since a process has kept the path in mind.
 * `now`: clock_ns. */
void metrics_read_paths(const struct metrics *m, uint64_t now, struct metrics_path_table *out);

/* Points at the most frequent ones, or at those with the longest requests, the first first; at most `n`. Returns how
 * many. */
enum metrics_path_order { METRICS_BY_COUNT, METRICS_BY_MAX };
unsigned metrics_top_paths(const struct metrics_path_table *table, enum metrics_path_order order,
                           const struct metrics_path_sum **out, unsigned n);

/* The workers that have ended last, the latest first, at most `n` of METRICS_ENDS. Returns how many. */
struct metrics_end_told {
    uint64_t at; /* Unix time, nanoseconds */
    unsigned number;
    int pid;
    enum metrics_reason reason;
    char text[METRICS_END_TEXT_SIZE];
};
unsigned metrics_read_ends(const struct metrics *m, struct metrics_end_told *out, unsigned n);

#endif
