/* This process as a worker of a supervisor: what the two tell each other (ipc/control.h), from the side of the worker.
 *
 * A worker is the same program with the same options. What it does not do is to open sockets: they come from the
 * supervisor once the application is loaded. And it ends in one way more than a single process: it retires, which
 * means that others go on serving, and that nobody notices.
 *
 * Open it for what a worker does at which message.
 *
 * Threads: the main thread, except where it is mentioned. The GIL is not needed, and may be held, except likewise.
 */
#ifndef WSGI_FCGI_PROCESS_WORKER_H
#define WSGI_FCGI_PROCESS_WORKER_H

#include "ipc/control.h"
#include "ipc/scoreboard.h"
#include "net/handover.h"
#include "sched/sched.h"

#include <ev.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct inspect;
struct lane;
struct listener_set;
struct log_ring;
struct metrics;
struct metrics_slot;

/* What the supervisor wants; what comes later here replaces what comes earlier. */
enum worker_end {
    WORKER_GOES_ON,
    WORKER_RETIRES, /* others serve on: connections at rest are handed over */
    WORKER_STOPS    /* the whole server ends, or the supervisor is gone: as a single process does */
};

struct worker {
    int socket;       /* the worker's end of the pair; -1: this process is no worker, and the rest does not count */
    pid_t supervisor; /* its process */

    /* From CONTROL_HELLO. */
    bool greeted;
    bool prepares_to_fork; /* it is the zygote: from CONTROL_PREPARE_TO_FORK */
    unsigned number;       /* for people and applications */
    uint64_t generation;   /* from 1 */
    struct handover_config handover;

    /* From CONTROL_MEMORY; NULL: none was sent. */
    struct log_ring *log_ring;
    struct inspect *inspect;
    struct metrics *metrics;      /* what all processes count, for reading; */
    struct metrics_slot *counted; /* and the slot of this one */

    /* The rest is that of worker.c. */
    bool is_zygote;
    int peers[SCOREBOARD_SLOTS]; /* what wakes the workers of each slot, until there is a lane; -1: not known yet */
    struct listener_set *listeners;
    bool told_to_serve;
    struct ev_loop *loop;
    struct lane *lane; /* NULL until worker_join */
    ev_io io;
    ev_prepare count;
    unsigned most_requests; /* for `count` */
    struct sched_note serves_note;
    atomic_bool reopens_log; /* the log file is to be opened anew: */
    atomic_int log_sent;     /* it is this descriptor then; -1: none */
    _Atomic enum worker_end end;
    atomic_bool told_to_stop; /* by a message: the supervisor itself logs the stop */
};

/* Finds out whether this process is a worker, by CONTROL_ENV, which is removed from the environment. Call it before
 * anything else reads that. Returns 0, with w->socket set; or EX_USAGE after printing. */
int worker_find(struct worker *w);

static inline bool worker_is(const struct worker *w) {
    return w->socket >= 0;
}

/* Makes the socket one of the server's descriptors, and waits until the supervisor has said what this worker is, and
 * sent what it shares with others: up to 10 seconds, since it does so at once. `listeners`: where sockets are appended
 * that come from now on; it outlives *w. `zygote`: it is to be one, and the supervisor has to say so as well
 * (process/zygote.h). Returns 0; or a sysexits status after printing, EX_UNAVAILABLE when the supervisor is gone. */
int worker_greet(struct worker *w, struct listener_set *listeners, bool zygote);

/* This process was forked by the zygote to be a worker, whose end of its pair is `socket`: *w is as worker_find makes
 * it. The zygote's descriptors are closed. */
void worker_begin_forked(struct worker *w, int socket);

/* Sends a message. Returns whether that could be done; if not, it was logged, unless the supervisor is gone, which what
 * receives from it says. Any thread. */
bool worker_tell(const struct worker *w, const struct control_message *m);

/* Logs why no message can be received: what control_receive has returned, -1 with errno, or 0. Returns the status of
 * the end that this means: EX_UNAVAILABLE when the supervisor is gone, EX_PROTOCOL when it makes no sense, else
 * EX_OSERR. */
int worker_complain(const struct worker *w, int received);

/* Tells that the application is loaded. */
void worker_tell_loaded(const struct worker *w);

/* Waits until the sockets have come, and the order to serve. Returns 0 then. Returns -1 if the process is to end
 * instead, after a log line: *status is 0 after a signal or an order that ends it, else a sysexits status. Adds to
 * *signals what signals_drain has returned meanwhile, and writes to the pipe for the watch that goes on with it. Before
 * that is there, and without the GIL, since threads of the application may want it. */
int worker_wait(struct worker *w, unsigned *signals, int *status);

/* Lets the loop look after the socket from now on. When worker_wants changes then, the watch is woken
 * (signals_wake). `lane` has been made of `loop`, and is not started yet. */
void worker_join(struct worker *w, struct ev_loop *loop, struct lane *lane);

/* The lane begins to accept: the supervisor is told so, and the other workers see it. Once, after worker_join. Any
 * thread. */
void worker_serves(struct worker *w);

/* Whether the supervisor has told it to open the log file anew since the last call. *sent is the descriptor that came
 * with that, which is the caller's, or -1. When that comes, the watch is woken. Any thread. */
bool worker_is_to_reopen_log(struct worker *w, int *sent);

/* From now on, when `most` requests have ended, the supervisor is told that this worker should be replaced: once, and
 * the worker goes on until it is told to retire. A random number of up to `jitter` is added, so that workers which have
 * begun together do not have to be replaced together. Together these are less than 2^32. After worker_join, before the
 * lane starts. */
void worker_limit_requests(struct worker *w, unsigned most, unsigned jitter);

/* What the supervisor wants at present. Any thread. */
static inline enum worker_end worker_wants(const struct worker *w) {
    return atomic_load(&w->end);
}

/* Whether it has said itself that this worker is to stop. Any thread. */
static inline bool worker_is_told_to_stop(const struct worker *w) {
    return atomic_load(&w->told_to_stop);
}

/* This worker takes no more connections; or none that matters, as all others end as well. That of one that retires is
 * for its lane to say, when it has ceased to accept (net/retire.c). Any thread. */
void worker_tell_ending(struct worker *w);

/* Tells why this worker should be replaced. Any thread. */
void worker_tell_wish(const struct worker *w, enum control_reason reason);

/* Tells what has become of the requests since its end began: the last message. Any thread. */
void worker_tell_ends(const struct worker *w, unsigned finished, unsigned cut);

#endif
