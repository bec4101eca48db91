/* What is to happen on connections within a time. All that has the same time is in one list, the oldest first: it is late
 * first, so that one timer is enough for each list.
 *
 * The process or its machine may have been paused for longer than that: what the peer has sent meanwhile is read first, and
 * counts; and one that is late nevertheless has its time again, since it could not go on while nobody read.
 *
 * Threads: owner only.
 */
#ifndef WSGI_FCGI_NET_TIMEOUTS_H
#define WSGI_FCGI_NET_TIMEOUTS_H

#include <ev.h>
#include <stdbool.h>
#include <sys/queue.h>

struct conn;
struct lane;

struct timeout {
    struct conn *conn;                /* on which it is to happen */
    ev_tstamp began_at;               /* lane_now */
    void (*late)(struct timeout *to); /* it has not happened */
    TAILQ_ENTRY(timeout) link;
};

struct timeouts {
    TAILQ_HEAD(timeout_list, timeout) list; /* the oldest first */
    ev_timer timer;
    struct lane *lane;
    ev_tstamp after; /* seconds; 0: nothing is ever late */
    SLIST_ENTRY(timeouts) link;
};

/* A new list of the lane's, which stays as long as the lane runs. */
void timeouts_init(struct timeouts *all, struct lane *lane, ev_tstamp after);

/* Something is to happen within the time of this list, or `late` is called, which must end the time-out or begin it again. */
void timeout_begins(struct timeouts *all, struct timeout *to, struct conn *conn, void (*late)(struct timeout *to));

/* It has happened, or is not waited for any more. */
void timeout_ends(struct timeouts *all, struct timeout *to);

/* It has happened, and is to happen again: the time begins anew. */
void timeout_again(struct timeouts *all, struct timeout *to);

/* Whether a time-out that was due then is seen so late that the loop is to blame. */
bool timeout_is_excused(const struct lane *lane, ev_tstamp due);

/* Before the loop waits: starts the timers that are needed. */
void timeouts_settle(struct lane *lane);

#endif
