/* Handles the records that a peer sends: what they mean for the connection and its requests. Limits on what a
 * peer may send are enforced here.
 *
 * Threads: owner only.
 */
#ifndef WSGI_FCGI_NET_FCGI_INPUT_H
#define WSGI_FCGI_NET_FCGI_INPUT_H

#include "net/conn.h"

/* conn_ops.input */
bool fcgi_take_input(struct conn *conn, const uint8_t *data, size_t len);

#endif
