/* A request over HTTP/1.1, from its header to the end of its answer: its start and its answers. Owner only.
 *
 * What ends a request may end its connection with it: hold a reference (conn_ref) to look at the connection afterwards.
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
    bool input_bad; /* the rest of the connection's input cannot be understood, or is not to be read */

    uint64_t came;        /* bytes of the body */
    uint64_t came_before; /* the window of http/pace.h began */
    struct timeout pace;  /* for the end of that window */
    bool paced;           /* there is one */
    bool pace_excused;    /* in which the peer waited for "100 Continue" */

    atomic_bool keep;          /* the connection may go on after this request */
    atomic_bool owes_continue; /* the client waits for "100 Continue" before it sends the body */
    enum http_framing framing; /* of the answer, once r.head_stored */
    bool kept;                 /* what the answer said about the connection */
};

/* New request in work on the connection. Returns NULL when there is no memory. */
struct http_request *http_request_new(struct http_conn *c);

/* Starts it, when it has what it needs (request_has_enough), or a client that waits to be told to send a long body, which
 * the application decides. Tells the client, when all is to come first. */
void http_request_maybe_start(struct http_request *q);

/* Nothing is held of its body any more: the connection is read from again. */
void http_request_read_on(struct http_request *q);
static inline void http_request_let_go(struct http_request *q) {
    if (q->x.body_held)
        http_request_read_on(q);
}

/* Nothing more of the body can be taken: it is answered (http_request_maybe_start), unless the application runs and reads
 * an error. */
void http_request_body_failed(struct http_request *q, enum refusal why);

/* The rest of the body does not come: it is answered, or reading it ends with `error`. */
void http_request_cut_body(struct http_request *q, int error, enum refusal why);

/* The same for one that is not what HTTP says: `why`. */
void http_request_body_malformed(struct http_request *q, const char *why);

/* The application, when it runs or is going to, learns that nobody waits for its answer any more (exchange_gone). */
void http_request_gone(struct http_request *q);

/* Answers it without the application, with a line in the log. The connection ends with it when something of its body is
 * still to come. */
void http_request_refuse(struct http_request *q, enum refusal why);
void http_request_refuse_as(struct http_request *q, const char *status, const char *why);

/* Ends it without a word. */
void http_request_release(struct http_request *q);

/* Ends it without a call and without an answer, with a line in the log. The caller holds a reference to the connection,
 * where what came behind the request is next. */
void http_request_drop(struct http_request *q, enum drop why);

/* Frees the memory of a pooled request. */
void http_request_free(struct http_request *q);

#endif
