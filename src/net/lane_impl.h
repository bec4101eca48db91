/* What the files of net/ share of a lane. Owner only. */
#ifndef WSGI_FCGI_NET_LANE_IMPL_H
#define WSGI_FCGI_NET_LANE_IMPL_H

#include "base/log.h"
#include "base/log_limit.h"
#include "net/abandon.h"
#include "net/conn.h"
#include "net/frontend.h"
#include "net/lane.h"
#include "net/refusal.h"

#include <ev.h>
#include <stdatomic.h>

enum {
    LANE_READ_BYTES = 65536, /* of one read; the buffer is shared by all connections */
    LANE_POOL_MAX = 64       /* objects of a kind that are kept for reuse */
};

struct lane_listener {
    ev_io io;
    struct lane *lane;
    struct listener *listener;
};

/* What waits for the same time: the oldest is late first, so that one timer is enough. */
struct lane_waits {
    TAILQ_HEAD(lane_wait_list, lane_wait) list; /* the oldest first */
    ev_timer timer;
    struct lane *lane;
    ev_tstamp after; /* seconds; 0: nothing is ever late */
};

struct lane {
    struct lane_config config;
    struct ev_loop *loop;
    struct sched *sched;
    ev_tstamp now; /* see lane_now */

    struct listener_set *listeners;
    struct lane_listener *accepting; /* one per listener */
    ev_timer accept_pause;
    bool accept_paused;
    ev_tstamp full_logged_at;   /* that others have to wait, */
    ev_tstamp closed_logged_at; /* or that idle ones are closed for them */

    TAILQ_HEAD(conn_list, conn) conns; /* least recently active first */
    struct conn_list lingering;        /* those in CONN_LINGERING */
    struct conn_list closed;           /* those in CONN_CLOSED, whose requests are not all over */
    TAILQ_HEAD(, conn) unsent;         /* whose output waits for the peer, by conn.out_at */
    struct conn_list
        rests[CONN_REST_COUNT];   /* by conn.rest, in the order in which they came to it; not the busy ones */
    TAILQ_HEAD(, conn) unwatched; /* open ones whose descriptor libev does not know yet */
    struct lane_waits headers;    /* for the ends of header sections: --header-timeout */
    struct lane_waits bodies;     /* for the ends of the windows of http/pace.h */
    struct lane_waits silence;    /* for more of a body whose request is answered... */
    struct lane_waits stall;      /* ...from a peer that has gone on sending it (fcgi/request.c) */
    struct lane_waits draining;   /* of those that linger, after CONN_END_DRAIN... */
    struct lane_waits parting;    /* ...and CONN_END_PART */
    ev_timer idle_timer;
    ev_timer stop_timer;
    ev_prepare prepare;
    ev_check check;
    unsigned long long next_conn;
    struct log_table log_table;
    struct log_topic refusal_topics[REFUSAL_COUNT];
    struct log_topic reason_topics[CONN_REASON_COUNT]; /* enum conn_reason */
    struct log_topic drop_topics[DROP_COUNT];
    struct log_topic role_topic, held_topic;
    struct log_limit accept_limit;
    ev_timer running_timer;      /* a look at what keeps the threads busy, */
    ev_tstamp running_logged_at; /* which was told last then */
    atomic_uint nconns, nrequests;
    atomic_uint nended; /* requests, since the beginning */
    unsigned nlive;     /* connections whose memory is in use */

    struct cgi_memo memo;
    struct fcgi_pool fcgi_pool;
    struct http_pool http_pool;
    struct body_spares body_spares; /* of all front ends */

    bool stopping;
    ev_tstamp stopped_at; /* when that began */
    bool aborting;        /* nothing more is called */
    bool listening_ended; /* nothing more will be accepted */
    bool quit;
    atomic_flag stop_posted, abort_posted;
    struct sched_note stop_note, abort_note;

    uint8_t input[LANE_READ_BYTES];
};

/* The time that all time-outs go by, in seconds of the monotonic clock: that of the last look for events. The time of day,
 * which ev_now() tells, steps whenever somebody sets it; it is for what people read. Owner only. */
static inline ev_tstamp lane_now(const struct lane *lane) {
    return lane->now;
}

/* Only the owner counts, others read: no locked instruction is needed. */
static inline void lane_count_add(atomic_uint *count, int n) {
    atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + (unsigned)n, memory_order_relaxed);
}

static inline void lane_request_ends(struct lane *lane) {
    lane_count_add(&lane->nrequests, -1);
    lane_count_add(&lane->nended, 1);
}

/* Before a body is freed: its file, if it has one, may keep a slow file system busy for some time. */
static inline void lane_body_ends(struct lane *lane, const struct body *body) {
    if (body_has_file(body))
        sched_pause(lane->sched);
}

/* A connection has ended, so descriptors or memory are free again. */
void lane_conn_closed(struct lane *lane);

/* Ends a pause in accepting: something may be had now. */
void lane_accept_again(struct lane *lane);

/* Something is to happen on a connection within the time of this list of the lane's, or `late` is called, which must end
 * the wait or begin it again; lane_wait_ends says that it has happened, or that it is not waited for any more. The process
 * or its machine may have been paused for longer than that: what the peer has sent meanwhile is read first, and counts.
 * Owner only. */
void lane_wait_begins(struct lane_waits *waits, struct lane_wait *wait, struct conn *conn,
                      void (*late)(struct lane_wait *wait));
void lane_wait_ends(struct lane_waits *waits, struct lane_wait *wait);

/* It has happened, and is to happen again: the time begins anew. */
void lane_wait_again(struct lane *lane, struct lane_waits *waits, struct lane_wait *wait);

/* Ends the scheduler when the lane stops and the last connection and request are gone. */
void lane_check_stopped(struct lane *lane);

#endif
