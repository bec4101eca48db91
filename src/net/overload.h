/* Overload: no thread is free in time for all requests that come, so some are refused (REFUSED_QUEUE_FULL and
 * REFUSED_QUEUE_LATE in net/refusal.h), or dropped because their clients have left (DROPPED_OVERLOAD in net/abandon.h).
 *
 * The log tells of it in one place: a moment after it begins, as long as it goes on every ten seconds, and when it is
 * over. A line says since when, how many requests were refused, how many wait, and for how long; whether calls end at
 * all; what to do; and which calls have run for longest.
 *
 * Threads: owner only.
 */
#ifndef WSGI_FCGI_NET_OVERLOAD_H
#define WSGI_FCGI_NET_OVERLOAD_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

struct lane;

struct overload {
    ev_timer timer;         /* for the next line; active as long as there is an overload */
    uint64_t begun_at;      /* clock_ns of the first of these requests */
    uint64_t told_at;       /* clock_ns of the last line; before the first one, begun_at */
    unsigned refused, left; /* requests since then: answered with 503, and dropped */
    uint64_t before;        /* both, from begun_at to told_at */
};

/* Called by lane_new. */
void overload_init(struct lane *lane);

/* A request was refused; or, if its client has `left`, dropped. */
void overload_note(struct lane *lane, bool left);

#endif
