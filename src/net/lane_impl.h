/* What the files of net/ share of a lane. Owner only.
 *
 *     lane.c         puts it together, and follows the turns of the loop
 *     accept.c       takes connections, and makes room for them
 *     idle.c         closes those on which nothing happens
 *     timeouts.c     what is to happen within a time (timeouts.h)
 *     stop.c         its end
 *     request_log.c  which requests run (request_log.h)
 *     who.c          which lines about peers are due (who.h)
 *
 * A lane and its connections know each other: it has them in lists by what is to be done about them, of which their own
 * functions keep the order (conn.c), and they end when it says so.
 *
 * A process may have several lanes: all that is kept between two events is in the struct.
 */
#ifndef WSGI_FCGI_NET_LANE_IMPL_H
#define WSGI_FCGI_NET_LANE_IMPL_H

#include "base/log.h"
#include "base/log_limit.h"
#include "net/conn.h"
#include "net/lane.h"

#include <ev.h>
#include <stdatomic.h>

enum {
    LANE_READ_BYTES = 65536, /* of one read; the buffer is shared by all connections */
    LANE_TOPICS = 64         /* of log lines that peers can cause: all rows of all tables that have such lines */
};

struct lane_listener {
    ev_io io;
    struct lane *lane;
    struct listener *listener;
    const struct protocol *protocol;
    void *protocol_state;
};

struct lane_topic {
    const void *about; /* NULL: none yet */
    struct log_topic topic;
};

struct lane {
    struct lane_config config;
    struct ev_loop *loop;
    struct sched *sched;
    ev_prepare prepare;
    ev_check check;
    ev_tstamp now; /* see lane_now */
    void *protocol_states[LISTENER_PROTOCOL_COUNT];
    struct cgi_memo memo;
    struct body_spares body_spares;

    /* Connections. */
    TAILQ_HEAD(conn_list, conn) conns; /* least recently active first */
    struct conn_list lingering;        /* those in CONN_LINGERING */
    struct conn_list closed;           /* those in CONN_CLOSED, whose requests are not all over */
    TAILQ_HEAD(, conn) unsent;         /* whose output waits for the peer, by conn.out_at */
    struct conn_list
        rests[CONN_REST_COUNT];  /* by conn.rest, in the order in which they came to it; not the busy ones */
    TAILQ_HEAD(, conn) unpolled; /* open ones whose descriptor libev does not know yet */
    unsigned long long next_conn;
    atomic_uint nconns, nrequests;
    atomic_uint nended; /* requests, since the beginning */
    unsigned nlive;     /* connections whose memory is in use */

    /* accept.c */
    struct listener_set *listeners;
    struct lane_listener *accepting; /* one per listener */
    ev_timer accept_pause;
    bool accept_paused;
    struct log_limit accept_limit; /* of lines that it fails */
    struct log_state full_log;     /* that others have to wait, */
    struct log_state closed_log;   /* or that idle ones are closed for them */

    /* idle.c, timeouts.c */
    ev_timer idle_timer;
    SLIST_HEAD(, timeouts) timeouts; /* all lists of them, those of the front ends too */
    struct timeouts headers;         /* for the ends of header sections: --header-timeout */
    struct timeouts draining;        /* of those that linger, after CONN_END_DRAIN... */
    struct timeouts parting;         /* ...and CONN_END_PART */

    /* stop.c */
    bool stopping;
    ev_tstamp stopped_at; /* when that began */
    bool aborting;        /* nothing more is called */
    bool listening_ended; /* nothing more will be accepted */
    bool quit;
    ev_timer stop_timer;
    atomic_flag stop_posted, abort_posted;
    struct sched_note stop_note, abort_note;

    /* The log: who.c, request_log.c. */
    struct log_table log_table;
    struct lane_topic topics[LANE_TOPICS]; /* of who_log_due, in the order in which they came up */
    ev_timer running_timer;                /* a look at what keeps the threads busy, */
    struct log_state running_log;          /* and the lines that tell it */

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

/* accept.c */

/* When the protocols have their states. Returns 0, or -1 with errno. */
int lane_accept_init(struct lane *lane);

/* Begins to accept, or ends a pause: something may be had now. */
void lane_accept_again(struct lane *lane);

/* Takes what waits in the backlog, and closes the listeners. */
void lane_accept_end(struct lane *lane);

/* A connection has ended, so descriptors or memory are free again. */
void lane_conn_closed(struct lane *lane);

/* idle.c: one timer for all connections, due when the least recently active one is, or the slowest reader. */

void lane_idle_init(struct lane *lane);

/* Before the loop waits: starts the timer, when it is needed. */
void lane_idle_settle(struct lane *lane);

/* stop.c */

void lane_stop_init(struct lane *lane);

/* Ends the scheduler when the lane stops and the last connection and request are gone. */
void lane_check_stopped(struct lane *lane);

#endif
