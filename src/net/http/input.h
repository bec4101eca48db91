/* From the bytes of a connection to its requests: a PROXY header, header sections and bodies, one after the other. Owner
 * only. */
#ifndef WSGI_FCGI_NET_HTTP_INPUT_H
#define WSGI_FCGI_NET_HTTP_INPUT_H

#include "net/http/conn.h"
#include "net/refusal.h"

/* conn_ops.input */
bool http_take_input(struct conn *conn, const uint8_t *bytes, size_t len);

/* Deals with as much as it can of what was kept. */
void http_take_kept(struct http_conn *c);

/* A header section, or the PROXY header before it, is waited for, or not any more. */
void http_head_wait_begins(struct http_conn *c);
void http_head_wait_ends(struct http_conn *c);

/* The header section that has begun to come is answered as it is: nobody knows what follows, so the connection ends. */
void http_refuse_head(struct http_conn *c, enum refusal why);

#endif
