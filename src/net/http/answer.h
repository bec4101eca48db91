/* Writes the answer of a request as HTTP/1.1: its struct answer_ops (RFC 9112, 4, 6, 7.1 and 9).
 *
 * Threads: as struct answer_ops says, except where a function says otherwise.
 */
#ifndef WSGI_FCGI_NET_HTTP_ANSWER_H
#define WSGI_FCGI_NET_HTTP_ANSWER_H

#include "net/http/request.h"

enum { HTTP_DRAIN_MAX = 262144 /* bytes of an unwanted body that are read to keep a connection; beyond, it ends */ };

extern const struct answer_ops http_answer_ops;

/* Sends "100 Continue" to a client that waits for it, before the application is called. Owner only. */
void http_send_continue(struct http_request *q);

/* Stores the end of the answer. Returns 0, or -1 with errno ENOMEM. Owner only. */
int http_put_end(struct http_request *q);

#endif
