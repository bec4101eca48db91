/* A FastCGI request, from BEGIN_REQUEST to END_REQUEST: its states, its start, its answers. Owner only.
 *
 * Whatever ends a request may end its connection with it, when that is not to be kept: hold a reference (conn_ref) to
 * look at the connection afterwards.
 */
#ifndef WSGI_FCGI_NET_FCGI_REQUEST_H
#define WSGI_FCGI_NET_FCGI_REQUEST_H

#include "net/exchange.h"
#include "net/fcgi/conn.h"
#include "proto/fcgi_decode.h"

enum fcgi_request_state {
    FCGI_PARAMS_STATE, /* PARAMS come */
    FCGI_BODY_STATE,   /* STDIN comes, not enough of it to start */
    FCGI_BEHIND_STATE, /* could start, but an earlier request has the same id */
    FCGI_JOB_STATE,    /* submitted: waits for a thread or runs */
    FCGI_STDIN_STATE,  /* answered, END_REQUEST waits for the end of STDIN, or for the peer to fall silent */
    FCGI_ENDED_STATE   /* being answered and released, by the function that set this state */
};

struct fcgi_request {
    struct exchange x;
    struct fcgi_conn *c;
    enum fcgi_request_state state;
    bool keep_conn;
    bool stdin_ended;          /* nothing more of STDIN is waited for */
    bool stdin_read;           /* its empty record came: the peer sends nothing more for this request */
    bool stderr_used;          /* STDERR records were stored or sent */
    bool aborted;              /* ABORT_REQUEST came */
    ev_tstamp stdin_at;        /* when something of STDIN came last, or the parameters ended */
    struct timeout timeout;    /* FCGI_PARAMS_STATE: for the rest of them; FCGI_STDIN_STATE: for more of it */
    struct timeouts *timeouts; /* in which `timeout` is; NULL: in none */
    TAILQ_ENTRY(fcgi_request) link;
};

/* New request, in FCGI_PARAMS_STATE. Returns NULL when there is no memory. */
struct fcgi_request *fcgi_request_new(struct fcgi_conn *c, const struct fcgi_event *begin);

/* The only way to change its state. */
void fcgi_request_set_state(struct fcgi_request *q, enum fcgi_request_state state);

/* The request that records with this id belong to: of several, the one that is still being received. NULL: none. */
struct fcgi_request *fcgi_request_find(struct fcgi_conn *c, uint16_t id);

/* Whether an earlier request with the same id is not answered yet. */
bool fcgi_request_is_behind(const struct fcgi_request *q);

/* Starts it, when it has what it needs (request_has_enough). */
void fcgi_request_maybe_start(struct fcgi_request *q);

/* Answers it, or submits it to the scheduler. */
void fcgi_request_start(struct fcgi_request *q);

/* FCGI_STDIN_STATE: something of STDIN came, or the peer has taken all that waited for it; it has time to send more. */
void fcgi_request_stdin_goes_on(struct fcgi_request *q);

/* FCGI_STDIN_STATE: the rest of STDIN is not waited for any longer, and what comes of it is that of an id that is not
 * active. Ends the request, and the connection a moment later or after the others. */
void fcgi_request_stdin_given_up(struct fcgi_request *q);

/* Sends what is stored of the answer and END_REQUEST behind it, and ends the request. */
void fcgi_request_end(struct fcgi_request *q, uint32_t app_status);

/* The same for one of which ABORT_REQUEST came. */
void fcgi_request_abort(struct fcgi_request *q);

/* Nothing is held of its body any more. When that is so of all requests, the connection is read from again. */
void fcgi_request_read_on(struct fcgi_request *q);
static inline void fcgi_request_let_go(struct fcgi_request *q) {
    if (q->x.body_held)
        fcgi_request_read_on(q);
}

/* Nothing more of the body can be taken: it is answered, unless the application runs and reads an error. */
void fcgi_request_body_failed(struct fcgi_request *q, enum refusal why);

/* The application, when it runs or is going to, learns that nobody waits for its answer any more (exchange_gone). */
void fcgi_request_gone(struct fcgi_request *q);

/* Ends it without a call and without an answer, with a line in the log. */
void fcgi_request_drop(struct fcgi_request *q, enum drop why);

/* Ends it without a word. */
void fcgi_request_release(struct fcgi_request *q);

/* Frees the memory of a pooled request. */
void fcgi_request_free(struct fcgi_request *q);

#endif
