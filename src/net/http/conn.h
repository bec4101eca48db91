/* An HTTP/1.1 connection: from bytes to requests, and from answers to bytes (RFC 9112).
 *
 * A connection has one request in work at a time. What a client sends after it (pipelining) is kept in memory until the
 * request is answered, up to a bound, and beyond that left in the socket.
 *
 * Threads: owner only.
 */
#ifndef WSGI_FCGI_NET_HTTP_CONN_H
#define WSGI_FCGI_NET_HTTP_CONN_H

#include "net/conn.h"
#include "net/http/peer.h"
#include "net/http/protocol.h"
#include "net/free_list.h"
#include "proto/http_lines.h"

/* Why a connection ended, in addition to CONN_REASONS and in the same form. */
#define HTTP_REASONS(X)                                                                                                \
    X(CONN_SPEAKS_FASTCGI, WARNING,                                                                                    \
      "the peer speaks FastCGI, and this socket HTTP: give the address to --socket, or use proxy_pass instead of "     \
      "fastcgi_pass (nginx)")                                                                                          \
    X(CONN_NO_REQUEST, DEBUG, "nothing came within --header-timeout")                                                  \
    X(CONN_BAD_PROXY, WARNING, "it does not begin with a PROXY header, as --proxy-protocol asks for")
HTTP_REASONS(CONN_REASON_DECLARE)

enum http_state {
    HTTP_PROXY_STATE, /* a PROXY header must come first */
    HTTP_IDLE_STATE,  /* nothing of a request has come */
    HTTP_HEAD_STATE,  /* receiving a header section */
    HTTP_BODY_STATE,  /* receiving a body, not yet enough to start */
    HTTP_JOB_STATE,   /* submitted: waits for a thread or runs; the body may still come */
    HTTP_DRAIN_STATE, /* answered; the rest of a small body is read and dropped */
    HTTP_ENDED_STATE  /* being answered, by the function that set this state; or the connection ends */
};

enum {
    HTTP_PIPELINE_MAX = 65536 /* when so many bytes are kept of what follows the request in work, the rest waits in the
                                 socket; one read may bring more */
};

struct http_request;

/* What a lane keeps for HTTP. */
struct http_lane {
    struct lane *lane;
    struct timeouts bodies; /* for the windows of pace.h */
    struct free_list conns, requests;
};

struct http_conn {
    struct conn conn;
    struct http_lane *http;
    enum http_state state;
    struct http_request *q; /* in work, or NULL */
    struct buf in;          /* bytes received and not yet handled */
    struct http_lines lines;
    size_t scanned;         /* bytes of a header section that `lines` has seen */
    bool skipped_line;      /* the empty line that may precede a request has come */
    struct timeout timeout; /* for the end of a header section, while `waiting` */
    bool waiting;
    unsigned nbegun; /* requests so far */
    bool closing;    /* the server stops: ends after the request in work */
    struct http_peer peer;
};

static inline struct http_conn *http_conn_of(struct conn *c) {
    return (struct http_conn *)(void *)((char *)c - offsetof(struct http_conn, conn));
}

extern const struct conn_ops http_conn_ops;

/* Frees the memory of a connection that no pool keeps. */
void http_conn_free(struct http_conn *c);

/* What a request calls on its connection. The end of a request may end its connection, and the end of a connection may
 * end its request. The functions for the other direction are in request.h; it includes this header, and not the other
 * way round. */

/* Whether input of the connection is still handled: it is open, or its peer has left. */
bool http_conn_works(const struct http_conn *c);

/* The connection waits for the next request. */
void http_conn_become_idle(struct http_conn *c);

/* Stops reading HTTP from the connection and ends it. A client that is still sending still gets its answer (RFC 9112,
 * 9.6): `end` tells whether part of a request is still to come. Bytes that have come already count as that. */
void http_conn_finish(struct http_conn *c, const struct conn_reason *reason, enum conn_end end);

/* Calls conn_set_rest. */
void http_conn_tell_rest(struct http_conn *c);

/* Handles what came after the request that was answered. */
void http_conn_go_on(struct http_conn *c);

#endif
