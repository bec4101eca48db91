/* Something that is to happen within a time: lane_wait_begins in net/lane_impl.h. */
#ifndef WSGI_FCGI_NET_TIMEOUTS_H
#define WSGI_FCGI_NET_TIMEOUTS_H

#include <ev.h>
#include <sys/queue.h>

struct conn;

struct lane_wait {
    struct conn *conn;                    /* what it is waited for on */
    ev_tstamp began_at;                   /* lane_now */
    void (*late)(struct lane_wait *wait); /* it has not happened */
    TAILQ_ENTRY(lane_wait) link;
};

#endif
