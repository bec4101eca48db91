/* A FastCGI request, from BEGIN_REQUEST to END_REQUEST: its states, its start, its end.
 *
 * Whatever ends a request may end its connection too, if that is not to be kept. Hold a reference (conn_ref) to look at
 * the connection afterwards.
 *
 * Threads: owner only, except for `stderr_used`, which the running thread sets (answer.c).
 */
#ifndef WSGI_FCGI_NET_FCGI_REQUEST_H
#define WSGI_FCGI_NET_FCGI_REQUEST_H

#include "net/exchange.h"
#include "net/fcgi/conn.h"
#include "proto/fcgi_decode.h"

enum fcgi_request_state {
    FCGI_PARAMS_STATE, /* receiving PARAMS */
    FCGI_BODY_STATE,   /* receiving STDIN, not yet enough to start */
    FCGI_BEHIND_STATE, /* could start, but an earlier request with the same id is unanswered */
    FCGI_JOB_STATE,    /* submitted: waits for a thread or runs; also when another one stands in for it */
    FCGI_STDIN_STATE,  /* answered; END_REQUEST waits until STDIN ends or the peer falls silent */
    FCGI_ENDED_STATE   /* being answered and released, by the function that set this state */
};

struct fcgi_request {
    struct exchange x;
    struct fcgi_conn *c;
    enum fcgi_request_state state;
    bool keep_conn;
    bool stdin_ended;   /* nothing more of STDIN is waited for */
    bool stdin_read;    /* the peer sends nothing more for this request: the empty STDIN record or a half-close came */
    bool stderr_used;   /* STDERR records were stored or sent */
    bool aborted;       /* ABORT_REQUEST came */
    bool gave_way;      /* its call waited for the peer, and its thread was needed: the answer is cut */
    ev_tstamp stdin_at; /* when STDIN bytes last came, the parameters ended, or a pause did */
    struct timeout timeout;    /* FCGI_PARAMS_STATE: for the rest of PARAMS; FCGI_STDIN_STATE: for more of STDIN */
    struct timeouts *timeouts; /* the list that `timeout` is in; NULL: none */
    TAILQ_ENTRY(fcgi_request) link;
};

/* Makes a request, in FCGI_PARAMS_STATE. Returns NULL if there is no memory. */
struct fcgi_request *fcgi_request_new(struct fcgi_conn *c, const struct fcgi_event *begin);

/* Changes the state: the only way to do so. Ends the time-out of the old one. */
void fcgi_request_set_state(struct fcgi_request *q, enum fcgi_request_state state);

/* Returns the request to which records with this id belong: of several, the one that is still being received. NULL:
 * none. */
struct fcgi_request *fcgi_request_find(struct fcgi_conn *c, uint16_t id);

/* Whether an earlier request with the same id is not answered yet. */
bool fcgi_request_is_behind(const struct fcgi_request *q);

/* Starts the request, if it has what it needs (request_has_enough). */
void fcgi_request_maybe_start(struct fcgi_request *q);

/* Answers the request, or submits it to the scheduler. */
void fcgi_request_start(struct fcgi_request *q);

/* FCGI_STDIN_STATE: more of STDIN came, or the peer has taken all output that waited. Gives it time to send more. */
void fcgi_request_stdin_goes_on(struct fcgi_request *q);

/* FCGI_STDIN_STATE: stops waiting for the rest of STDIN; what still comes counts as records of an inactive id. Ends the
 * request; and the connection, unless its peer multiplexes, when that has had no other request for a moment. */
void fcgi_request_stdin_given_up(struct fcgi_request *q);

/* Sends what is stored of the answer, then END_REQUEST, and ends the request. */
void fcgi_request_end(struct fcgi_request *q, uint32_t app_status);

/* The same for a request for which ABORT_REQUEST came. */
void fcgi_request_abort(struct fcgi_request *q);

/* Nothing of the request's body is held any more. When that is true of all requests, reading from the connection
 * resumes. */
void fcgi_request_read_on(struct fcgi_request *q);
static inline void fcgi_request_let_go(struct fcgi_request *q) {
    if (q->x.body_held)
        fcgi_request_read_on(q);
}

/* The body can take no more: answers the request, unless the application runs, which then reads an error. */
void fcgi_request_body_failed(struct fcgi_request *q, enum refusal why);

/* Lets the application know, if it runs or is going to, that nobody waits for its answer any more (exchange_gone). */
void fcgi_request_gone(struct fcgi_request *q);

/* Ends the request without a call and without an answer, and logs that. */
void fcgi_request_drop(struct fcgi_request *q, enum drop why);

/* The time of its call is over: another request stands in for it, and is answered 504 or cut off (conn_ops.overdue). */
enum conn_overdue fcgi_request_overdue(struct fcgi_request *q);

/* The last step of every end: takes the request off its connection and ends it (exchange_end). Sends nothing. */
void fcgi_request_release(struct fcgi_request *q);

/* Frees the memory of a request that no pool keeps. */
void fcgi_request_free(struct fcgi_request *q);

#endif
