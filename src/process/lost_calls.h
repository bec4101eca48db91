/* Calls whose time is over (--request-timeout) and that go on: what the log tells of them, and what becomes of the process
 * in which they are. The loop has answered in their place already (net/deadline.h), and others run in the places of
 * their threads (sched_lose), as many as --threads says. More of them take threads away from all others; and one that
 * keeps the interpreter lock stops all others. Nothing but another process helps then: a worker asks for that.
 *
 * Whether the lock can be got is asked once a second while such calls go on, by a thread that waits for it
 * (python/interrupt.h): the loop never does.
 *
 * A call that computes for long has others wait for the lock again and again, whether its time is over or not: the lock
 * goes from one to the other sooner then (python/switch_interval.h).
 *
 * Open it for the lines about such calls, and for when a worker is replaced because of them.
 *
 * Threads: the main thread until the lane runs; then the owner of the lane, except where it is mentioned.
 */
#ifndef WSGI_FCGI_PROCESS_LOST_CALLS_H
#define WSGI_FCGI_PROCESS_LOST_CALLS_H

#include <ev.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { LOST_CALLS_REPORTS = 10 /* lines with a stack, a second */ };

struct lane;
struct lane_config;
struct options;
struct worker;

struct lost_calls {
    const struct options *o;
    const struct worker *worker; /* NULL: nobody replaces this process */
    bool is_on;                  /* there is a --request-timeout; nothing of the rest is used otherwise */
    bool started;                /* its threads are there */
    struct lane *lane;
    unsigned count; /* that go on */
    bool full;      /* they are as many as --threads and have been for a while, or are still more than half of that */
    ev_timer patience;  /* until they count as full */
    ev_timer look;      /* whether the lock can be got; while there are some */
    uint64_t looked_at; /* clock_ns: when it was last asked what calls compute */
    uint64_t
        short_until; /* clock_ns: until when the lock goes from one to the other sooner, unless calls go on computing */
    atomic_bool stuck; /* it cannot, for longer than --stuck-timeout */
    uint64_t stuck_at; /* clock_ns: since when nobody has got it */

    /* Lines in the second that began at `since` (clock_ns), and calls without one. */
    uint64_t since;
    unsigned lines;
    unsigned long left_out;
    ev_timer rest; /* to tell how many these were */
};

/* Prepares for a process that serves with these options. `worker`: what it is, or NULL. */
void lost_calls_init(struct lost_calls *l, const struct options *o, const struct worker *worker);

/* Says in *config what is to be told of such calls. */
void lost_calls_configure(struct lost_calls *l, struct lane_config *config);

/* Starts the threads. Only in a process that serves, since the application may fork before. `lane` was
 * made of what lost_calls_configure has filled in, and is not started yet. GIL held. Returns 0, or EX_OSERR after a log
 * line. */
int lost_calls_start(struct lost_calls *l, struct lane *lane);

/* Ends the threads, when the lane has ended. Main thread, without the GIL. */
void lost_calls_stop(struct lost_calls *l);

/* Whether such calls go on, and nobody gets the interpreter lock: neither they nor others come to an end. The pipe of
 * process/signals.h is written to while this is so. Any thread. */
static inline bool lost_calls_are_stuck(const struct lost_calls *l) {
    return atomic_load(&l->stuck);
}

#endif
