/* A request over HTTP/1.1, from its header to the end of its answer: its start and its end.
 *
 * Whatever ends a request may end its connection too. Hold a reference (conn_ref) to look at the connection afterwards.
 *
 * Threads: owner only, except for the atomic fields, and for `framing` and `kept`, which the running thread sets
 * (answer.c).
 */
#ifndef WSGI_FCGI_NET_HTTP_REQUEST_H
#define WSGI_FCGI_NET_HTTP_REQUEST_H

#include "net/exchange.h"
#include "net/http/conn.h"
#include "proto/http_head.h"

#include <stdatomic.h>

/* How the client finds the end of an answer (RFC 9112, 6.3). */
enum http_framing {
    HTTP_NO_BODY,
    HTTP_LENGTH,
    HTTP_CHUNKED,
    HTTP_UNTIL_CLOSE /* HTTP/1.0 */
};

struct http_request {
    struct exchange x;
    struct http_conn *c;
    struct http_body wire; /* the body as it comes */
    bool head_only;        /* HEAD */
    unsigned minor;
    bool input_bad; /* the rest of the connection's input cannot be parsed, or must not be read */

    uint64_t came;        /* bytes of the body so far */
    uint64_t came_before; /* bytes of the body before the window of pace.h began */
    struct timeout pace;  /* for the end of that window */
    bool paced;           /* there is a window */
    bool pace_excused;    /* the peer waited for "100 Continue" in the window */

    atomic_bool keep;          /* the connection may go on after this request */
    atomic_bool owes_continue; /* the client waits for "100 Continue" before it sends the body */
    enum http_framing framing; /* of the answer, once r.head_stored */
    bool kept;                 /* whether the answer said that the connection goes on */
};

/* Makes a request, which is then in work on the connection. Returns NULL if there is no memory. */
struct http_request *http_request_new(struct http_conn *c);

/* Starts the request, if it has what it needs (request_has_enough). Also starts one whose client waits for "100
 * Continue" before sending a long body: whether that body should come is for the application to decide. Answers it
 * instead, if it is refused. */
void http_request_maybe_start(struct http_request *q);

/* Nothing of the request's body is held any more: resumes reading from the connection. */
void http_request_read_on(struct http_request *q);
static inline void http_request_let_go(struct http_request *q) {
    if (q->x.body_held)
        http_request_read_on(q);
}

/* The body can take no more. If the application runs, it reads an error. Otherwise notes the refusal, and the caller
 * calls http_request_maybe_start, which answers the request. */
void http_request_body_failed(struct http_request *q, enum refusal why);

/* The rest of the body will not come: answers the request, or makes reading the body end with `error`. */
void http_request_cut_body(struct http_request *q, int error, enum refusal why);

/* The same for a body that violates HTTP; `why` tells how. The error is EPROTO. */
void http_request_body_malformed(struct http_request *q, const char *why);

/* Lets the application know, if it runs or is going to, that nobody waits for its answer any more (exchange_gone). */
void http_request_gone(struct http_request *q);

/* Answers the request without the application, and logs that. The connection ends with it if part of its body is still
 * to come. */
void http_request_refuse(struct http_request *q, enum refusal why);
void http_request_refuse_as(struct http_request *q, const char *status, const char *why);

/* The time of its call is over: another request stands in for it, and is answered 504 or cut off (conn_ops.overdue). */
enum conn_overdue http_request_overdue(struct http_request *q);

/* The last step of every end: takes the request off its connection and ends it (exchange_end). Sends nothing. */
void http_request_release(struct http_request *q);

/* Ends the request without a call and without an answer, and logs that. The caller must hold a reference to the
 * connection, and handle what came after the request. */
void http_request_drop(struct http_request *q, enum drop why);

/* Frees the memory of a request that no pool keeps. */
void http_request_free(struct http_request *q);

#endif
