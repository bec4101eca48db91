/* Requests whose client has left, or may have left, before they were answered.
 *
 * A request that has been received in full is given to the application even if its client has left: whether a POST runs
 * must not depend on how busy the server is. The application can ask (wsgi_fcgi.client_connected), and its answer goes
 * to the peer if that can still read. Only when requests have to be refused because no thread is free for all
 * (net/overload.h), those whose clients may have left are the first (sched_job_left). What ends without a call and
 * without an answer is a row of DROPS.
 *
 * Threads: owner only.
 */
#ifndef WSGI_FCGI_NET_ABANDON_H
#define WSGI_FCGI_NET_ABANDON_H

#include "request/request.h"

#include <stdbool.h>

struct conn;

/* Why a request ends without a call and without an answer: X(name, text). */
#define DROPS(X)                                                                                                       \
    X(DROPPED_CUT, "its client left before all of it had come")                                                        \
    X(DROPPED_WAITING, "its client left while it waited (--drop-abandoned)")                                           \
    X(DROPPED_OVERLOAD, "its client left while it waited, and no thread was free for all (overload)")

#define DROP_NAME(name, text) name,
enum drop { DROPS(DROP_NAME) DROP_COUNT };
#undef DROP_NAME

/* Whether it is possible that nobody will take an answer from the connection any more. */
bool abandon_is_likely(const struct conn *c);

/* Whether a request that waits for a thread, or is about to, is to be dropped: the client may have left
 * (abandon_is_likely) and --drop-abandoned was given, or the server ends without the request. */
bool abandon_drops(const struct conn *c);

/* Lets the application know, if it calls client_connected now or later, and the scheduler, if the request waits. */
void abandon_tell(const struct conn *c, struct request *r);

/* Logs that request `id` of a connection is dropped: at most one line a second for each reason and client. Logs nothing
 * when the server ends without the request, because that has a line of its own. */
void abandon_log(const struct conn *c, enum drop why, unsigned id, const struct request *r);

#endif
