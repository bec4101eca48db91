/* The neutral request: where the event side (net/) and the application side (python/) meet.
 *
 * A front end (FastCGI, HTTP/1.1) fills it, submits it to the scheduler, and converts what the application answers to
 * its own wire format, through a table of functions. Nothing above knows which front end it is.
 *
 * Who may use it: the owner of the loop until its job begins, and again from `settle` on; in between, the thread that
 * runs it. Both sides may use `body`, `answer` and `left` at any time.
 *
 * The answer, on the running thread:
 *     status, head                set once: the status line and the header lines
 *     answer_ops->put or ->send   any number of times: put only stores, send transmits everything stored so far
 *     answer_ops->send_file       after a send: transmits a block of a file, without storing it
 *     return                      the front end ends the answer when it settles the job
 */
#ifndef WSGI_FCGI_REQUEST_REQUEST_H
#define WSGI_FCGI_REQUEST_REQUEST_H

#include "base/ascii.h"
#include "base/buf.h"
#include "base/clock.h"
#include "proto/cgi.h"
#include "proto/request_id.h"
#include "proto/trace_context.h"
#include "request/body.h"
#include "sched/sched.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

struct request;

/* What the application is asked to do, if the protocol tells (FastCGI 1.0, 6). */
enum request_role {
    REQUEST_NO_ROLE, /* the protocol does not tell: answer the request */
    REQUEST_RESPONDER,
    REQUEST_AUTHORIZER /* decide whether another request is let through */
};

/* What an answer asks of its protocol. */
struct answer_ops {
    /* Stores the head, if it was not stored yet, and `len` bytes of the body in wire format at the end of r->out.
     * Returns 0, or -1 with errno ENOMEM. Running thread, or the owner for an answer of the server's own. */
    int (*put)(struct request *r, const char *data, size_t len);
    /* Like put, then transmits everything stored, waiting (without the GIL) while the peer does not take it. `data`
     * need not outlive the call. Returns 0, or -1 with errno EPIPE if the peer is gone, or ENOMEM. Running thread. */
    int (*send)(struct request *r, const char *data, size_t len);
    /* Leaves what is stored, behind which nothing but the end of the answer follows, to be sent with that end, or before
     * it as soon as the call takes long. Returns false when it is to be sent at once, by `send`. NULL: it always is, as an
     * answer of this protocol ends with its last byte. Running thread, or one that the application started; without
     * waiting, the GIL may be held. */
    bool (*leave)(struct request *r);
    /* Sends REQUEST_FILE_BLOCK bytes of a regular file, waiting as send does. Part of the body must have been sent
     * before, and the head must have announced the length of the body. The file's own position is neither used nor
     * moved; the block should be in memory. Returns how many bytes the file had, or -1 with errno EPIPE. If it had
     * fewer, zeros may replace the others, and the answer must end short of the announced length. Running thread,
     * without the GIL. */
    ssize_t (*send_file)(struct request *r, int fd, off_t offset);
    /* Sends text to the log of the web server. Returns 0, or -1 as send does, or with errno ENOTSUP if the protocol has
     * no way to do so. Running thread, without the GIL. */
    int (*error)(struct request *r, const char *text, size_t len);
    /* The answer was closed: makes threads that wait in send, send_file or error end with EPIPE. Running thread,
     * without the GIL. */
    void (*given_up)(struct request *r);
    /* The call has set `deadline` anew. Running thread, or one that the application started; without waiting. */
    void (*deadline_set)(struct request *r);
    /* The application waits for the body, and nothing of it is there. NULL: the protocol need not know. Running thread
     * or one that the application started, without the GIL. */
    void (*body_wanted)(struct request *r);
};

/* How a request has ended. */
enum request_end {
    REQUEST_ANSWERED, /* by the application; or it has not ended yet */
    REQUEST_OVERDUE,  /* its call did not end in time: the loop has answered, or cut the answer off (net/deadline.h) */
    REQUEST_REFUSED,  /* answered by the server itself */
    REQUEST_DROPPED,  /* neither given to the application nor answered: nobody waited for it */
    REQUEST_CUT,      /* the answer is incomplete, and the peer sees that */
    REQUEST_ABORTED   /* by its peer */
};

/* Who owns the answer. It is the application's until it is closed: by the loop, if the peer is gone or has aborted the
 * request; by a thread that finds that nothing can be sent; and by the end of the call, for threads that the call has
 * left behind.
 *
 * The loop also closes it while the peer still waits, when the time of the call is over (net/deadline.h). If nothing of it
 * was SENT, the peer has seen nothing, so the loop sends an answer of its own (504). That is made in other memory: `head`,
 * `status` and `out` belong to the running thread until the call returns, and what they hold is then dropped. If some was
 * SENT, the loop can only cut the answer off. One exchange of this word decides both whether some was sent and whether the
 * loop may answer, so they cannot both happen. Storing alone (answer_ops->put) does not change the state: the loop itself
 * sends what is stored when it settles the job. That is why a short answer costs no locked instruction. */
enum answer_state {
    ANSWER_UNSENT, /* the application's; nothing of it was sent */
    ANSWER_SENT,   /* the application's; some of it was sent, or is now, with the connection locked */
    ANSWER_CLOSED, /* nobody waits for it: what is stored is not sent, and sending ends with EPIPE. Nothing was sent... */
    ANSWER_SENT_CLOSED /* ...or some was: the two bits together */
};

/* What a call waits for its client for. */
enum request_wait { REQUEST_WAITS_NOT, REQUEST_READS, REQUEST_SENDS };

struct request {
    struct sched_job job;
    const struct answer_ops *answer_ops;
    struct sched_thread *thread; /* the thread that runs it */

    struct buf params;    /* the name-value pairs, as proto/params.h reads them */
    struct cgi_vars vars; /* slices point into `params` */
    struct body body;
    enum request_role role;

    /* Its label, in log lines as "[ID]" and for the application as HTTP_X_REQUEST_ID; set when it begins, and again
     * when its parameters have come. Empty with --request-id off. Points into `params`, or to `made_id`. */
    struct slice id;
    char made_id[REQUEST_ID_MADE];
    bool echoes_id; /* the answer has it as well */

    /* The trace that it belongs to: as its client told it, or as the server has made it for its own span
     * (net/traces.h), which is the parent then. Valid only if `traced`. */
    bool traced;
    struct trace_context trace;
    bool recorded;   /* a span is told at its end; what `trace` has is that of this span then... */
    bool has_parent; /* ...and the caller's is here */
    uint8_t parent[TRACE_SPAN_SIZE];

    /* Times are nanoseconds of clock_ns, without extra looks at the clock. `job` has when the request began to wait for
     * a thread, and when its call began (queued_at, begun_at; 0: it did not). The bytes of the request are
     * body.received and `sent`. */
    uint64_t begun_at;    /* when its first bytes came */
    uint64_t answered_at; /* when the running thread began to send; 0: it has not, and the loop sends at the end */
    enum request_end end; /* valid only at its end */

    struct buf head;          /* header lines "Name: value\r\n", in the application's order */
    char status[128];         /* "200 OK"; empty until the application sets it */
    bool located;             /* one of them is a Location */
    struct buf out;           /* answer in wire format, not yet transmitted */
    pthread_mutex_t out_lock; /* held around send, send_file, error and leave of the front end, which threads of
                                 the application may call at the same time; never while waiting for the GIL, and never
                                 taken by the loop, because a thread that holds it may run the loop */
    uint64_t sent;            /* bytes of the body stored or sent, without what the wire format adds */
    bool head_stored;         /* the head is in `out`, or was sent */
    bool broken_off;          /* the answer is incomplete: the front end must let the peer see that */
    atomic_bool unsent;       /* some of it could not be sent */
    atomic_uint answer;       /* enum answer_state */
    /* What was sent of it, once ANSWER_SENT: of the status and of `sent`, which the running thread may change. For the owner,
     * if the time of the call is over. */
    atomic_uint status_sent; /* 0: no head was */
    _Atomic uint64_t body_sent;
    atomic_bool left; /* the peer has ended its side over TCP: it may be gone, or wait for the answer */

    /* When the time of the call is over (clock_ns): set before it runs, and by the call itself, which then tells so by
     * answer_ops->deadline_set. 0: never. REQUEST_NOT_BEGUN: the call does not run yet. */
    _Atomic uint64_t deadline;
    atomic_uint waits;   /* enum request_wait, for others who want to know; by whoever reads or sends for the call */
    atomic_bool overdue; /* it was over before the call ended: nobody waits for that any more. Set by the owner */
};

#define REQUEST_NOT_BEGUN UINT64_MAX

enum {
    REQUEST_TEXT_SIZE = 700,    /* has room for request_text, whatever the peer has sent: longer targets are cut */
    REQUEST_KEEP_BYTES = 16384, /* memory that a pooled request keeps in each buffer (body: BODY_KEEP_BYTES) */
    REQUEST_STATUS_MAX = 127,   /* bytes of a status line that are taken */
    REQUEST_LEAVE_MAX = 8192,   /* a longer end of an answer is not worth copying */
    REQUEST_FILE_BLOCK = 61440, /* bytes of a file that are sent at a time: 16 pages at most wherever they begin, which
                                   sendfile(2) moves in one go */
    REQUEST_BODY_START = 65536  /* so much of a body of known length must be there, or all of it, before a request is
                                   started; a longer one is read by the application while it comes */
};

/* Prepares new memory, whatever it holds, for its first request. Call request_fini before it is freed. */
void request_init(struct request *r);

/* Makes `to`, which is as request_reset leaves one, stand in for a request that runs: log lines tell it like that one, it
 * has no body, and an answer of the server's own can be stored in it. What does not fit into memory is left out of log
 * lines. Owner only. */
void request_stand_in(struct request *to, const struct request *from);

/* Tells of `to` what was SENT of the answer of `from` when that was closed: its peer has seen it. Owner only. */
void request_take_sent(struct request *to, const struct request *from);

/* Prepares a request for reuse. `spares`: where the memory of a long body may go, or NULL. Owner only. */
void request_reset(struct request *r, struct body_spares *spares);
void request_fini(struct request *r);

/* Whether enough of the body is there to call the application. A body of unknown length must be complete first, because
 * most frameworks read nothing without a CONTENT_LENGTH (Django, for one). `stream`: the application wants to be called
 * earlier (--stream-body). Owner only. */
static inline bool request_has_enough(const struct request *r, bool stream) {
    const struct body *b = &r->body;
    return b->complete || stream || (b->expected >= 0 && b->received >= REQUEST_BODY_START);
}

/* Sets the length of a body for which none was announced: it is known now, unless `stream`. A request without a body
 * has none, as if without a CONTENT_LENGTH (RFC 3875, 4.1.2). Call it before the application. Owner only. */
static inline void request_tell_length(struct request *r, bool stream) {
    if (r->vars.content_length < 0 && r->body.received && !stream)
        r->vars.content_length = (int64_t)r->body.received;
}

/* Stores a complete short answer of the server's own ("503 Service Unavailable" and the like) in the front end's wire
 * format. `extra` is NULL or further header lines, each with its "\r\n". Returns 0, or -1 with errno ENOMEM. Owner; or
 * running thread, when the application has failed. */
int request_answer(struct request *r, const char *status, const char *extra, const char *text);

/* Whether the answer is closed; if so, sets errno to EPIPE. Any thread. */
static inline bool request_is_gone(const struct request *r) {
    if (atomic_load_explicit(&r->answer, memory_order_relaxed) < ANSWER_CLOSED)
        return false;
    errno = EPIPE;
    return true;
}

/* Whether somebody still waits for the answer, and has not ended its side of the connection. Any thread. */
static inline bool request_is_connected(const struct request *r) {
    return atomic_load_explicit(&r->answer, memory_order_relaxed) < ANSWER_CLOSED &&
           !atomic_load_explicit(&r->left, memory_order_relaxed);
}

/* The number at the beginning of its status, of at most three digits; 0: there is none. Owner, at its end; or the running thread. */
static inline unsigned request_status(const struct request *r) {
    unsigned status = 0;
    for (int i = 0; i < 3 && ascii_is_digit(r->status[i]); i++)
        status = status * 10 + (unsigned)(r->status[i] - '0');
    return status;
}

/* Notes that some of the answer is sent next, unless it is closed. Returns whether it may be sent; if not, sets errno to
 * EPIPE. Running thread, where nothing of the loop's can be sent in between (conn_transmit). */
static inline bool request_begin_answer(struct request *r) {
    unsigned unsent = ANSWER_UNSENT;
    if (r->head_stored)
        atomic_store_explicit(&r->status_sent, request_status(r), memory_order_relaxed);
    atomic_store_explicit(&r->body_sent, r->sent, memory_order_relaxed);
    if (atomic_load_explicit(&r->answer, memory_order_relaxed) != ANSWER_UNSENT)
        return !request_is_gone(r);
    r->answered_at = clock_ns(); /* before the loop can see that some was sent */
    if (atomic_compare_exchange_strong(&r->answer, &unsent, ANSWER_SENT))
        return true;
    r->answered_at = 0;
    return !request_is_gone(r);
}

/* Closes the answer. Returns its state before. The caller wakes threads that wait to send it (conn_wake), unless
 * nothing can be sent anyway. Any thread. */
static inline enum answer_state request_close_answer(struct request *r) {
    return (enum answer_state)atomic_fetch_or(&r->answer, ANSWER_CLOSED);
}

/* Whether some of it was sent, in a state that request_close_answer has returned. */
static inline bool request_was_sent(enum answer_state before) {
    return before & ANSWER_SENT;
}

/* What the client has asked for, as it was sent; else the path as the application gets it. Owner. */
static inline struct slice request_target(const struct request *r) {
    return r->vars.request_uri.n ? r->vars.request_uri : r->vars.path_info[0];
}

/* The same without the query. */
static inline struct slice request_target_path(const struct request *r) {
    struct slice path = request_target(r);
    const char *query = path.n ? memchr(path.p, '?', path.n) : NULL;
    return query ? (struct slice){path.p, (size_t)(query - path.p)} : path;
}

/* answer_ops->put. */
static inline int request_put(struct request *r, const char *data, size_t len) {
    r->sent += len;
    return r->answer_ops->put(r, data, len);
}

/* answer_ops->send, ->send_file and ->error, under out_lock; the first two only while somebody waits for the answer. */
int request_send(struct request *r, const char *data, size_t len);
ssize_t request_send_file(struct request *r, int fd, off_t offset);

/* Stores the last bytes of an answer, if they are no more than REQUEST_LEAVE_MAX, and leaves them to be sent with its end:
 * answer_ops->leave. Returns true when nothing remains to be done; else request_send is to send what remains, of which
 * *len tells: 0 if the bytes are stored, as they are to be sent all the same. As answer_ops->leave. */
bool request_leave(struct request *r, const char *data, size_t *len);
int request_error(struct request *r, const char *text, size_t len);

/* The call has ended: threads of the application that still send or read soon end with EPIPE or ECONNRESET. Running
 * thread, without the GIL. */
void request_give_up(struct request *r);

/* Copies up to `len` bytes of the body to `out`, waiting for at least one. Returns how many, 0 at the end, or -1 with
 * errno: ECONNABORTED the peer sent fewer bytes than announced, ECONNRESET it is gone, EFBIG too large, EAGAIN no
 * thread could be started to run the loop meanwhile, or an error of the temporary file. Running thread (or one that the
 * application started), without the GIL. */
ssize_t request_read(struct request *r, void *out, size_t len);

/* Gives the request its label, of struct cgi_vars if there is a good one. Call it when these are set. Owner only. */
void request_take_id(struct request *r);

/* Reads the trace of the request, of struct cgi_vars. Owner only. */
void request_take_trace(struct request *r);

/* Writes a text such as "GET /path [ID]" for the log, escaped; what has no room is left out, the label as a whole.
 * Returns `out`. Async-signal-safe. */
char *request_text(const struct request *r, char *out, size_t size);

#endif
