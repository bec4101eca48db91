/* The FastCGI front end, as a lane is given it. */
#ifndef WSGI_FCGI_NET_FCGI_PROTOCOL_H
#define WSGI_FCGI_NET_FCGI_PROTOCOL_H

#include "net/protocol.h"

extern const struct protocol fcgi_protocol;

#endif
