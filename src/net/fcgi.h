/* The FastCGI front end: records to requests, answers to records (FastCGI 1.0).
 *
 * A connection and a request id are separate things: any number of requests (up to lane_config.limit_requests) may be
 * open on a connection, each with its own body and output. A request whose id is that of an earlier, fully received one
 * that is not answered yet waits for that answer (clients that pipeline with one id).
 */
#ifndef WSGI_FCGI_NET_FCGI_H
#define WSGI_FCGI_NET_FCGI_H

#include "net/conn.h"
#include "net/refusal.h"
#include "proto/fcgi_decode.h"
#include "proto/fcgi_values.h"
#include "request/request.h"

struct lane;

enum fcgi_request_state {
    FCGI_PARAMS_STATE, /* PARAMS come */
    FCGI_BODY_STATE,   /* STDIN comes, not enough of it to start */
    FCGI_HELD_STATE,   /* could start, but an earlier request has the same id */
    FCGI_JOB_STATE,    /* submitted: waits for a thread or runs */
    FCGI_STDIN_STATE,  /* answered, END_REQUEST waits for the end of STDIN */
    FCGI_ENDED_STATE   /* being answered and released, by the function that set this state */
};

struct fcgi_request {
    struct request r;
    struct fcgi_conn *c;
    enum fcgi_request_state state;
    uint16_t id;
    uint16_t role;
    bool keep_conn;
    bool stdin_ended; /* nothing more of STDIN is waited for */
    bool stdin_read;  /* its empty record came: the peer sends nothing more for this request */
    bool stderr_used; /* STDERR records were stored or sent */
    bool aborted;     /* ABORT_REQUEST came */
    uint64_t dropped; /* FCGI_STDIN_STATE: bytes of STDIN */
    ev_tstamp began_at;
    TAILQ_ENTRY(fcgi_request) incomplete; /* in struct lane, while in FCGI_PARAMS_STATE */
    enum refusal refusal;                 /* decided before it starts */
    union {
        TAILQ_ENTRY(fcgi_request) link;
        LIST_ENTRY(fcgi_request) free;
    };
};

struct fcgi_conn {
    struct conn conn;
    struct fcgi_decoder decoder;
    struct fcgi_values values;
    TAILQ_HEAD(fcgi_requests, fcgi_request) requests; /* open ones, oldest first */
    unsigned nrequests;
    unsigned nbegun; /* requests so far */
    bool closing;    /* a request without FCGI_KEEP_CONN came, or the server stops: ends after the open requests */
    LIST_ENTRY(fcgi_conn) free;
};

/* A connection was accepted. Owner only. Closes `fd` when there is no memory. */
void fcgi_accept(struct lane *lane, int fd, bool is_unix);

/* The lane stops: what has arrived is read, and the connection ends after its open requests. One on which nothing ever
 * arrived stays open for a request. Owner only. */
void fcgi_stop(struct conn *c);

/* Ends the connection now if it has no request. Owner only. */
void fcgi_end(struct conn *c);

/* Answers requests whose parameters have not come in time. Returns when the next one is due (ev_now), or 0. Owner only. */
ev_tstamp fcgi_expire_incomplete(struct lane *lane);

/* Frees the pools of a lane. Owner only. */
void fcgi_free_pools(struct lane *lane);

#endif
