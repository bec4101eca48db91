/* A request on its connection, and its answer: what FastCGI and HTTP/1.1 have in common. What differs is in
 * net/fcgi/request.c and net/http/request.c, under the same names and in the same order.
 *
 * Life of a request:
 *     exchange_begin           BEGIN_REQUEST has come; over HTTP, all of its header, or what is refused as one
 *     exchange_identify        its parameters have come: what do they say of its label and its trace?
 *     exchange_take_body       bytes of its body came, before or after it is submitted
 *     exchange_check_client    is anybody still there for its answer?
 *     exchange_submit          it waits for a thread, and then runs...
 *     exchange_refuse          ...or is answered without the application
 *     exchange_note_drop       ...or is not answered at all
 *     exchange_stand_in        ...or another one is answered in its place, as the time of its call is over
 *     exchange_end             where all of them end
 *     exchange_end_late        where the call ends of one that another one stood in for
 *
 * Threads: owner only, except where the running thread is named.
 */
#ifndef WSGI_FCGI_NET_EXCHANGE_H
#define WSGI_FCGI_NET_EXCHANGE_H

#include "net/abandon.h"
#include "net/access_log.h"
#include "net/conn.h"
#include "net/refusal.h"
#include "net/status_page.h"
#include "request/request.h"

#include <sys/uio.h>

struct exchange {
    struct request r;
    struct conn *conn;    /* with a reference, from begin to end */
    unsigned id;          /* in records and log lines */
    enum refusal refusal; /* why it is not given to the application; or, if it runs, why its body takes no more */
    uint64_t dropped;     /* bytes of its body that came after it was answered */
    bool body_held; /* no file takes what comes of its body: the connection is paused until the application reads */
    uint64_t body_taken;         /* bytes that the application had read when last looked */
    bool handed_over;            /* the connection took all of the answer: a peer that leaves now has not aborted it */
    unsigned told_at;            /* where its call is told of, which runs without the loop (net/calls.h); 0: nowhere */
    bool late;                   /* another one stands in for it: it is off its connection, and ends with its call */
    bool status;                 /* it is for the status page (net/status_path.h)... */
    struct status_waiter waiter; /* ...for which it waits */
    bool detached;               /* net/deadline.c: its call runs without the loop... */
    bool timed;                  /* ...and stands in the list of those that are timed */
    bool lost;                   /* the scheduler was told that nobody waits for its call */
    uint64_t due;                /* while it is timed: by when (clock_ns) it is to be looked at; UINT64_MAX: never */
    int called_on;               /* with --access-log: the thread of its call, gettid(2); 0: none */
    uint64_t processor_time;     /* for struct lane_config.look */
    uint64_t processor_from;     /* sched_thread_time when the call had lost the loop; 0: it has not */
    bool slow_timed;             /* net/slow.c: it stands in the list of requests that may take long... */
    bool slow_told;              /* a line was due about it */
    uint64_t slow_due;           /* ...until then (clock_ns) the log says nothing of it, */
    uint64_t slow_after;         /* and so long (nanoseconds) after the next line */
    TAILQ_ENTRY(exchange) slow_link;
    TAILQ_ENTRY(exchange) deadline_link; /* `timed`, or `late` */
};

static inline struct exchange *exchange_of(struct request *r) {
    return (struct exchange *)(void *)((char *)r - offsetof(struct exchange, r));
}

static inline struct exchange *exchange_of_job(struct sched_job *job) {
    return (struct exchange *)(void *)((char *)job - offsetof(struct exchange, r.job));
}

/* Call these once for each piece of memory: the one before the first exchange_begin, the other before it is freed.
 * `jobs`: with exchange_run. */
void exchange_init(struct exchange *x, const struct answer_ops *answers, const struct sched_job_ops *jobs);
void exchange_fini(struct exchange *x);

/* A request begins on the connection. */
void exchange_begin(struct exchange *x, struct conn *c, unsigned id);

/* Its r.vars are set; all zeros where the parameters were not to be read. */
void exchange_identify(struct exchange *x);

/* Ends a request, however that came about (r.end tells). Every request ends here, so whatever counts, logs or times
 * requests belongs here. The front end has already taken the request off its connection, which may be gone
 * afterwards. */
void exchange_end(struct exchange *x);

/* The time of the call of `x` is over. Takes its place for the peer: `instead`, which is as exchange_end leaves one, has
 * the rest of its life on the connection. The answer of `x` is closed, what waits for the peer is woken, and nothing more
 * of its body comes. The front end takes `x` off the connection, puts `instead` there, and answers that by
 * exchange_answer_overdue, or cuts it off. Returns the state of the answer before. */
enum answer_state exchange_stand_in(struct exchange *x, struct exchange *instead);

/* Stores the answer 504. Closes the connection if there is no memory. */
void exchange_answer_overdue(struct exchange *instead);

/* The call of `x` has ended, for which another one stood in. Its connection may be gone afterwards. */
void exchange_end_late(struct exchange *x);

/* Calls the application. Running thread. */
void exchange_run(struct sched_job *job, struct sched_thread *thread);

/* `detached` and `rejoined` of struct sched_job_ops. */
void exchange_detached(struct sched_job *job);
void exchange_rejoined(struct sched_job *job);

/* Whether the request is to be dropped because nobody waits for it. If that is only likely, the application is told.
 * Call it before exchange_submit. */
bool exchange_check_client(struct exchange *x);

/* Submits the request to the scheduler. `group`: requests whose answers leave together (struct sched_job). Returns
 * false if too many wait: it is to be turned away, as when the scheduler takes it off the queue (sched_job_ops). */
bool exchange_submit(struct exchange *x, const void *group);

/* Takes the request off the queue if it still waits for a thread. Returns whether it did. */
bool exchange_cancel(struct exchange *x);

/* Stores an answer of the server's own and logs it. Closes the connection if there is no memory. */
void exchange_refuse(struct exchange *x, enum refusal why);

/* The same with a status and text of its own, for a peer that violates the protocol. */
void exchange_refuse_as(struct exchange *x, const char *status, const char *why);

/* Notes that the request ends without an answer: in its `end`, and in the log. The caller ends it. */
void exchange_note_drop(struct exchange *x, enum drop why);

/* Takes bytes of the body, and pauses the connection if they are held. `called`: the request was submitted. Returns the
 * status of the body; after an error the body has ended. */
enum body_status exchange_take_body(struct exchange *x, bool called, const void *data, size_t len);

/* The refusal for a body that can take no more, after BODY_TOO_LARGE or BODY_FAILED. */
enum refusal exchange_body_refusal(enum body_status status);

/* Logs that a running application reads an error where its body should continue. */
void exchange_log_body(struct exchange *x, enum refusal why);

/* Frees what is stored of the body; readers get `error`. */
void exchange_abort_body(struct exchange *x, int error);

/* Nobody takes the answer any more, and nothing more of the body comes. The application learns of it, if it runs or is
 * going to. It can still read the bytes of the body that came; if they are not all of it, an error follows. */
void exchange_gone(struct exchange *x);

/* Whether a body was held and its reader has now made room for more. */
bool exchange_has_room(struct exchange *x);

/* Whether a body is held and its reader has taken nothing since this or exchange_has_room was last asked. */
bool exchange_stands_still(struct exchange *x);

/* Nobody reads a body that is held: frees it; a later reader gets the error of the file. */
void exchange_give_up_body(struct exchange *x);

/* Sends the rest of the answer, which is stored or was left, on the loop. */
static inline void exchange_flush(struct exchange *x) {
    bool stored = buf_len(&x->r.out) > 0;
    if (stored)
        conn_output(x->conn, buf_head(&x->r.out), buf_len(&x->r.out));
    else
        stored = conn_send_left(x->conn);
    if (!x->conn->lost || !(stored || atomic_load_explicit(&x->r.unsent, memory_order_relaxed)))
        x->handed_over = true;
}

/* Running thread, without the GIL: */

/* Sends pieces of the answer. Returns 0, or -1 with errno as conn_transmit does. */
int exchange_transmit(struct exchange *x, const struct iovec *pieces, unsigned count);

/* Sends a block of a file after `head` (NULL: none), as answer_ops.send_file does. */
ssize_t exchange_transmit_file(struct exchange *x, const struct iovec *head, int fd, off_t offset);

/* Sends what is stored of the answer. */
int exchange_transmit_stored(struct exchange *x);

/* Leaves what is stored, as answer_ops.leave does. */
bool exchange_leave_stored(struct exchange *x);

/* answer_ops.given_up */
void exchange_given_up(struct request *r);

#endif
