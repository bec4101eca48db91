/* Time-outs on connections. All time-outs in a list have the same length, and the oldest comes first. It is due first,
 * so one timer is enough for each list.
 *
 * Before a time-out takes effect, whatever the peer has sent meanwhile is read, and counts. If the loop itself is late
 * (timeout_is_excused), because the process or its machine was paused, a connection that is late all the same gets its
 * time again: it could not go on while nobody read.
 *
 * Threads: owner only.
 */
#ifndef WSGI_FCGI_NET_TIMEOUT_LIST_H
#define WSGI_FCGI_NET_TIMEOUT_LIST_H

#include <ev.h>
#include <stdbool.h>
#include <sys/queue.h>

struct conn;
struct lane;

struct timeout {
    struct conn *conn;                /* the connection that is timed */
    ev_tstamp began_at;               /* lane_now */
    void (*late)(struct timeout *to); /* called when the time is over */
    TAILQ_ENTRY(timeout) link;
};

struct timeouts {
    TAILQ_HEAD(timeout_list, timeout) list; /* the oldest first */
    ev_timer timer;
    struct lane *lane;
    ev_tstamp after; /* seconds; 0: nothing is ever late */
    SLIST_ENTRY(timeouts) link;
};

/* Adds a new list to the lane, for as long as the lane runs. */
void timeouts_init(struct timeouts *all, struct lane *lane, ev_tstamp after);

/* The same for one that is seldom used: timeouts_settle does not look at it, so it costs nothing meanwhile. Its timer
 * may run once more after the list has become empty. Its time-outs begin by timeout_begins_rarely. */
void timeouts_init_rare(struct timeouts *all, struct lane *lane, ev_tstamp after);

/* Starts a time-out: something must happen within the time of this list, or `late` is called. `late` must end the
 * time-out or start it again. */
void timeout_begins(struct timeouts *all, struct timeout *to, struct conn *conn, void (*late)(struct timeout *to));

/* The same in a list of timeouts_init_rare. */
void timeout_begins_rarely(struct timeouts *all, struct timeout *to, struct conn *conn,
                           void (*late)(struct timeout *to));

/* Ends a time-out: it has happened, or nobody waits for it any more. */
void timeout_ends(struct timeouts *all, struct timeout *to);

/* Another time-out of the same connection takes the place of one, with its time. */
void timeout_moves(struct timeouts *all, struct timeout *from, struct timeout *to);

/* Restarts a time-out from now. */
void timeout_again(struct timeouts *all, struct timeout *to);

/* Whether a time-out that was due at `due` is noticed so late that the loop is to blame. */
bool timeout_is_excused(const struct lane *lane, ev_tstamp due);

/* Starts the timers that are needed. Called before the loop waits. */
void timeouts_settle(struct lane *lane);

#endif
