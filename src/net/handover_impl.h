/* What handover.c and handover_take.c share. Private to them. Owner only. */
#ifndef WSGI_FCGI_NET_HANDOVER_IMPL_H
#define WSGI_FCGI_NET_HANDOVER_IMPL_H

#include "base/log_limit.h"
#include "ipc/scoreboard.h"
#include "net/handover.h"
#include "net/listen/listener.h"

#include <ev.h>
#include <stdbool.h>
#include <sys/queue.h>
#include <sys/types.h>

/* A socket from which a connection that was taken has come, and on which this worker does not listen. */
struct handover_listener {
    struct listener l;
    SLIST_ENTRY(handover_listener) link;
};

struct handover {
    struct lane *lane;
    struct handover_config config;
    int wakes[SCOREBOARD_SLOTS]; /* the eventfds; -1: not known */
    unsigned next;               /* slot from which the next one to wake is looked for */
    ev_io woken;                 /* by the own one */
    ev_timer again;              /* a time after which the queue is looked at again */
    bool full;                   /* --max-connections was reached; the board and lane.taking_paused say so as well */
    SLIST_HEAD(, handover_listener) listeners;
    struct log_limit limit; /* for lines about what goes wrong */
};

/* Says that there is something in the queue, and wakes a worker that could take it: another one, or else this one. */
void handover_wake(struct handover *h);

/* The same, but never this one. Returns false when there is no other, and says nothing then. */
bool handover_wake_other(struct handover *h, bool with_room);

/* This worker's state. */
bool handover_serves(const struct handover *h);

/* Its eventfd was written to. */
void handover_woken_cb(struct ev_loop *loop, ev_io *w, int revents);

void handover_again_cb(struct ev_loop *loop, ev_timer *w, int revents);

#endif
