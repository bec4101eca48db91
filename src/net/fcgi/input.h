/* What the records of a peer mean for its connection and the requests on it. Owner only. */
#ifndef WSGI_FCGI_NET_FCGI_INPUT_H
#define WSGI_FCGI_NET_FCGI_INPUT_H

#include "net/conn.h"

/* conn_ops.input */
bool fcgi_take_input(struct conn *conn, const uint8_t *data, size_t len);

#endif
