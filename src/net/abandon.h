/* Requests whose client has left, or may have, before they were answered.
 *
 * What has come whole is called, whether its client is still there or not: whether a POST ran must not depend on how busy
 * the server is. The application is told (wsgi_fcgi.client_connected), and its answer goes to whoever can still read. What
 * ends without a call is a row of the table.
 *
 * Owner only.
 */
#ifndef WSGI_FCGI_NET_ABANDON_H
#define WSGI_FCGI_NET_ABANDON_H

#include "request/request.h"

#include <stdbool.h>

struct conn;

/* Why a request ends without a call and without an answer: X(name, text). */
#define DROPS(X)                                                                                                       \
    X(DROPPED_CUT, "its client left before all of it had come")                                                        \
    X(DROPPED_WAITING, "its client left while it waited (--drop-abandoned)")

#define DROP_NAME(name, text) name,
enum drop { DROPS(DROP_NAME) DROP_COUNT };
#undef DROP_NAME

/* Whether nobody may be there any more to take an answer of the connection. */
bool abandon_is_likely(const struct conn *c);

/* Whether what waits for a thread, or is about to, is dropped: the client has left and --drop-abandoned was given, or the
 * server ends without it. */
bool abandon_drops(const struct conn *c);

/* Tells the application that calls client_connected, or is going to. */
void abandon_tell(const struct conn *c, struct request *r);

/* Logs that request `id` of a connection is dropped: at most one line a second about each reason and client. None when the
 * server ends without it, which has a line of its own. */
void abandon_log(const struct conn *c, enum drop why, unsigned id, const struct request *r);

#endif
