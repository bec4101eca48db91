/* Ends bodies that stall while other requests on the same connection are busy. Such a connection is never idle, so the
 * idle time does not end them. The request is answered with 408, unless it was submitted: then reading its body ends
 * with ETIMEDOUT.
 *
 * Threads: owner only.
 */
#ifndef WSGI_FCGI_NET_FCGI_STALL_H
#define WSGI_FCGI_NET_FCGI_STALL_H

#include "net/fcgi/conn.h"

/* Something has come on the connection: ends bodies of which nothing has come within --idle-timeout. Looks once a
 * second at most. */
void fcgi_stall_look(struct fcgi_conn *c);

/* Ends bodies of which nothing has come within `seconds`. `called`: also of requests whose call runs or is about to. */
void fcgi_stall_end(struct fcgi_conn *c, ev_tstamp seconds, bool called);

#endif
