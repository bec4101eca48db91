/* Checks that the body of a request comes fast enough.
 *
 * The first byte must come within the time W of --header-timeout, counted from the end of the header section. After
 * that, --min-body-rate times W bytes must come in each window of length W, whatever came before: sending much at first
 * earns no credit for later. A timer checks at the end of each window. So a body that stands still is noticed, and
 * nothing has to be done for each byte that comes.
 *
 * A window does not count if the peer was kept from sending in it, because its connection was paused or because it
 * waited for "100 Continue". Without --header-timeout the first byte has the time of --idle-timeout, and a window takes
 * 30 seconds (protocol.c).
 *
 * Threads: owner only.
 */
#ifndef WSGI_FCGI_NET_HTTP_PACE_H
#define WSGI_FCGI_NET_HTTP_PACE_H

#include "net/http/request.h"

/* More of the body is to come: begins a window, and calls `late` at its end unless http_pace_ends is called before.
 * `late` must call http_pace_look, and begin the next window or stop waiting for the body. Does nothing if a window has
 * begun already, or if no window can make this body late. */
void http_pace_begins(struct http_request *q, void (*late)(struct timeout *to));
void http_pace_ends(struct http_request *q);

/* The window of one goes on as that of another, which stands in for it. */
void http_pace_moves(struct http_request *from, struct http_request *to);

/* The request whose window has ended, from the argument of `late`. */
struct http_request *http_pace_request(struct timeout *to);

/* Ends a window. Returns what is wrong with what came in it, or NOT_REFUSED. */
enum refusal http_pace_look(struct http_request *q);

#endif
