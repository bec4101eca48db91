/* Ends requests whose body stalls while others on the same connection are busy. Such a connection is never idle, so the
 * idle time does not end them.
 *
 * Threads: owner only.
 */
#ifndef WSGI_FCGI_NET_FCGI_STALL_H
#define WSGI_FCGI_NET_FCGI_STALL_H

#include "net/fcgi/conn.h"

/* Something has come on the connection: ends requests for which nothing has come within --idle-timeout. */
void fcgi_stall_look(struct fcgi_conn *c);

/* Ends requests for which nothing has come within `seconds`. `called`: also those whose call runs or is about to. */
void fcgi_stall_end(struct fcgi_conn *c, ev_tstamp seconds, bool called);

#endif
