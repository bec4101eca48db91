/* Memory that the supervisor and all workers share (ipc/shared_memory.h): what each worker is doing. It outlives a
 * worker that dies, so it answers what that was doing.
 *
 * Each worker writes its own slot, except where a member says otherwise; everybody reads all. Nothing in it is trusted
 * to be sensible: a worker that writes anywhere in its memory may have written here.
 *
 * Threads: any. Async-signal-safe, except scoreboard_new and scoreboard_map.
 */
#ifndef WSGI_FCGI_IPC_SCOREBOARD_H
#define WSGI_FCGI_IPC_SCOREBOARD_H

#include "ipc/shared_memory.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SCOREBOARD_SLOTS = 256, /* processes at a time: while a reload lasts, both generations have theirs */
    SCOREBOARD_CALLS = 64,  /* per worker that are told of; there may be more */
    SCOREBOARD_TEXT_SIZE = 120,
    SCOREBOARD_PYTHON_SIZE = 32
};

/* The numbers are part of what versions have in common. */
enum scoreboard_state {
    SCOREBOARD_FREE = 0,     /* no process; by the supervisor */
    SCOREBOARD_STARTING = 1, /* by the supervisor */
    SCOREBOARD_SERVING = 2,  /* it takes connections */
    SCOREBOARD_ENDING = 3    /* it retires or stops, and takes no more connections */
};

/* A request whose call runs without the loop (net/calls.h). The text is written before `begun_at`, and `begun_at` is
 * zeroed first when it changes. */
struct scoreboard_call {
    _Atomic uint64_t begun_at;       /* clock_ns of base/clock.h; 0: none */
    char text[SCOREBOARD_TEXT_SIZE]; /* method and path, made safe to show (log_escape); terminated */
};

struct scoreboard_slot {
    _Alignas(64) _Atomic uint32_t state; /* enum scoreboard_state */
    _Atomic uint32_t generation;         /* by the supervisor, as the next two */
    _Atomic uint32_t number;             /* of the worker, from 0 */
    _Atomic int32_t pid;
    /* A call computes in this worker, or none of its threads is free. So what becomes readable on its connections is
     * better served by others. The supervisor zeroes it when the worker dies. */
    _Atomic uint32_t computing;
    _Atomic uint32_t full; /* --max-connections is reached: others had better take connections */
};

struct scoreboard {
    struct shared_memory_head head;
    /* A hint that the queue for connections may have some: who takes clears it first (net/handover.h). Any process. */
    _Alignas(64) _Atomic uint32_t queued;
    _Atomic uint32_t wanted; /* how many workers there are to be; by the supervisor. 0: it has not said so */
    char python[SCOREBOARD_PYTHON_SIZE]; /* the version of the workers, "3.11.2"; by each that begins to serve */
    _Atomic uint32_t leaving; /* 1: the server goes on for --stop-delay; by the supervisor, or the only process */
    struct scoreboard_slot slots[SCOREBOARD_SLOTS];
    struct scoreboard_call calls[SCOREBOARD_SLOTS][SCOREBOARD_CALLS];
};

/* As the functions of those names in ipc/shared_memory.h. */
struct scoreboard *scoreboard_new(int *fd);
struct scoreboard *scoreboard_map(int fd);
void scoreboard_unmap(struct scoreboard *board);

/* Finds a worker other than that of `slot` which serves, in which no call computes, and which is not full: one that is
 * full and one in which a call computes would pass a connection to and fro without end. Looks at the slots from `slot` +
 * 1 on, all around, so that not everybody finds the same. Returns its slot, or -1. */
int scoreboard_find_idle(const struct scoreboard *board, unsigned slot);

/* The same, but calls may compute in it, and it may be full. */
int scoreboard_find_serving(const struct scoreboard *board, unsigned slot);

/* Copies the text of a call for the log. The worker has made it safe to show, if nothing has written over it: what is
 * not is escaped, and what it has escaped is left as it is. */
void scoreboard_text(const struct scoreboard_call *call, char out[static SCOREBOARD_TEXT_SIZE]);

#endif
