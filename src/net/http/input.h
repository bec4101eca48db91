/* Handles the bytes of a connection: a PROXY header, then header sections and bodies, one after the other. Limits on
 * what a peer may send are enforced here.
 *
 * Threads: owner only.
 */
#ifndef WSGI_FCGI_NET_HTTP_INPUT_H
#define WSGI_FCGI_NET_HTTP_INPUT_H

#include "net/http/conn.h"
#include "net/refusal.h"

/* conn_ops.input */
bool http_take_input(struct conn *conn, const uint8_t *bytes, size_t len);

/* Handles as much as it can of the bytes that were kept. */
void http_take_kept(struct http_conn *c);

/* Start and end the wait for a header section, or for the PROXY header before it. */
void http_head_wait_begins(struct http_conn *c);
void http_head_wait_ends(struct http_conn *c);

/* Refuses a request whose header section is incomplete. Nobody knows what follows it, so the connection ends. */
void http_refuse_head(struct http_conn *c, enum refusal why);

#endif
