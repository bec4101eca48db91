/* A FastCGI connection: from records to requests, and from answers to records (FastCGI 1.0).
 *
 * A connection and a request id are separate things. Any number of requests, up to lane_config.limit_requests, may be
 * open on a connection, each with its own body and output. Clients that pipeline with one id may begin a request before
 * an earlier one with the same id is answered, but only after that was received in full; the later request waits for
 * the answer.
 *
 * Threads: owner only.
 */
#ifndef WSGI_FCGI_NET_FCGI_CONN_H
#define WSGI_FCGI_NET_FCGI_CONN_H

#include "net/conn.h"
#include "net/fcgi/protocol.h"
#include "net/free_list.h"
#include "proto/fcgi_decode.h"
#include "proto/fcgi_values.h"

/* Why a connection ended, in addition to CONN_REASONS and in the same form. */
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
    struct timeouts silence; /* until more comes of a body whose request is answered... */
    struct timeouts stall;   /* ...from a peer that went on sending it (request.c); and for `ending_timeout` */
    struct free_list conns, requests;
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
    bool unread;   /* STDIN of a request was not read to its end: a plain close could cause a reset */
    bool trusted;  /* the peer is trusted about the client (peer.h) */
    bool closing;  /* ends after the open requests: `not_kept`, --keepalive-requests, stop, half-close */
    bool not_kept; /* a request without FCGI_KEEP_CONN came: the peer expects the end */
    bool asked;    /* the peer has asked GET_VALUES: it multiplexes */
    bool given_up; /* stopped waiting for a body: ends after a moment without a request, unless `asked` */
    bool goes_on;  /* more of that body came all the same */
    bool settling; /* the lane retires, and all open requests came whole: reads no more */
    bool ending;   /* `given_up`, not `asked`, and no request is open now */
    struct timeout ending_timeout; /* while `ending`: for a request */
    struct buf over;               /* while `settling`: what was read beyond these requests */
};

static inline struct fcgi_conn *fcgi_conn_of(struct conn *c) {
    return (struct fcgi_conn *)(void *)((char *)c - offsetof(struct fcgi_conn, conn));
}

extern const struct conn_ops fcgi_conn_ops;

/* Frees the memory of a connection that no pool keeps. */
void fcgi_conn_free(struct fcgi_conn *c);

/* What a request calls on its connection. The end of a request may end its connection, and the end of a connection may
 * end its requests. The functions for the other direction are in request.h; it includes this header, and not the other
 * way round. */

/* conn_finish, of a connection from which perhaps nothing is read (`settling`). */
void fcgi_conn_finish(struct fcgi_conn *c, const struct conn_reason *reason, enum conn_end end);

/* Ends the connection, if its last request was answered and it is not to be kept. */
void fcgi_conn_after_request(struct fcgi_conn *c);

/* Calls conn_set_rest. */
void fcgi_conn_tell_rest(struct fcgi_conn *c);

/* Whether the connection is to read no more, because the lane retires and the decoder stands behind the last byte of
 * its open requests, of which there is one at least. It rests when these are answered, even if the peer always has
 * another one. `more`: bytes are there that were not decoded yet. */
bool fcgi_conn_settles(const struct fcgi_conn *c, size_t more);

/* Reads no more, and keeps the bytes that were not decoded. */
void fcgi_conn_settle(struct fcgi_conn *c, const uint8_t *more, size_t len);

/* The connection has a request again, or is gone. */
void fcgi_conn_ending_over(struct fcgi_conn *c);

#endif
