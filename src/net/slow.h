/* Requests that take long, for the log: each one (--slow-request), with its stack; and that no call ends while others
 * wait for a thread (--stuck-log), with all stacks.
 *
 * The time of a request begins when all is there for its call, which is when it begins to wait for a thread. A line
 * comes when it has taken that long, and again at twice, four times... as long. Only calls that run without the loop
 * are timed, and one that runs the loop while it waits for its peer: all others are over before that, and pay nothing.
 * If it was none of its call's doing, but it had to wait for a thread, a line says so at its end; and another one while
 * requests wait, which names the calls that run.
 *
 * Open it for when these lines come, and what they say.
 *
 * Threads: owner only.
 */
#ifndef WSGI_FCGI_NET_SLOW_H
#define WSGI_FCGI_NET_SLOW_H

#include "base/log_limit.h"

#include <ev.h>
#include <stdint.h>
#include <sys/queue.h>

struct exchange;
struct lane;

/* Of a lane. Times are nanoseconds. */
struct slow {
    uint64_t after;               /* --slow-request; 0: no line */
    TAILQ_HEAD(, exchange) timed; /* whichever is due first comes first */
    ev_timer timer;               /* for the first of them, or one that has ended */
    uint64_t timer_due;           /* clock_ns */
    unsigned lines;               /* since `lines_since`; a second has no more than SLOW_LINES */
    uint64_t lines_since;         /* clock_ns */
    unsigned long left_out;       /* lines that were not written, since the last one */

    uint64_t wait_next; /* requests that have waited so long for a thread are told of next */

    uint64_t stuck_after; /* --stuck-log; 0: no line */
    ev_timer looks;       /* while calls run without the loop */
    uint64_t stuck_since; /* clock_ns: the last end of a call, as it was told; 0: nothing was told */
    uint64_t stuck_next;  /* so long after that comes the next block */
};

enum { SLOW_LINES = 10 };

void slow_init(struct lane *lane);

/* The call of a request runs without the loop from now on, and has ended. */
void slow_begins(struct exchange *x);
void slow_ends(struct exchange *x);

/* A request has ended: says that it has waited long for its call, if nothing was told of it. Where there is a
 * --slow-request. */
void slow_look_back(struct exchange *x);

/* Times the call that is about to run the loop from within, and starts the timer. Called before the loop waits, where
 * there is a --slow-request. */
void slow_settle(struct lane *lane);

#endif
