/* Deadlines: a call that takes longer than --request-timeout is answered by the loop in its place, with 504, or with the
 * end of an answer that has begun. The call itself goes on (struct lane_config.overdue), and other requests do not notice.
 *
 * The time begins with the call and ends with it. What it waits for its peer counts as well. Only calls that run without
 * the loop are timed, and one that runs the loop while it waits for its peer: all others end before the loop is taken from
 * them, so a quick call pays nothing.
 *
 * A request whose time is over is *overdue*. Another one *stands in* for it on its connection (exchange_stand_in), so that
 * whatever ends requests there knows nothing of all this. The overdue one is *late* from then on: nothing but its call and
 * its job refers to it, and it holds a reference to the connection, to which it can send nothing any more.
 *
 * Threads: owner only, except for deadline_from and deadline_set.
 */
#ifndef WSGI_FCGI_NET_DEADLINE_H
#define WSGI_FCGI_NET_DEADLINE_H

#include "sched/sched.h"

#include <ev.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct exchange;
struct lane;
struct request;

/* Of a lane. */
struct deadlines {
    _Atomic uint64_t allowed;              /* nanoseconds that a call may take that begins now; 0: any */
    TAILQ_HEAD(exchanges, exchange) timed; /* whichever is due first comes first; all calls that run without the loop */
    struct exchanges late;                 /* those that are off their connections, oldest first */
    atomic_uint nlate;                     /* any thread may read it */
    bool used;                             /* there are deadlines */
    ev_timer timer;                        /* for the first of `timed`, or one that has ended */
    uint64_t timer_due;
    ev_timer looks;   /* struct lane_config.look; while there are calls */
    unsigned visited; /* calls, at the last look */
    atomic_bool noted;
    struct sched_note note; /* a call has changed its deadline */
};

void deadlines_init(struct lane *lane);

/* From now on calls that begin are timed (lane_config.request_timeout). Those of a warm-up are not. */
void deadlines_start(struct lane *lane);

/* When a call that begins at that time has to end, for request.deadline; 0: never. Any thread. */
static inline uint64_t deadline_from(const struct deadlines *d, uint64_t begun_at) {
    uint64_t allowed = atomic_load_explicit(&d->allowed, memory_order_relaxed);
    return allowed ? begun_at + allowed : 0;
}

/* The call of a request runs without the loop from now on, and has ended. An overdue one is lost from then on
 * (sched_lose). */
void deadline_begins(struct exchange *x);
void deadline_ends(struct exchange *x);

/* A request becomes late; its call has ended, which is logged. */
void deadline_late_begins(struct exchange *x);
void deadline_late_ends(struct exchange *x);

/* Times the call that is about to run the loop from within, and starts the timer. Called before the loop waits, once there
 * are deadlines. */
void deadlines_settle(struct lane *lane);

/* answer_ops->deadline_set. */
void deadline_set(struct request *r);

#endif
