/* The HTTP/1.1 front end, to be put into struct lane_config. */
#ifndef WSGI_FCGI_NET_HTTP_PROTOCOL_H
#define WSGI_FCGI_NET_HTTP_PROTOCOL_H

#include "net/protocol.h"

extern const struct protocol http_protocol;

#endif
