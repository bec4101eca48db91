/* A request on its connection, and its answer: what both front ends do alike about one. What differs is in their own
 * request.c, under the same names and in the same order.
 *
 * Its life:
 *     exchange_begin           something of it has come
 *     exchange_take_body       bytes of its body came, before or after it is submitted
 *     exchange_check_client    is anybody still there for its answer?
 *     exchange_submit          it waits for a thread, and then runs...
 *     exchange_refuse          ...or is answered without the application
 *     exchange_log_drop        ...or is not answered at all
 *     exchange_end             the one end of all of them
 *
 * Threads: owner only, but for what is said to be the running thread's.
 */
#ifndef WSGI_FCGI_NET_EXCHANGE_H
#define WSGI_FCGI_NET_EXCHANGE_H

#include "net/abandon.h"
#include "net/conn.h"
#include "net/refusal.h"
#include "request/request.h"

#include <sys/uio.h>

struct exchange {
    struct request r;
    struct conn *conn;    /* with a reference, from begin to end */
    unsigned id;          /* in records, and in lines of the log */
    enum refusal refusal; /* decided before it starts */
    uint64_t dropped;     /* bytes of its body that came when it was answered already */
    bool body_held; /* no file takes what comes of its body: the connection is paused until the application reads */
    uint64_t body_taken; /* bytes that it had read at the last look at that */
    bool handed_over;    /* the connection has taken all of the answer: a peer that leaves then has not aborted it */
};

static inline struct exchange *exchange_of(struct request *r) {
    return (struct exchange *)(void *)((char *)r - offsetof(struct exchange, r));
}

static inline struct exchange *exchange_of_job(struct sched_job *job) {
    return (struct exchange *)(void *)((char *)job - offsetof(struct exchange, r.job));
}

/* Once per memory, before exchange_begin / before it is freed. `jobs`: with exchange_run. */
void exchange_init(struct exchange *x, const struct answer_ops *answers, const struct sched_job_ops *jobs);
void exchange_fini(struct exchange *x);

/* Something of the request has come on the connection. */
void exchange_begin(struct exchange *x, struct conn *c, unsigned id);

/* The one end of every request, however it came (r.end says that): what counts, logs or times requests does it here. The
 * front end has taken it off its connection; the connection may be gone afterwards. */
void exchange_end(struct exchange *x);

/* Calls the application. Running thread. */
void exchange_run(struct sched_job *job, struct sched_thread *thread);

/* Before exchange_submit. Whether the request is to be dropped, because nobody waits for it; when that is only likely, the
 * application is told. */
bool exchange_check_client(struct exchange *x);

/* Gives it to the scheduler. `group`: whose answers leave together (struct sched_job). Returns false when too many wait. */
bool exchange_submit(struct exchange *x, const void *group);

/* Takes it off the queue, if it still waits there for a thread. */
bool exchange_cancel(struct exchange *x);

/* Stores an answer of the server's own, with a line in the log; closes the connection when there is no memory. */
void exchange_refuse(struct exchange *x, enum refusal why);

/* The same with a status and words of its own, for a peer that does not speak as it should. */
void exchange_refuse_as(struct exchange *x, const char *status, const char *why);

/* Says in the log that it ends without an answer. */
void exchange_log_drop(struct exchange *x, enum drop why);

/* Takes bytes of the body, and pauses the connection when they are held. `called`: it was submitted. Returns what the body
 * says; after an error that has ended. */
enum body_status exchange_take_body(struct exchange *x, bool called, const void *data, size_t len);

/* Why nothing more of a body can be taken, after BODY_TOO_LARGE or BODY_FAILED. */
enum refusal exchange_body_refusal(enum body_status status);

/* The application runs, and reads an error where its body should go on. */
void exchange_log_body(struct exchange *x, enum refusal why);

/* What is there of the body is freed; who reads gets `error`. */
void exchange_abort_body(struct exchange *x, int error);

/* Nobody takes the answer any more, and nothing more of the body comes: the application learns it, when it runs or is going
 * to. What came of a body is still there for it; of one that is not whole it reads that, and then an error. */
void exchange_gone(struct exchange *x);

/* Whether a body was held, and its reader has come to that: there is room for more. */
bool exchange_has_room(struct exchange *x);

/* Whether a body is held, of which its reader has taken nothing since this was asked last. */
bool exchange_stands_still(struct exchange *x);

/* Nobody reads a body that is held: it is freed, and a reader that comes later gets the error of the file. */
void exchange_give_up_body(struct exchange *x);

/* Sends what is stored of the answer, which is all that there was to come of it, by the loop. */
static inline void exchange_flush(struct exchange *x) {
    bool stored = buf_len(&x->r.out) > 0;
    if (stored)
        conn_output(x->conn, buf_head(&x->r.out), buf_len(&x->r.out));
    if (!x->conn->lost || !(stored || atomic_load_explicit(&x->r.unsent, memory_order_relaxed)))
        x->handed_over = true;
}

/* Running thread, without the GIL: */

/* Sends pieces of the answer. Returns 0, or -1 with errno as conn_transmit does. */
int exchange_transmit(struct exchange *x, const struct iovec *pieces, unsigned count);

/* Sends a block of a file behind `head` (NULL: none), as answer_ops.send_file. */
ssize_t exchange_transmit_file(struct exchange *x, const struct iovec *head, int fd, off_t offset);

/* Sends what is stored of the answer. */
int exchange_transmit_stored(struct exchange *x);

/* answer_ops.given_up */
void exchange_given_up(struct request *r);

#endif
