/* What the files of net/ share of a lane. Private to net/. Owner only.
 *
 *     lane.c         creates the lane, and does what each turn of the loop needs
 *     accept.c       accepts connections, and makes room for them
 *     idle.c         closes connections on which nothing happens
 *     timeout_list.c what must happen within a time (timeout_list.h)
 *     stop.c         its end
 *     retire.c       its end beside other workers, which get its connections (handover.h)
 *     request_log.c  which requests run (request_log.h)
 *     level.c        what it leaves to other processes (level.h)
 *     calls.c        which calls run without the loop (calls.h)
 *     count.c        what it counts (count.h)
 *     deadline.c     which of them take too long (deadline.h)
 *     slow.c         which ones the log tells of while they run (slow.h)
 *     who.c          which log lines about peers are due (who.h)
 *     overload.c     what the log tells when threads are short (overload.h)
 *
 * A lane and its connections depend on each other: the lane keeps them in lists, by what must be done about them, and
 * tells them when to end; the functions of connections (conn.c) keep these lists in order.
 *
 * A process may have several lanes: everything that is kept between two events is in the struct.
 */
#ifndef WSGI_FCGI_NET_LANE_IMPL_H
#define WSGI_FCGI_NET_LANE_IMPL_H

#include "base/log.h"
#include "base/log_limit.h"
#include "ipc/scoreboard.h"
#include "net/calls.h"
#include "net/conn.h"
#include "net/count.h"
#include "net/deadline.h"
#include "net/lane.h"
#include "net/level.h"
#include "net/overload.h"
#include "net/slow.h"

#include <ev.h>
#include <stdatomic.h>

enum {
    LANE_READ_BYTES = 65536, /* bytes of one read; all connections share the buffer */
    LANE_TOPICS = 64         /* kinds of log lines that peers can cause: all rows of all tables of such lines */
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
    struct calls calls;
    struct count count;
    struct level level;
    struct deadlines deadlines;
    struct slow slow;
    struct request_ids request_ids;

    /* Connections. */
    TAILQ_HEAD(conn_list, conn) conns;       /* least recently active first */
    struct conn_list lingering;              /* those in CONN_LINGERING */
    struct conn_list closed;                 /* those in CONN_CLOSED that something refers to, such as a request */
    TAILQ_HEAD(, conn) unsent;               /* those whose output waits for the peer, by conn.out_at */
    struct conn_list rests[CONN_REST_COUNT]; /* by conn.rest, longest in it first; without the busy ones */
    TAILQ_HEAD(, conn) unpolled;             /* open or ending ones whose descriptor libev does not know yet */
    unsigned long long next_conn;
    atomic_uint nconns, nrequests;
    atomic_uint nended; /* requests, since the beginning */
    unsigned nlive;     /* connections whose memory is in use */

    /* accept.c */
    struct listener_set *listeners;
    struct lane_listener *accepting; /* one for each listener whose protocol the lane has... */
    size_t naccepting;               /* ...so many */
    bool accepts;                    /* lane_start_accepting was called */
    ev_timer accept_pause;
    bool accept_paused;
    bool taking_paused;            /* connections of other workers wait for room */
    struct log_limit accept_limit; /* for lines about accept(2) failing */
    struct log_state full_log;     /* connections must wait... */
    struct log_state closed_log;   /* ...or idle ones are closed for new ones */

    /* idle.c, timeout_list.c */
    ev_timer idle_timer;
    SLIST_HEAD(, timeouts) timeouts; /* all lists, those of the front ends too */
    struct timeouts headers;         /* for the ends of header sections: --header-timeout */
    struct timeouts rates;           /* for looks at peers whose output waits: --min-send-rate */
    struct timeouts draining;        /* for lingering connections, after CONN_END_DRAIN... */
    struct timeouts parting;         /* ...and CONN_END_PART */

    /* handover.c */
    struct handover *handover;      /* NULL: the process is the only one */
    const _Atomic uint32_t *queued; /* of the scoreboard; or NULL */

    /* retire.c */
    bool retiring;    /* and not stopping */
    bool retire_look; /* there may be connections to give away */
    ev_timer retire_timer;
    atomic_flag retire_posted;
    struct sched_note retire_note;

    /* stop.c */
    bool stopping;
    bool aborting;        /* the application is not called any more */
    bool listening_ended; /* nothing more will be accepted */
    bool quit;
    ev_timer stop_timer;
    atomic_flag stop_posted, abort_posted;
    struct sched_note stop_note, abort_note;

    /* The log: who.c, overload.c; and refusal.c. */
    struct log_table log_table;
    struct lane_topic topics[LANE_TOPICS]; /* for who_log_due, in order of first use */
    struct overload overload;
    uint64_t chance; /* for hash_next */

    uint8_t input[LANE_READ_BYTES];
};

/* The time that all time-outs use, in seconds of the monotonic clock: that of the last poll. Do not use ev_now() for
 * them: it tells the time of day, which steps when somebody sets it, and is for what people read. Owner only. */
static inline ev_tstamp lane_now(const struct lane *lane) {
    return lane->now;
}

/* Whether the server is about to stop, so that peers had better connect to another one (--stop-delay). Owner. */
static inline bool lane_is_leaving(const struct lane *lane) {
    const struct scoreboard *board = lane->config.board;
    return board && atomic_load_explicit(&board->leaving, memory_order_relaxed);
}

/* Changes a counter that only the owner writes and others read, so no locked instruction is needed. */
static inline void lane_count_add(atomic_uint *count, int n) {
    atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + (unsigned)n, memory_order_relaxed);
}

static inline void lane_request_ends(struct lane *lane) {
    lane_count_add(&lane->nrequests, -1);
    lane_count_add(&lane->nended, 1);
}

/* Call before a body is freed: closing its file, if it has one, may take long on a slow file system. */
static inline void lane_body_ends(struct lane *lane, const struct body *body) {
    if (body_has_file(body))
        sched_pause(lane->sched);
}

/* accept.c */

/* Prepares accepting; the protocols have their states already. Returns 0, or -1 with errno. */
int lane_accept_init(struct lane *lane);

/* Ends a pause in accepting: there may be descriptors or memory now. */
void lane_accept_again(struct lane *lane);

/* Whether others are to accept what comes has changed (level.leaves). */
void lane_accept_level(struct lane *lane);

/* Accepts no more; the listeners stay open. */
void lane_accept_stop(struct lane *lane);

/* Whether there is room for one more connection under --max-connections; and makes it, by closing one that rests or is
 * over. LANE_ROOM_LATER: not all that could be closed were looked at. */
enum lane_room { LANE_ROOM_NONE, LANE_ROOM_LATER, LANE_ROOM_MADE };
bool lane_has_room(const struct lane *lane);
enum lane_room lane_make_room(struct lane *lane);

/* Accepts what waits in the backlog, if the lane has begun to accept, and closes the listeners. */
void lane_accept_end(struct lane *lane);

/* A connection has ended, so there may be descriptors or memory again. lane_conn_rests: one could be closed for
 * another one; called only if somebody waits for that. */
void lane_conn_closed(struct lane *lane);
void lane_conn_rests(struct lane *lane);

/* idle.c: one timer for all connections, set for the least recently active one or the slowest reader, whichever is due
 * first. */

void lane_idle_init(struct lane *lane);

/* Starts the timer if it is needed. Called before the loop waits. */
void lane_idle_settle(struct lane *lane);

/* stop.c */

void lane_stop_init(struct lane *lane);

/* Begins the stop, if it has not begun yet. */
void lane_stop_begins(struct lane *lane);

/* Ends the scheduler when the lane stops, or retires, and the last connection and request are gone. */
void lane_check_stopped(struct lane *lane);

/* retire.c */

void lane_retire_init(struct lane *lane);

/* Gives away what can be given. Called before the loop waits. */
void lane_retire_settle(struct lane *lane);

#endif
