/* A connection: reads, writes in order and within bounds, times out, and ends. The front end that embeds it knows what
 * the bytes mean.
 *
 * Life: the owner closes a connection, and its memory is freed when nothing refers to it any more (conn_ref). If the
 * peer goes away while a request waits or runs, the descriptor is closed and the connection marked (CONN_CLOSED); its
 * memory stays until the request has ended.
 *
 * The peer's end: the end of the input, after which nothing more comes, is not the same as a peer that takes no answers
 * any more. A reset, a failing write and, on a Unix socket, POLLHUP are the signs of the latter. What was received
 * until then, here or in the socket, is input like any other.
 *
 * Rest: a connection rests (CONN_RESTING) when no request is open and nothing of the next request was read. If no
 * output waits for its peer either, it is nothing but a descriptor, a protocol and the identity of its peer, so another
 * process can continue it (net/handover.h). So can one of which only a part of a header was read.
 *
 * libev polls the descriptor from conn_poll on. The word "watch" is kept for the scheduler's.
 *
 * Threads: owner only, except for conn_transmit and what follows it, conn_wake and conn_note_room.
 */
#ifndef WSGI_FCGI_NET_CONN_H
#define WSGI_FCGI_NET_CONN_H

#include "base/buf.h"
#include "base/log.h"
#include "net/free_list.h"
#include "net/listen/listener.h"
#include "net/timeout_list.h"
#include "proto/forwarded.h"
#include "sched/sched.h"

#include <ev.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/uio.h>

struct handover_message;
struct lane;
struct listener;
struct timeouts;
struct conn;
struct request;

/* Why a connection ended. The name of a reason is an array of one, so it can be used as a pointer. */
struct conn_reason {
    enum log_level level;
    const char *text;
};

#define CONN_REASON_DECLARE(name, level, text) extern const struct conn_reason name[1];
#define CONN_REASON_DEFINE(name, level, text) const struct conn_reason name[1] = {{LOG_LEVEL_##level, text}};

/* Reasons of any protocol: X(name, log level, text). Each front end has its own table in its conn.h. */
#define CONN_REASONS(X)                                                                                                \
    X(CONN_DONE, DEBUG, "all requests answered")                                                                       \
    X(CONN_EOF, DEBUG, "closed by the peer")                                                                           \
    X(CONN_RESET, DEBUG, "reset by the peer")                                                                          \
    X(CONN_IDLE, DEBUG, "idle for longer than --idle-timeout")                                                         \
    X(CONN_MADE_ROOM, DEBUG, "closed for a new one, as it was idle or had but half a header")                          \
    X(CONN_HANDED_OVER, DEBUG, "handed over to another worker")                                                        \
    X(CONN_STOPPING, DEBUG, "the server stops")                                                                        \
    X(CONN_DRAINED, DEBUG, "the peer did not end its side in time")                                                    \
    X(CONN_BROKEN_OFF, DEBUG, "ended early, so that a cut answer is seen")                                             \
    X(CONN_SLOW_REQUEST, INFO, "a request was not completed within --idle-timeout")                                    \
    X(CONN_SLOW_READER, INFO, "the peer took nothing of an answer for --idle-timeout")                                 \
    X(CONN_READS_SLOWLY, INFO, "the peer took an answer at less than --min-send-rate")                                 \
    X(CONN_GAVE_WAY, INFO, "a call waited for the peer, and its thread was needed")                                    \
    X(CONN_READS_NOTHING, WARNING, "the peer sends requests and reads no answers")                                     \
    X(CONN_SPEAKS_TLS, WARNING,                                                                                        \
      "the peer speaks TLS (https), which is not spoken here: end it in a proxy in front of this server")              \
    X(CONN_NOT_POLLED, ERROR,                                                                                          \
      "ended, as the system does not let it be watched: look at fs.epoll.max_user_watches, and at free memory")        \
    X(CONN_NO_MEMORY, ERROR, "out of memory")
CONN_REASONS(CONN_REASON_DECLARE)

/* How a peer learns that the time of a call is over. */
enum conn_overdue {
    CONN_OVERDUE_ANSWERED, /* 504 */
    CONN_OVERDUE_CUT,      /* some of the answer had been sent: it is cut off */
    CONN_OVERDUE_GONE      /* not at all: it is gone, or has aborted the request; or there was no memory */
};

typedef void conn_visit(const struct conn *c, unsigned id, const struct request *r, void *arg);

/* What a connection asks of its protocol. */
struct conn_ops {
    enum listener_protocol protocol;
    /* Bytes came. Returns whether the connection is still open (CONN_OPEN). */
    bool (*input)(struct conn *c, const uint8_t *data, size_t len);
    /* Nothing can be sent any more. Input that the peer has already sent still comes; then the connection ends. */
    void (*lost)(struct conn *c);
    /* The connection is being closed: nothing more comes, and nothing more can be sent. Requests received in full still
     * run, unless the lane says otherwise (net/abandon.h). Called once more for a closed connection when the lane says
     * so later (lane_abort). */
    void (*gone)(struct conn *c);
    /* The peer has ended its side. It may still read; over TCP, it may also be gone. */
    void (*half_closed)(struct conn *c);
    /* The connection was idle for too long: returns the reason to close it, or CONN_DONE when it is not to be closed
     * now, because requests are in work or the front end has done what there is to do. */
    const struct conn_reason *(*idle)(struct conn *c);
    /* Whether nothing useful can come before the requests in work are answered. */
    bool (*complete)(struct conn *c);
    /* The peer has taken all output that waited, or that was dropped because nothing can be sent any more. May be
     * NULL. */
    void (*drained)(struct conn *c);
    /* A reader has made room for more of its body (conn_note_room). */
    void (*room)(struct conn *c);
    /* The lane stops: reads what has arrived; the connection ends after its open requests. One that rests ends now if
     * it has had a request (FastCGI: any record); otherwise it stays open, and the lane closes it soon. */
    void (*stop)(struct conn *c);
    /* The lane is stopping, and looks at an open connection that is not paused and that it does not close itself: stops
     * waiting for a peer that has been slow to send. Called again and again. */
    void (*end)(struct conn *c);
    /* Who the client is while no request tells (net/who.h). `r`: a request whose parameters have come but are
     * incomplete or unreadable, or NULL. *client is AF_UNSPEC before the call, and stays so if nobody knows. May be
     * NULL. */
    void (*client)(const struct conn *c, const struct request *r, union peer_address *client);
    /* The connection is to be given to another process, which goes on by struct protocol.take. It is open and rests, or
     * has begun. Returns whether it can be; if so, *m says what the front end knows, and points to what is left over.
     * Nothing of the connection has changed. */
    bool (*give)(struct conn *c, struct handover_message *m);
    /* The lane retires, and looks at an open connection: it is to come to rest soon, whatever its peer still sends. May
     * be NULL. */
    void (*retire)(struct conn *c);
    /* The time of the call of request `r` of this connection is over (net/deadline.h). Takes the request off the
     * connection, gives its peer the answer 504, or cuts off the one that has begun, and lets the call go on by itself:
     * `settle` of its job ends it. The connection goes on as after any answer of the server's own; other requests on it
     * do not notice. Returns what has become of the answer. */
    enum conn_overdue (*overdue)(struct conn *c, struct request *r);
    /* Calls `visit` for every request of the connection that the application runs. May be NULL. */
    void (*running)(const struct conn *c, conn_visit *visit, void *arg);
    /* Frees the memory, or keeps it for reuse. */
    void (*free)(struct conn *c);
};

enum conn_state {
    CONN_OPEN,
    CONN_FLUSHING,  /* closes when its output is sent */
    CONN_LINGERING, /* the server's side is shut down; reads and drops input until the peer's side ends */
    CONN_CLOSED     /* no descriptor any more */
};

/* Which connections are closed first when others need their place (conn_gives_way). */
enum conn_rest {
    CONN_BUSY,    /* a request is in work, or output was found to wait: never closed for that; or it is not open */
    CONN_RESTING, /* nothing of a request has come */
    CONN_BEGUN,   /* a request has begun to come, but its header is not complete */
    CONN_REST_COUNT
};

/* How a connection ends after its output is sent. If the peer may still be sending, a plain close would show on its
 * side as a reset or a failing write, and the answer would be lost. */
enum conn_end {
    CONN_END_CLOSE, /* at once: the peer may begin another request, and is to see that this one cannot be served */
    CONN_END_PART,  /* half-close first: the peer has sent its requests, but not every client ends with the last byte of
                       one (an empty record, an empty line) */
    CONN_END_DRAIN  /* the same: the peer is in the middle of one, and may send all of it before it reads */
};

/* A thread that waits for room in conn.out. */
struct conn_turn {
    pthread_cond_t come;
    size_t low; /* there is room when no more than this many bytes are left */
    TAILQ_ENTRY(conn_turn) link;
};

struct conn {
    struct lane *lane;
    const struct conn_ops *ops;
    const struct listener *listener; /* that it has come from, for as long as the lane; NULL: not known */
    unsigned long long number;       /* for log lines */
    int fd;
    enum conn_state state;
    unsigned refs;
    bool polled;       /* libev knows the descriptor, or must not know it */
    bool in_loop;      /* libev knows it, or did */
    bool is_unix;      /* the peer is a process of this machine */
    bool read_ended;   /* the peer has ended its side */
    bool lost;         /* nothing can be sent any more */
    bool left;         /* CLOSED: the peer closed it */
    bool paused;       /* not read from for the time being */
    bool was_paused;   /* was paused since the front end last cleared this */
    bool used;         /* something was received */
    bool corked;       /* output is collected */
    enum conn_end end; /* FLUSHING: what follows */
    const struct conn_reason *flush_reason;
    enum conn_rest rest;
    TAILQ_ENTRY(conn) rest_link;
    ev_tstamp active_at; /* lane_now, as all times here */
    uint64_t drained;    /* bytes dropped since it was to end */
    ev_tstamp linger_since;
    struct timeout linger; /* LINGERING: for the peer's next byte, or its end */
    unsigned rested;       /* LINGERING: turns of the loop before it is looked at */
    ev_tstamp out_at;      /* while output waits: since when the peer has time to take some; 0: none waits */
    TAILQ_ENTRY(conn) out_link;
    union peer_address peer; /* AF_UNSPEC on a Unix socket */
    int unsent;              /* bytes sent that the peer had yet to take, when last asked (SIOCOUTQ) */
    uint64_t flushed;        /* bytes that the loop has sent since then */
    struct timeout rate;     /* while output waits, with --min-send-rate: for the next look at it (conn_rate.c) */
    ev_tstamp behind_for;    /* seconds for which the peer has been below that rate... */
    int64_t behind_taken;    /* ...and bytes that it has taken in that time */
    ev_io read_io, write_io;
    TAILQ_ENTRY(conn) link;
    TAILQ_ENTRY(conn) unpolled_link;

    pthread_mutex_t out_lock; /* guards what follows, and sending */
    struct buf out;           /* output that the socket has not yet taken */
    size_t out_longest;       /* bytes kept of the longest piece of the output that waits, or that waited before */
    TAILQ_HEAD(conn_turns, conn_turn) out_turns; /* threads that wait for room, in order of arrival */
    bool out_collected; /* no sending of `out` was tried: of a corked connection, or conn_leave */
    int out_error;      /* errno after which nothing can be sent any more; 0: none */
    bool out_noted;     /* out_note is posted */
    bool room_noted;    /* out_note is about room, too */
    struct sched_note out_note;
};

enum {
    CONN_OUT_HIGH = 131072,  /* a thread that has more to send than fits below this waits... */
    CONN_OUT_LOW = 32768,    /* ...until so little is left; one that has a part of a file, until nothing is */
    CONN_CORK_MAX = 16384,   /* so much is collected while a connection is corked */
    CONN_OUT_MAX = 16 << 20, /* more than this, beside the longest piece, which may be all of an answer, waits only
                                when a peer sends requests and reads no answers */
    CONN_RATE_SECONDS = 5,   /* between two looks at whether a peer takes its output at --min-send-rate */
    CONN_RATE_SLACK = 65536, /* bytes that it may be behind: the system tells of what it takes in steps as long */
    CONN_DROP_MAX = 1 << 30, /* bytes that are read and dropped, so that a peer gets to its answer; or
                                 --limit-request-body, if that is more */
    CONN_DROP_PACE = 10240,  /* bytes of them per second that must come after the first... */
    CONN_DROP_SECONDS = 60,  /* ...seconds of a connection that lingers */
    CONN_DRAIN_SECONDS = 5,  /* without a byte: CONN_END_DRAIN */
    CONN_PART_SECONDS = 1,   /* and CONN_END_PART */
    CONN_STOP_SECONDS = 3    /* without a byte of a body, when the lane stops and the call has not begun */
};

/* How many bytes are read and dropped at most while the connection ends. */
uint64_t conn_drop_max(const struct conn *c);

/* Prepares a zeroed or recycled connection for an accepted, non-blocking descriptor. The connection holds one reference
 * to itself until it is closed. `peer`: the peer's address, in a struct sockaddr_storage; NULL: a process of this
 * machine. */
void conn_init(struct conn *c, struct lane *lane, int fd, const struct sockaddr *peer, const struct conn_ops *ops);

/* The same, behind conn_init, for one that another process has given away: what *m says of it beside its protocol. */
void conn_taken(struct conn *c, const struct handover_message *m);

/* conn_alloc takes a connection from the pool, as it was left there; or else conn_new allocates one of `size` bytes,
 * which begins with a struct conn and is zero but for what conn_alloc_init has done. Both return NULL when there is no
 * memory. */
void *conn_new(size_t size);
static inline void *conn_alloc(struct free_list *pool, size_t size) {
    void *c = free_list_take(pool);
    return c ? c : conn_new(size);
}

/* Called once for each piece of memory: the one before the first conn_init (by conn_new), the other before it is
 * freed. */
void conn_alloc_init(struct conn *c);
void conn_alloc_fini(struct conn *c);

void conn_ref(struct conn *c);
void conn_unref(struct conn *c);

/* Reads once, at most LANE_READ_BYTES, and passes that to the front end; drops it when the connection is ending. */
void conn_read(struct conn *c);

/* Reads all that has come by now, unless the connection is paused. Call it before applying a time-out: the loop may be
 * late, and the bytes may have been there in time. Returns whether any had come. The connection may be closed
 * afterwards. */
bool conn_catch_up(struct conn *c);

/* Makes the loop poll the descriptor from now on. */
void conn_poll(struct conn *c);

/* The same for a connection that is not polled yet, called before the loop waits. */
void conn_settle(struct conn *c);

/* Whether nothing can be sent any more, as far as is known now; conn.lost is set later. */
bool conn_is_lost(struct conn *c);

/* Stops reading until conn_resume. What the peer sends waits in the socket, and its end is not noticed. */
void conn_pause(struct conn *c);
void conn_resume(struct conn *c);

/* Tells how busy the connection is. The front end calls this whenever it may have changed. */
void conn_change_rest(struct conn *c, enum conn_rest rest);
static inline void conn_set_rest(struct conn *c, enum conn_rest rest) {
    if (c->rest != rest)
        conn_change_rest(c, rest);
}

/* Closes a connection that rests or has begun, to make room for another one or because the lane stops. First reads what
 * it has sent; if its `rest` changes by that, or output waits, it stays. Returns whether it was closed; if not, its
 * `rest` has changed. */
bool conn_gives_way(struct conn *c, const struct conn_reason *reason);

/* Makes the owner call ops->room, if the connection is still open. Any thread that holds a request of the
 * connection. */
void conn_note_room(struct conn *c);

/* Restarts the idle time. */
void conn_touch(struct conn *c);

/* Sends bytes, behind the output that waits already; what the socket does not take is kept. */
void conn_output(struct conn *c, const void *data, size_t len);

/* Collects further output until conn_uncork, so that it leaves in one piece and wakes the peer once. Output that is too
 * long to be worth copying is sent at once. */
void conn_cork(struct conn *c);
void conn_uncork(struct conn *c);

/* Sends what calls have left (conn_leave), unless the connection is corked. Returns whether there was anything. */
bool conn_send_left(struct conn *c);

/* Ends the connection when all output is sent, in the way that `end` says. */
void conn_finish(struct conn *c, const struct conn_reason *reason, enum conn_end end);

/* Closes the connection now. */
void conn_close(struct conn *c, const struct conn_reason *reason);

/* Closes a lingering connection if its peer has sent nothing for this many seconds. */
void conn_end_silent(struct conn *c, ev_tstamp seconds);

/* Returns the lingering connection whose peer has been silent for longest, in one of the lane's two lists of them; or
 * NULL. */
struct conn *conn_first_lingering(const struct timeouts *all);

/* Whether there is input that was not read yet. */
bool conn_readable(const struct conn *c);

/* Whether output waits for the peer; and how many bytes of it wait, without the longest piece. An application may send
 * as much at once as it likes; what piles up beyond that is due to the peer. */
bool conn_blocked(struct conn *c);
size_t conn_piled(struct conn *c);

/* Whether the peer has yet to take output, as the loop has heard of it: like conn_blocked, but without the lock. A note
 * of the running thread about more output may still be on its way. */
bool conn_is_unsent(struct conn *c);

/* The peer has had its time to take output (conn.out_at). Closes the connection, unless the peer did take some or is
 * `excused`: then its time starts again. */
void conn_output_late(struct conn *c, bool excused);

/* Sends the pieces, which belong together, from the thread that runs `r`. Waits while too much output is waiting for
 * the peer; meanwhile it runs the loop or gives the baton away (if no thread can be started for the loop, it does not
 * wait). Threads that wait for the same peer take turns, one call each, so that the answers on a multiplexed connection
 * advance side by side. Returns 0, or -1 with errno EPIPE when the peer is gone or there is no memory for what it does
 * not take. The GIL must not be held.
 *
 * If the answer is closed (request_close_answer), the wait ends with EPIPE, and nothing is sent or kept. Otherwise some of
 * it counts as sent (request_begin_answer): if the loop closes it, what it sends then comes behind these pieces. */
int conn_transmit(struct conn *c, struct request *r, const struct iovec *pieces, unsigned count);

/* The same for what is no part of the answer and comes before it ("100 Continue"). */
int conn_transmit_interim(struct conn *c, struct request *r, const struct iovec *pieces, unsigned count);

/* Leaves bytes of the answer, behind which nothing but its end follows, to be sent with that end: the peer is woken once
 * then, instead of twice. Only while the thread of `r` has the loop, which gets to them when the call ends or loses the
 * loop (conn_send_left), and when few bytes wait, and no other thread sends. Returns whether they were left; if not, nothing
 * has changed. Does not wait; the GIL may be held. */
bool conn_leave(struct conn *c, struct request *r, const void *data, size_t len);

/* The thread of `r` is about to run the loop: what was left is sent then. Any thread that holds a request of the
 * connection. */
void conn_note_left(struct conn *c);

/* The same as conn_transmit for `head` (NULL: none) and `len` bytes of a regular file. sendfile(2) sends as much as the peer takes at
 * once. The rest is read and kept like any output, so that the connection ends and times out in the same way. The file
 * should be in memory, because the connection is locked while it is read. `fd` is open for reading; its position is
 * neither used nor moved.
 *
 * Returns how many bytes the file had, or -1 with errno EPIPE. The count is below `len` when the file has ended or
 * cannot be read; with a `head`, zeros then replace the missing bytes so that the record is whole. The caller must make
 * sure that no peer takes such an answer for a good one. No SIGPIPE is raised, whatever the application has set for
 * that signal. */
ssize_t conn_transmit_file(struct conn *c, struct request *r, const struct iovec *head, int fd, off_t offset,
                           size_t len);

/* Makes every thread that waits for room check whether its answer is still wanted. Any thread that holds a request of
 * the connection; the GIL must not be held. */
void conn_wake(struct conn *c);

#endif
