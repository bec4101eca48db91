/* The answer of a request as HTTP/1.1: struct answer_ops (RFC 9112, sections 4, 6, 7.1 and 9). */
#ifndef WSGI_FCGI_NET_HTTP_ANSWER_H
#define WSGI_FCGI_NET_HTTP_ANSWER_H

#include "net/http/request.h"

enum { HTTP_DRAIN_MAX = 262144 /* bytes of a body that is no longer wanted which keeping a connection is worth */ };

extern const struct answer_ops http_answer_ops;

/* Tells a client that waits for it to send the body, before the application is called. Owner only. */
void http_send_continue(struct http_request *q);

/* Stores what ends the answer behind it. Returns 0, or -1 with errno ENOMEM. */
int http_put_end(struct http_request *q);

#endif
