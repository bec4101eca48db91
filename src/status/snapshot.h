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
#include "ipc/scoreboard.h"
#include "status/status.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    SNAPSHOT_CALLS = 64,           /* that are told of one by one: those that have run for longest, of all processes */
    SNAPSHOT_STACKS_SIZE = 1 << 19 /* for their stacks */
};

/* An answer to inspect_question counts for so long. Then the process has not answered since, and what the scoreboard has
 * is newer. */
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
    unsigned worker_count;
    struct snapshot_worker workers[SCOREBOARD_SLOTS];
    unsigned call_count, calls_more;            /* those that have no place in `calls` */
    struct snapshot_call calls[SNAPSHOT_CALLS]; /* the one first that has run for longest */
    size_t stacks_len;
    char stacks[SNAPSHOT_STACKS_SIZE];
    struct inspect_answer answer; /* of one process: for snapshot_take */
};

/* Takes one. It is large, so it has memory of its own, which goes back to the system with it: a supervisor stays small.
 * Returns NULL with errno ENOMEM. */
struct snapshot *snapshot_take(const struct status_source *source);
void snapshot_free(struct snapshot *s);

/* "starting", "serving", "ending". */
const char *snapshot_state_text(enum scoreboard_state state);

/* The text of a call's stack, the innermost frame last, a line each; or why there is none, when the call has no `frames`;
 * or "" when nobody has read it. */
const char *snapshot_stack(const struct snapshot *s, const struct snapshot_call *c);

#endif
