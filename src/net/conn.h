/* A connection: reading, ordered and bounded writing, idle time and the end. What the bytes mean is the business of
 * the front end that embeds it.
 *
 * Life: the owner closes a connection; its memory goes when nothing refers to it any more (conn_ref). A connection whose
 * request waits or runs is therefore only marked when its peer goes away, and freed by whoever holds the request last.
 *
 * The peer's end. That nothing more comes (the end of the input) is one thing, that nobody takes the answers is another: a
 * reset, a failing write, and on a Unix socket POLLHUP are the signs of that. What was received until then, here or in the
 * socket, is input like any other.
 *
 * Rest. A connection that rests (CONN_RESTING: no request is open, no answer unsent, nothing of the next request was read) is
 * nothing but a descriptor, a protocol and the identity of its peer, so that another process could go on with it.
 * conn_gives_way is where one would be given away: it takes a last look, and closes what rests nevertheless.
 *
 * The loop polls a descriptor (libev) from conn_poll on; "watch" is a word of the scheduler's.
 *
 * Threads: owner only, except for conn_transmit, conn_transmit_file, conn_wake and conn_note_room.
 */
#ifndef WSGI_FCGI_NET_CONN_H
#define WSGI_FCGI_NET_CONN_H

#include "base/buf.h"
#include "base/log.h"
#include "net/pool.h"
#include "net/timeouts.h"
#include "proto/forwarded.h"
#include "sched/sched.h"

#include <ev.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/uio.h>

struct lane;
struct timeouts;
struct conn;
struct request;

/* Why a connection ended. A name of one stands for a pointer to it: it is an array of one. */
struct conn_reason {
    enum log_level level;
    const char *text;
};

#define CONN_REASON_DECLARE(name, level, text) extern const struct conn_reason name[1];
#define CONN_REASON_DEFINE(name, level, text) const struct conn_reason name[1] = {{LOG_LEVEL_##level, text}};

/* Those of any protocol: X(name, log level, text). Each front end has a table of its own, in its conn.h. */
#define CONN_REASONS(X)                                                                                                \
    X(CONN_DONE, DEBUG, "all requests answered")                                                                       \
    X(CONN_EOF, DEBUG, "closed by the peer")                                                                           \
    X(CONN_RESET, DEBUG, "reset by the peer")                                                                          \
    X(CONN_IDLE, DEBUG, "idle for longer than --idle-timeout")                                                         \
    X(CONN_MADE_ROOM, DEBUG, "closed for a new one, as it was idle or had but half a header")                          \
    X(CONN_STOPPING, DEBUG, "the server stops")                                                                        \
    X(CONN_DRAINED, DEBUG, "the peer did not end its side in time")                                                    \
    X(CONN_BROKEN_OFF, DEBUG, "ended early, so that a cut answer is seen")                                             \
    X(CONN_SLOW_REQUEST, INFO, "a request was not completed within --idle-timeout")                                    \
    X(CONN_SLOW_READER, INFO, "the peer took nothing of an answer for --idle-timeout")                                 \
    X(CONN_READS_NOTHING, WARNING, "the peer sends requests and reads no answers")                                     \
    X(CONN_SPEAKS_TLS, WARNING,                                                                                        \
      "the peer speaks TLS (https), which is not spoken here: end it in a proxy in front of this server")              \
    X(CONN_NOT_POLLED, ERROR,                                                                                          \
      "ended, as the system does not let it be watched: look at fs.epoll.max_user_watches, and at free memory")        \
    X(CONN_NO_MEMORY, ERROR, "out of memory")
CONN_REASONS(CONN_REASON_DECLARE)

typedef void conn_visit(const struct conn *c, unsigned id, const struct request *r, void *arg);

/* What a connection asks of its protocol. */
struct conn_ops {
    /* Bytes came. Returns false when the connection was closed meanwhile. */
    bool (*input)(struct conn *c, const uint8_t *data, size_t len);
    /* Nothing can be sent any more. What the peer has sent before still comes; then the connection ends. */
    void (*lost)(struct conn *c);
    /* The connection is being closed: nothing more comes, and nothing more can be sent. What has come whole counts all the
     * same, unless the lane says otherwise (net/abandon.h). */
    void (*gone)(struct conn *c);
    /* The peer has ended its side. It may still read; over TCP, it may as well be gone. */
    void (*half_closed)(struct conn *c);
    /* What the idle time means: CONN_DONE when requests are in work and the connection is to stay. */
    const struct conn_reason *(*idle)(struct conn *c);
    /* Whether nothing of use can come before the requests in work are answered. */
    bool (*complete)(struct conn *c);
    /* The peer has taken all that waited for it. May be NULL. */
    void (*drained)(struct conn *c);
    /* A reader has made room for more of its body (conn_note_room). */
    void (*room)(struct conn *c);
    /* The lane stops: what has arrived is read, and the connection ends after its open requests. One that rests is left to
     * the lane. */
    void (*stop)(struct conn *c);
    /* The lane has been stopping for a while: an open connection that neither rests nor is paused does not wait any longer
     * for what its peer is slow to send. */
    void (*end)(struct conn *c);
    /* Who the client is as long as no request says it (net/who.h): `r` is one whose parameters have come, but are not whole or
     * cannot be read, or NULL. *client is AF_UNSPEC before, and left alone when nobody knows. May be NULL. */
    void (*client)(const struct conn *c, const struct request *r, union peer_address *client);
    /* Calls `visit` for every request of the connection that an application runs. May be NULL. */
    void (*running)(const struct conn *c, conn_visit *visit, void *arg);
    /* Gives the memory back. */
    void (*free)(struct conn *c);
};

enum conn_state {
    CONN_OPEN,
    CONN_FLUSHING,  /* closes when its output is sent */
    CONN_LINGERING, /* its side is shut down; reads and drops until the peer's side ends */
    CONN_CLOSED     /* no descriptor any more */
};

/* Which connections are closed first when others need their place (conn_gives_way). */
enum conn_rest {
    CONN_BUSY,    /* a request is in work, or output waits for the peer: not at all */
    CONN_RESTING, /* nothing of a request has come */
    CONN_BEGUN,   /* a request has begun to come, but its header is not complete */
    CONN_REST_COUNT
};

/* How a connection ends when its output is sent. While the peer may still be sending, a plain close would be a reset, or
 * a failing write, on its side, and the answer lost with it. */
enum conn_end {
    CONN_END_CLOSE, /* at once: the peer may begin another request, and is to see that this one cannot be served */
    CONN_END_PART,  /* half-close first: the peer has sent its requests, but not every client ends with the last byte of
                       one (an empty record, an empty line) */
    CONN_END_DRAIN  /* the same: the peer is in the middle of one, and may send all of it before it reads */
};

/* A thread that waits for room in conn.out. */
struct conn_turn {
    pthread_cond_t come;
    size_t low; /* bytes: there is room when no more than that are left */
    TAILQ_ENTRY(conn_turn) link;
};

struct conn {
    struct lane *lane;
    const struct conn_ops *ops;
    unsigned long long number; /* for log lines */
    int fd;
    enum conn_state state;
    unsigned refs;
    bool polled;       /* libev knows the descriptor, or must not */
    bool in_loop;      /* libev knows it, or did */
    bool is_unix;      /* the peer is a process of this machine */
    bool read_ended;   /* the peer has ended its side */
    bool lost;         /* nothing can be sent any more */
    bool left;         /* CLOSED: by its peer */
    bool paused;       /* not read from for the time being */
    bool was_paused;   /* at some time since the front end took it back */
    bool used;         /* something was received */
    bool corked;       /* output is collected */
    enum conn_end end; /* FLUSHING: what follows */
    const struct conn_reason *flush_reason;
    enum conn_rest rest;
    TAILQ_ENTRY(conn) rest_link;
    ev_tstamp active_at; /* lane_now, as all times here */
    uint64_t drained;    /* bytes dropped when it was to end */
    ev_tstamp linger_since;
    struct timeout linger; /* LINGERING: for the peer's next byte, or its end */
    unsigned rested;       /* LINGERING: turns of the loop before it is looked at */
    ev_tstamp out_at;      /* when the peer last took something, while output waits; 0: none waits */
    TAILQ_ENTRY(conn) out_link;
    union peer_address peer; /* AF_UNSPEC on a Unix socket */
    int unsent;              /* what the peer had to take yet of what was sent, at the last look at it (SIOCOUTQ) */
    ev_io read_io, write_io;
    TAILQ_ENTRY(conn) link;
    TAILQ_ENTRY(conn) unpolled_link;

    pthread_mutex_t out_lock; /* guards what follows, and sending */
    struct buf out;           /* taken from front ends, but not by the socket yet */
    size_t out_longest;       /* bytes kept of the longest piece of what waits, or of what did before */
    TAILQ_HEAD(conn_turns, conn_turn) out_turns; /* threads that wait for room, in the order in which they came */
    bool out_collected;                          /* `out` was empty when it was corked: nothing of it was tried */
    int out_error;                               /* errno after which nothing can be sent any more; 0: none */
    bool out_noted;                              /* out_note is posted */
    bool room_noted;                             /* and is about room, too */
    struct sched_note out_note;
};

enum {
    CONN_OUT_HIGH = 131072,  /* a thread that has more to send than fits below this waits... */
    CONN_OUT_LOW = 32768,    /* ...until so little is left; one that has a part of a file, until nothing is */
    CONN_CORK_MAX = 16384,   /* so much is collected while a connection is corked */
    CONN_OUT_MAX = 16 << 20, /* more than this, beside the longest piece, which may be all of an answer, waits only
                                when a peer sends requests and reads no answers */
    CONN_DROP_MAX = 1 << 30, /* bytes that are read for nothing, so that a peer gets to its answer; more than that when
                                 a body may be larger */
    CONN_DROP_PACE = 10240,  /* bytes per second that have to come of them after the first... */
    CONN_DROP_SECONDS = 60,  /* ...seconds of a connection that lingers */
    CONN_DRAIN_SECONDS = 5,  /* without a byte: CONN_END_DRAIN */
    CONN_PART_SECONDS = 1,   /* and CONN_END_PART */
    CONN_STOP_SECONDS = 3    /* without a byte, when the lane stops: of a body for which nothing has been called yet */
};

/* How many bytes are read for nothing. */
uint64_t conn_drop_max(const struct conn *c);

/* Prepares a zeroed or recycled connection for an accepted, non-blocking descriptor. It holds one reference of its own
 * until it is closed. `peer`: the address of the peer, in a struct sockaddr_storage; NULL: a process of this machine. */
void conn_init(struct conn *c, struct lane *lane, int fd, const struct sockaddr *peer, const struct conn_ops *ops);

/* One from the pool, or a new one of `size` bytes, at whose beginning it is, all of them 0. Returns NULL when there is no
 * memory. */
void *conn_new(size_t size);
static inline void *conn_alloc(struct pool *pool, size_t size) {
    void *c = pool_take(pool);
    return c ? c : conn_new(size);
}

/* Once per memory, before conn_init / before it is freed. */
void conn_alloc_init(struct conn *c);
void conn_alloc_fini(struct conn *c);

void conn_ref(struct conn *c);
void conn_unref(struct conn *c);

/* Reads what is there and hands it to the front end. */
void conn_read(struct conn *c);

/* Reads all that has come by now, unless the connection is not read from at present: before a time-out is applied, which
 * the loop may have come to long after the bytes. Returns whether any had come. The connection may be closed afterwards. */
bool conn_catch_up(struct conn *c);

/* Has the loop poll the descriptor from now on. */
void conn_poll(struct conn *c);

/* The same, before the loop waits, for one that is not polled yet. */
void conn_settle(struct conn *c);

/* Whether nothing can be sent any more, as far as is known by now; conn.lost follows. */
bool conn_is_lost(struct conn *c);

/* Stops reading, until conn_resume: what the peer sends waits in the socket, and its end is not noticed. */
void conn_pause(struct conn *c);
void conn_resume(struct conn *c);

/* The front end says how it stands with the connection, whenever that may have changed. */
void conn_change_rest(struct conn *c, enum conn_rest rest);
static inline void conn_set_rest(struct conn *c, enum conn_rest rest) {
    if (c->rest != rest)
        conn_change_rest(c, rest);
}

/* Closes a connection that rests or has begun, for another one or as the lane stops. What it has sent by now is read first:
 * when that makes it busy, it stays. Returns whether it was closed; if not, it does not stand any more as it did. */
bool conn_gives_way(struct conn *c, const struct conn_reason *reason);

/* Lets the owner call ops->room, while the connection is open. Any thread that holds a request of the connection. */
void conn_note_room(struct conn *c);

/* Something has happened on the connection that the idle time counts from. */
void conn_touch(struct conn *c);

/* Sends bytes, in order behind what waits already; what the socket does not take is kept. */
void conn_output(struct conn *c, const void *data, size_t len);

/* More output is about to follow: collects it until conn_uncork, so that it leaves, and wakes the peer, once. What is too
 * long to be worth a copy is sent nevertheless. */
void conn_cork(struct conn *c);
void conn_uncork(struct conn *c);

/* Ends the connection when everything is sent, in the way that `end` says. */
void conn_finish(struct conn *c, const struct conn_reason *reason, enum conn_end end);

/* Ends it now. */
void conn_close(struct conn *c, const struct conn_reason *reason);

/* Ends one that lingers when its peer has sent nothing for so long. */
void conn_end_silent(struct conn *c, ev_tstamp seconds);

/* Of those that linger, in one of the two lists of the lane, the one whose peer has been silent for longest, or NULL. */
struct conn *conn_first_lingering(const struct timeouts *all);

/* Whether something has come that was not read yet. */
bool conn_readable(const struct conn *c);

/* Whether output waits for the peer, and how many bytes of it there are beside its longest piece: an application may send
 * as much at once as it likes, and what piles up beyond that is the peer's doing. */
bool conn_blocked(struct conn *c);
size_t conn_piled(struct conn *c);

/* conn_blocked without the lock, as the loop has heard of it: a note of the running thread about more may still be on its
 * way. */
bool conn_is_unsent(const struct conn *c);

/* The peer has had its time to take something of the output (conn.out_at): ends the connection now, unless it did, or is
 * `excused`; then it has its time again. */
void conn_output_late(struct conn *c, bool excused);

/* Sends the pieces, which belong together, from the thread that runs `r`. Waits while too much is waiting for
 * the peer already (and runs the loop meanwhile, or gives the baton away). Threads that wait for the same peer take
 * turns, one call each, so that the answers on a multiplexed connection advance side by side. Returns 0, or -1 with errno
 * EPIPE when the peer is gone, or ENOMEM. The GIL must not be held.
 *
 * When nobody wants the answer any more (request_close_answer) a wait ends, with nothing sent and nothing kept, and EPIPE. */
int conn_transmit(struct conn *c, const struct request *r, const struct iovec *pieces, unsigned count);

/* The same for `head` (NULL: none) and `len` bytes of a regular file, which go out by sendfile(2) as far as the peer takes
 * them at once; the rest is read, and kept like any output, so that the connection ends and times out in the same way.
 * The file should be in memory: the connection is locked while it is read. `fd` is open for reading; its position is
 * neither used nor moved.
 *
 * Returns how many bytes the file had, or -1 with errno EPIPE. It is fewer than `len` when the file has ended, or cannot
 * be read: with a `head` zeros stand in for the others then, so that a record is whole. The caller must let no peer take
 * such an answer for a good one. No SIGPIPE is raised, whatever the application has made of that signal. */
ssize_t conn_transmit_file(struct conn *c, const struct request *r, const struct iovec *head, int fd, off_t offset,
                           size_t len);

/* Lets every thread that waits for room look whether its answer is still wanted. Any thread that holds a request of the
 * connection; the GIL must not be held. */
void conn_wake(struct conn *c);

#endif
