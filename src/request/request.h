/* The neutral request: the one meeting point of the event side (net/) and the application side (python/).
 *
 * A front end (FastCGI, HTTP/1.1) fills it, submits it to the scheduler, and turns what the application answers into
 * its own wire format through a table of functions; nothing above knows which one it is.
 *
 * Who may touch it: the owner of the loop until the request is submitted and again from `settle` on; in between the
 * thread that runs it, except for `body`, `answer` and `left`, which both sides may use at any time.
 *
 * The answer, on the running thread:
 *     status, head                filled once: the status line and the header lines
 *     answer_ops->put or ->send   any number of times: put only stores, send transmits everything stored so far
 *     answer_ops->send_file       behind a send: a block of a file, without storing it
 *     return                      the front end ends the answer when it settles the job
 */
#ifndef WSGI_FCGI_REQUEST_REQUEST_H
#define WSGI_FCGI_REQUEST_REQUEST_H

#include "base/buf.h"
#include "proto/cgi.h"
#include "request/body.h"
#include "sched/sched.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct request;

/* What is asked of the application, where the protocol tells (FastCGI 1.0, 6). */
enum request_role {
    REQUEST_NO_ROLE, /* it does not: for an answer */
    REQUEST_RESPONDER,
    REQUEST_AUTHORIZER /* whether another request is let through */
};

/* What an answer asks of the protocol that it is sent in. */
struct answer_ops {
    /* Stores the head, when it was not stored yet, and `len` bytes of the body in its wire format behind r->out.
     * Returns 0, or -1 with errno ENOMEM. Running thread. */
    int (*put)(struct request *r, const char *data, size_t len);
    /* Like put, and transmits all that is stored, waiting (without the GIL) while the peer does not take it. `data` need
     * not outlive the call. Returns 0, or -1 with errno EPIPE when the peer is gone, or ENOMEM. Running thread. */
    int (*send)(struct request *r, const char *data, size_t len);
    /* Sends REQUEST_FILE_BLOCK bytes of a regular file, waiting as send does, behind a part of the body that was sent, and
     * of a body whose length the head announced. The file's own position is neither used nor moved; the part should be in
     * memory. Returns how many bytes the file had, or -1 with errno EPIPE. When it had fewer, zeros may stand in for
     * the others, and the answer must end short of the length that was announced. Running thread, without the GIL. */
    ssize_t (*send_file)(struct request *r, int fd, off_t offset);
    /* Passes text for the log of the web server on. Returns 0, or -1 as send does, or with errno ENOTSUP when the
     * protocol has no way to do so. Running thread, without the GIL. */
    int (*error)(struct request *r, const char *text, size_t len);
    /* The answer was closed: threads that wait in send, send_file or error end with EPIPE. Running thread, without the GIL. */
    void (*given_up)(struct request *r);
    /* The application waits for the body, of which nothing is there. NULL: that is of no interest. Running thread or one
     * that the application started, without the GIL. */
    void (*body_wanted)(struct request *r);
};

/* How a request has ended. */
enum request_end {
    REQUEST_ANSWERED, /* by the application, or not yet */
    REQUEST_REFUSED,  /* answered by the server itself */
    REQUEST_DROPPED,  /* neither called nor answered: nobody waited for it */
    REQUEST_CUT,      /* the answer is not whole, and the peer sees that */
    REQUEST_ABORTED   /* by its peer */
};

/* Whose the answer is. It is the application's until it is closed: by the loop, when the peer is gone or has aborted the
 * request; by a thread that finds that nothing can be sent; and by the call's end, for threads that it has left behind.
 *
 * UNSENT and SENT are for who may close it while the peer still waits, which nobody does as yet: a loop that answers for a
 * call that is stuck. Of an answer that it finds UNSENT the peer has seen nothing, so that it may send one of its own (504),
 * made in memory of its own: `head`, `status` and `out` stay the running thread's until the call returns, and `settle` then
 * drops what they hold. One that it finds SENT it can only cut off. Whether some was sent and whether the loop may answer
 * is decided by the one exchange of this word, so that both cannot be. What is only stored (answer_ops->put) leaves it
 * alone: the loop sends that itself when it settles the job, which is why a short answer costs no locked instruction. */
enum answer_state {
    ANSWER_UNSENT, /* the application's; nothing of it has left */
    ANSWER_SENT,   /* the application's; some has left, or is about to */
    ANSWER_CLOSED  /* nobody waits for it: what is still stored or sent goes nowhere, and sending ends with EPIPE */
};

struct request {
    struct sched_job job;
    const struct answer_ops *answer_ops;
    struct sched_thread *thread; /* that runs it */

    struct buf params;    /* the name-value pairs, as proto/params.h reads them */
    struct cgi_vars vars; /* slices point into `params` */
    struct body body;
    enum request_role role;

    /* Its times are nanoseconds of clock_ns, by looks at the clock that are had anyway. When it began to wait for a thread,
     * and when its call began, is in `job` (queued_at, begun_at; 0: it did not). Its bytes are body.received and `sent`. */
    uint64_t begun_at;    /* when something of it came first */
    enum request_end end; /* of use at its end only */

    struct buf head;          /* header lines "Name: value\r\n", in the order of the application */
    char status[128];         /* "200 OK"; empty until the application sets it */
    bool located;             /* there is a Location among them */
    struct buf out;           /* answer in wire format that was not transmitted yet */
    pthread_mutex_t out_lock; /* held around send, send_file and error of the front end, which threads of the
                                 application may call at the same time; never while waiting for the GIL, and
                                 never by the loop, which a thread may run that holds it */
    uint64_t sent;            /* bytes of the body that were stored or sent, without what the wire format adds */
    bool head_stored;         /* the head is in `out`, or was sent */
    bool broken_off;          /* the answer is not whole: the front end must let the peer see that */
    atomic_bool unsent;       /* some of it could not be sent */
    _Atomic(enum answer_state) answer;
    atomic_bool left; /* the peer may be gone, or wait for the answer: it has ended its side, over TCP */
};

enum {
    REQUEST_KEEP_BYTES = 16384, /* memory that a pooled request keeps in each of its buffers (the body: see there) */
    REQUEST_STATUS_MAX = 127,   /* bytes of a status line that are taken */
    REQUEST_FILE_BLOCK = 61440, /* bytes of a file that are sent at a time: 16 pages at most wherever they begin, which
                                   sendfile(2) moves in one go */
    REQUEST_BODY_START = 65536  /* so much of a body of known length must be there, or all of it, before a request is
                                   started; a longer one is read by the application while it comes */
};

/* Prepares a zeroed or recycled request. */
void request_init(struct request *r);

/* Makes it ready for the next one. `spares`: where the memory of a long body may go, or NULL. Owner only. */
void request_reset(struct request *r, struct body_spares *spares);
void request_fini(struct request *r);

/* Whether enough of the body is there for the application to be called. Most frameworks read nothing when there is no
 * CONTENT_LENGTH (Django, for one), so that a body of unknown length is taken whole first. `stream`: the application wants
 * to be called before (--stream-body). Owner only. */
static inline bool request_has_enough(const struct request *r, bool stream) {
    const struct body *b = &r->body;
    return b->complete || stream || (b->expected >= 0 && b->received >= REQUEST_BODY_START);
}

/* The application is about to be called: a length that was not announced is known now, unless `stream`. A request without
 * a body has none, as without a CONTENT_LENGTH (RFC 3875, 4.1.2). Owner only. */
static inline void request_tell_length(struct request *r, bool stream) {
    if (r->vars.content_length < 0 && r->body.received && !stream)
        r->vars.content_length = (int64_t)r->body.received;
}

/* Stores a whole short answer of the server's own ("503 Service Unavailable" and the like) in the front end's wire
 * format. `extra` is NULL or further header lines, each with its "\r\n". Returns 0, or -1 with errno ENOMEM. */
int request_answer(struct request *r, const char *status, const char *extra, const char *text);

/* Whether the answer is closed: errno is EPIPE then. Any thread. */
static inline bool request_is_gone(const struct request *r) {
    if (atomic_load_explicit(&r->answer, memory_order_relaxed) != ANSWER_CLOSED)
        return false;
    errno = EPIPE;
    return true;
}

/* Some of the answer is about to be sent, unless it is closed. Running thread. */
static inline void request_begin_answer(struct request *r) {
    enum answer_state unsent = ANSWER_UNSENT;
    if (atomic_load_explicit(&r->answer, memory_order_relaxed) == ANSWER_UNSENT)
        (void)atomic_compare_exchange_strong(&r->answer, &unsent, ANSWER_SENT);
}

/* Takes the answer from the application. Returns how it stood with it. Who does so wakes threads that wait to send it
 * (conn_wake), unless nothing can be sent anyway. Any thread. */
static inline enum answer_state request_close_answer(struct request *r) {
    return atomic_exchange(&r->answer, ANSWER_CLOSED);
}

/* answer_ops->put. */
static inline int request_put(struct request *r, const char *data, size_t len) {
    r->sent += len;
    return r->answer_ops->put(r, data, len);
}

/* answer_ops->send, ->send_file and ->error under out_lock; the first two only while somebody waits for the answer. */
int request_send(struct request *r, const char *data, size_t len);
ssize_t request_send_file(struct request *r, int fd, off_t offset);
int request_error(struct request *r, const char *text, size_t len);

/* The call has ended: threads of the application that send or read still end with EPIPE or ECONNRESET, soon. Running
 * thread, without the GIL. */
void request_give_up(struct request *r);

/* Copies up to `len` bytes of the body to `out`, waiting for at least one. Returns how many, 0 at the end, or -1 with
 * errno: ECONNABORTED the peer sent fewer bytes than announced, ECONNRESET it is gone, EFBIG too large, EAGAIN no
 * thread could be started for the loop meanwhile, or what the temporary file said. Running thread (or one that the
 * application started), without the GIL. */
ssize_t request_read(struct request *r, void *out, size_t len);

/* A line such as "GET /path" for the log, escaped. Returns `out`. Async-signal-safe. */
char *request_text(const struct request *r, char *out, size_t size);

#endif
