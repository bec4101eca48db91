/* The HTTP/1.1 front end, as a lane is given it. */
#ifndef WSGI_FCGI_NET_HTTP_PROTOCOL_H
#define WSGI_FCGI_NET_HTTP_PROTOCOL_H

#include "net/protocol.h"

extern const struct protocol http_protocol;

#endif
