/* Whether the body of a request comes fast enough.
 *
 * Its first byte has the time W of --header-timeout, from the end of the header section on. In each of the windows of the
 * same length that follow, --min-body-rate times W bytes have to come, whatever came before: who sends much at first has no
 * credit for the time after it. A timer looks at the end of each window, so that a body that stands still is noticed, and
 * nothing is done for a byte that comes.
 *
 * A window in which the peer was kept from sending, because its connection was paused or the "100 Continue" that it asks
 * for was not sent, does not count. Without --header-timeout the first byte has all the time of --idle-timeout, and a
 * window takes 30 seconds (conn.c).
 *
 * Threads: owner only.
 */
#ifndef WSGI_FCGI_NET_HTTP_PACE_H
#define WSGI_FCGI_NET_HTTP_PACE_H

#include "net/http/request.h"

/* More of the body is to come: `late` is called at the end of each window until http_pace_ends. It must call
 * http_pace_look, and begin the next one or end the request. Nothing happens when a window has begun already. */
void http_pace_begins(struct http_request *q, void (*late)(struct timeout *to));
void http_pace_ends(struct http_request *q);

/* The request whose window `late` is told of. */
struct http_request *http_pace_request(struct timeout *to);

/* The window ends. Returns what is wrong with what came in it, or NOT_REFUSED. */
enum refusal http_pace_look(struct http_request *q);

#endif
