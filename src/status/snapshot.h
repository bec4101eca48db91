/* One look at everything that the processes of a server share, for all forms: what runs, who serves, and what was
 * counted.
 *
 * Nothing that is read there is trusted (ipc/scoreboard.h, ipc/inspect.h): here all numbers are in bounds and all texts
 * end. Texts may still have anything in them: each form escapes them.
 *
 * Open it when a form is to tell more.
 *
 * Units: times and durations are nanoseconds; moments are Unix time.
 * Threads: any. Never waits.
 */
#ifndef WSGI_FCGI_STATUS_SNAPSHOT_H
#define WSGI_FCGI_STATUS_SNAPSHOT_H

#include "ipc/inspect.h"
#include "ipc/log_ring.h"
#include "ipc/metrics_read.h"
#include "ipc/scoreboard.h"
#include "status/status.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    SNAPSHOT_CALLS = 64,            /* that are told of one by one: those that have run for longest, of all processes */
    SNAPSHOT_STACKS_SIZE = 1 << 19, /* for their stacks */
    SNAPSHOT_STEPS = 120,           /* of the history: ten minutes */
    SNAPSHOT_PATHS = 10,            /* of each kind */
    SNAPSHOT_LINES = 50,            /* of the log */
    SNAPSHOT_NOTES = 8,
    SNAPSHOT_NOTE_SIZE = 200
};

/* An answer to inspect_question counts for so long. Then the process has not answered since, and what the scoreboard
 * has is newer. */
#define SNAPSHOT_ANSWER_NS UINT64_C(2000000000)

/* A call that has run for so long is stuck, as far as somebody can tell who does not know the application. */
#define SNAPSHOT_STUCK_NS UINT64_C(10000000000)

struct snapshot_worker {
    unsigned slot, number, generation;
    int pid;
    enum scoreboard_state state;
    uint64_t memory; /* bytes; 0: not known */
    unsigned calls;  /* that run without the loop */
    unsigned stuck;  /* of these */
    bool caught, full;
    /* Zeroes without metrics: */
    uint64_t started_at, connections, requests, queued;
    uint64_t threads, running, lost, threads_max; /* those that neither run nor are lost are idle */
    uint64_t lock_waited; /* the longest time for which one of its calls has been waiting for the interpreter lock */
};

struct snapshot_call {
    unsigned worker;
    int pid;
    uint64_t elapsed;
    struct inspect_call call; /* `stack` is an offset in snapshot.stacks; stack_len 0: there is none */
};

struct snapshot {
    struct status_source source;
    uint64_t now;
    bool leaving; /* it goes on until others have noticed that it is about to stop (--stop-delay) */
    unsigned worker_count;
    struct snapshot_worker workers[SCOREBOARD_SLOTS];
    unsigned call_count, calls_more;             /* those that have no place in `calls` */
    struct snapshot_call *calls[SNAPSHOT_CALLS]; /* the one first that has run for longest */
    struct snapshot_call call_places[SNAPSHOT_CALLS];
    size_t stacks_len;
    char stacks[SNAPSHOT_STACKS_SIZE];

    /* What somebody should know first, in words: a line each, without anything of others in it. */
    unsigned note_count;
    char notes[SNAPSHOT_NOTES][SNAPSHOT_NOTE_SIZE];

    bool has_metrics; /* else there are zeroes in: */
    struct metrics_sums sums;
    uint64_t workers_started, workers_ended[METRICS_REASON_COUNT], reloads, reloads_failed;
    unsigned step_count;
    struct metrics_moment steps[SNAPSHOT_STEPS]; /* the oldest first; the last one is not over */
    uint64_t steps_at;                           /* when the first one began */
    unsigned slowest_count, frequent_count, end_count;
    const struct metrics_path_sum *slowest[SNAPSHOT_PATHS], *frequent[SNAPSHOT_PATHS];
    struct metrics_end_told ends[METRICS_ENDS]; /* the latest first */

    size_t line_count;
    struct log_ring_line lines[SNAPSHOT_LINES]; /* the oldest first */

    /* Of snapshot_take: */
    struct inspect_answer answer; /* of one process */
    struct metrics_path_table paths;
};

/* Takes one. It is large, so it has memory of its own, which goes back to the system with it: a supervisor stays small.
 * Returns NULL with errno ENOMEM. */
struct snapshot *snapshot_take(const struct status_source *source);
void snapshot_free(struct snapshot *s);

/* "starting", "serving", "ending". */
const char *snapshot_state_text(enum scoreboard_state state);

/* The states of threads, in the order in which they are shown, of one worker. */
enum snapshot_thread { SNAPSHOT_RUNNING, SNAPSHOT_IDLE, SNAPSHOT_STUCK, SNAPSHOT_LOST, SNAPSHOT_THREADS };
extern const char *const snapshot_thread_names[SNAPSHOT_THREADS];
void snapshot_threads(const struct snapshot_worker *w, uint64_t counts[static SNAPSHOT_THREADS]);

/* Part of snapshot_take: writes the notes. */
void snapshot_note(struct snapshot *s);

/* The text of a call's stack, the innermost frame last, a line each; or why there is none, when the call has no
 * `frames`; or "" when nobody has read it. */
const char *snapshot_stack(const struct snapshot *s, const struct snapshot_call *c);

#endif
