/* The FastCGI front end: records to requests, answers to records (FastCGI 1.0).
 *
 * A connection and a request id are separate things: any number of requests (up to lane_config.limit_requests) may be
 * open on a connection, each with its own body and output. A request whose id is that of an earlier, fully received one
 * that is not answered yet waits for that answer (clients that pipeline with one id).
 */
#ifndef WSGI_FCGI_NET_FCGI_CONN_H
#define WSGI_FCGI_NET_FCGI_CONN_H

#include "net/conn.h"
#include "net/fcgi/protocol.h"
#include "net/pool.h"
#include "proto/fcgi_decode.h"
#include "proto/fcgi_values.h"

/* Why a connection ended, beside what ends any: as CONN_REASONS. */
#define FCGI_REASONS(X)                                                                                                \
    X(CONN_NOT_FASTCGI, WARNING, "the peer does not speak FastCGI version 1")                                          \
    X(CONN_SPEAKS_HTTP, WARNING,                                                                                       \
      "the peer speaks HTTP, and this socket FastCGI: use fastcgi_pass instead of proxy_pass (nginx), or give the "    \
      "address to --http")                                                                                             \
    X(CONN_SPEAKS_PROXY, WARNING,                                                                                      \
      "the peer sends a header of the PROXY protocol, which is taken over HTTP only: see --proxy-protocol")            \
    X(CONN_BEGIN_SHORT, WARNING, "the peer has sent a BEGIN_REQUEST that is too short")                                \
    X(CONN_ID_IN_USE, WARNING, "BEGIN_REQUEST for an id whose request is not complete")                                \
    X(CONN_TOO_MANY, WARNING, "too many pipelined requests")
FCGI_REASONS(CONN_REASON_DECLARE)

struct fcgi_request;

/* What a lane keeps for FastCGI. */
struct fcgi_lane {
    struct lane *lane;
    struct timeouts silence; /* for more of a body whose request is answered... */
    struct timeouts stall;   /* ...from a peer that has gone on sending it (request.c) */
    struct pool conns, requests;
};

struct fcgi_conn {
    struct conn conn;
    struct fcgi_lane *fcgi;
    struct fcgi_decoder decoder;
    struct fcgi_values values;
    TAILQ_HEAD(fcgi_requests, fcgi_request) requests; /* open ones, oldest first */
    unsigned nrequests;
    unsigned nbegun; /* requests so far */
    ev_tstamp stalls_looked_at;
    bool unread;   /* STDIN of a request was not read to its end: a plain close could be a reset */
    bool trusted;  /* what it passes on about the client counts (peer.h) */
    bool closing;  /* ends after the open requests: `not_kept`, it has had its number of them, or the server stops */
    bool not_kept; /* a request without FCGI_KEEP_CONN came: the peer knows that it ends */
    bool asked;    /* the peer has asked GET_VALUES: it multiplexes */
    bool given_up; /* a body was not waited for any longer: ends when it has had no request for a moment */
    bool goes_on;  /* more of it came all the same */
    bool ending;   /* and has none now */
    struct timeout ending_timeout; /* while `ending`: for a request */
};

static inline struct fcgi_conn *fcgi_conn_of(struct conn *c) {
    return (struct fcgi_conn *)(void *)((char *)c - offsetof(struct fcgi_conn, conn));
}

extern const struct conn_ops fcgi_conn_ops;

/* Frees what nothing keeps for reuse. */
void fcgi_conn_free(struct fcgi_conn *c);

/* What a request asks of its connection: its end may be that of the connection, whose end may be that of requests. That
 * way round is in request.h, which is the only one of the two headers that includes the other. */

/* Ends the connection when its last request was answered and it is not to be kept. */
void fcgi_conn_after_request(struct fcgi_conn *c);

/* Calls conn_set_rest. */
void fcgi_conn_tell_rest(struct fcgi_conn *c);

/* The connection has something to do again, or is gone. */
void fcgi_conn_ending_over(struct fcgi_conn *c);

#endif
