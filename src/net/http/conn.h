/* The HTTP/1.1 front end: bytes to requests, answers to bytes (RFC 9112).
 *
 * A connection has one request in work at a time. What a client sends behind it (pipelining) is kept until it is
 * answered, up to a bound, and then left in the socket.
 */
#ifndef WSGI_FCGI_NET_HTTP_CONN_H
#define WSGI_FCGI_NET_HTTP_CONN_H

#include "net/conn.h"
#include "net/http/peer.h"
#include "net/http/protocol.h"
#include "net/pool.h"
#include "proto/http_lines.h"

/* Why a connection ended, beside what ends any: as CONN_REASONS. */
#define HTTP_REASONS(X)                                                                                                \
    X(CONN_SPEAKS_FASTCGI, WARNING,                                                                                    \
      "the peer speaks FastCGI, and this socket HTTP: give the address to --socket, or use proxy_pass instead of "     \
      "fastcgi_pass (nginx)")                                                                                          \
    X(CONN_NO_REQUEST, DEBUG, "nothing came within --header-timeout")                                                  \
    X(CONN_BAD_PROXY, WARNING, "it does not begin with a PROXY header, as --proxy-protocol asks for")
HTTP_REASONS(CONN_REASON_DECLARE)

enum http_state {
    HTTP_PROXY_STATE, /* a PROXY header is to come first */
    HTTP_IDLE_STATE,  /* nothing of a request has come */
    HTTP_HEAD_STATE,  /* a header section comes */
    HTTP_BODY_STATE,  /* a body comes, not enough of it to start */
    HTTP_JOB_STATE,   /* submitted: waits for a thread or runs; the body may still come */
    HTTP_DRAIN_STATE, /* answered; what is left of a small body is read for nothing */
    HTTP_ENDED_STATE  /* being answered, by the function that set this state; or the connection ends */
};

enum {
    HTTP_PIPELINE_MAX = 65536 /* bytes behind the request in work that are kept; what comes then waits in the socket */
};

struct http_request;

/* What a lane keeps for HTTP. */
struct http_lane {
    struct lane *lane;
    struct timeouts bodies; /* for the ends of the windows of http/pace.h */
    struct pool conns, requests;
};

struct http_conn {
    struct conn conn;
    struct http_lane *http;
    enum http_state state;
    struct http_request *q; /* in work, or NULL */
    struct buf in;          /* bytes that were received and not dealt with */
    struct http_lines lines;
    size_t scanned;         /* bytes of a header section that `lines` has seen */
    bool skipped_line;      /* the empty line that may come before a request did */
    struct timeout timeout; /* for the end of a header section */
    bool waiting;
    unsigned nbegun; /* requests so far */
    bool closing;    /* the server stops: ends after the request in work */
    struct http_peer peer;
};

static inline struct http_conn *http_conn_of(struct conn *c) {
    return (struct http_conn *)(void *)((char *)c - offsetof(struct http_conn, conn));
}

extern const struct conn_ops http_conn_ops;

/* Frees what nothing keeps for reuse. */
void http_conn_free(struct http_conn *c);

/* What a request asks of its connection: its end may be that of the connection, whose end may be that of the request. That
 * way round is in request.h, which is the only one of the two headers that includes the other. */

/* Whether what has come on the connection is still dealt with: it is open, or its peer has left. */
bool http_conn_works(const struct http_conn *c);

/* The connection waits for the next request. */
void http_conn_become_idle(struct http_conn *c);

/* Nothing more is read as HTTP. A client that is still sending gets to its answer all the same (RFC 9112, 9.6): `end` says
 * whether there is something of a request to come; what has come already counts as that. */
void http_conn_finish(struct http_conn *c, const struct conn_reason *reason, enum conn_end end);

/* Calls conn_set_rest. */
void http_conn_tell_rest(struct http_conn *c);

/* Deals with what came behind the request that was answered. */
void http_conn_go_on(struct http_conn *c);

#endif
