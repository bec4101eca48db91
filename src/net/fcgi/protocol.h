/* The FastCGI front end, to be put into struct lane_config. */
#ifndef WSGI_FCGI_NET_FCGI_PROTOCOL_H
#define WSGI_FCGI_NET_FCGI_PROTOCOL_H

#include "net/protocol.h"

extern const struct protocol fcgi_protocol;

#endif
