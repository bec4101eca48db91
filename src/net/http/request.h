/* A request over HTTP/1.1, from its header to the end of its answer: its start and its answers. Owner only.
 *
 * What ends a request may end its connection with it: hold a reference (conn_ref) to look at the connection afterwards.
 */
#ifndef WSGI_FCGI_NET_HTTP_REQUEST_H
#define WSGI_FCGI_NET_HTTP_REQUEST_H

#include "net/abandon.h"
#include "net/http/conn.h"

/* New request in work on the connection. Returns NULL when there is no memory. */
struct http_request *http_request_new(struct http_conn *c);

/* Starts it, when it has what it needs (request_has_enough), or a client that waits to be told to send a long body, which
 * the application decides. Tells the client, when all is to come first. */
void http_request_maybe_start(struct http_request *q);

/* Nothing is held of its body any more: the connection is read from again. */
void http_request_let_go(struct http_request *q);

/* Answers it without the application, with a line in the log. The connection ends with it when something of its body is
 * still to come. */
void http_request_refuse(struct http_request *q, enum refusal why);
void http_request_refuse_as(struct http_request *q, const char *status, const char *why);

/* Ends it without a word. */
void http_request_release(struct http_request *q);

/* Ends it without a call and without an answer, with a line in the log. The caller holds a reference to the connection,
 * where what came behind the request is next. */
void http_request_drop(struct http_request *q, enum drop why);

/* Whether what has come on the connection is still dealt with: it is open, or its peer has left. */
bool http_conn_works(const struct http_conn *c);

/* Frees the memory of a pooled request. */
void http_request_free(struct http_request *q);

/* The connection waits for the next request. */
void http_conn_become_idle(struct http_conn *c);

/* Nothing more is read as HTTP. A client that is still sending gets to its answer all the same (RFC 9112, 9.6): `end` says
 * whether there is something of a request to come; what has come already counts as that. */
void http_conn_finish(struct http_conn *c, const struct conn_reason *reason, enum conn_end end);

/* Deals with what came behind the request that was answered (http.c). */
void http_conn_go_on(struct http_conn *c);

#endif
