/* The sockets of --status: HTTP/1.1 for the status page alone. It is there also in a program without HTTP, needs
 * nothing but a loop, and has limits of its own, so that it answers when the server has no room for anything else. In a
 * single process it is in the loop of the lane; with workers in that of the supervisor, which answers also when all of
 * them are dead.
 *
 *     GET / or HEAD /      the page, in the form that Accept or ?format= chooses (status/status.h)
 *     GET /metrics         the same; where neither chooses, for Prometheus
 *     anything else        is refused (proto/status_head.h)
 *
 * One request on a connection. A peer has STATUS_SERVER_HEAD_S to send it, and STATUS_SERVER_SEND_S to take the answer.
 * When STATUS_SERVER_CLIENTS are connected, one that has not sent its request by then gives way to the next, or else
 * one that does not take its answer. Who may connect is for net/listen/allow.h.
 *
 * Threads: the one that runs the loop.
 */
#ifndef WSGI_FCGI_NET_STATUS_SERVER_H
#define WSGI_FCGI_NET_STATUS_SERVER_H

#include "net/listen/allow.h"
#include "net/listen/listener.h"

#include <stdbool.h>

struct ev_loop;
struct status_page;
struct status_server;

enum {
    STATUS_SERVER_CLIENTS = 32,
    STATUS_SERVER_HEAD_S = 5,
    STATUS_SERVER_SEND_S = 10,
    STATUS_SERVER_LINGER_S = 1,        /* for the end of the peer's side, once the answer is sent */
    STATUS_SERVER_LINGER_MAX = 1 << 20 /* bytes that are read and dropped meanwhile */
};

/* Accepts on those of `listeners` that are LISTENER_STATUS, from now on. The set, the rules and the page outlive it.
 * Returns NULL with errno ENOMEM. */
struct status_server *status_server_new(struct ev_loop *loop, struct listener_set *listeners, struct allow_rules *allow,
                                        struct status_page *page);

/* Whether somebody is connected who has yet to get an answer, or the rest of it. */
bool status_server_is_busy(const struct status_server *server);

/* Accepts no more, and closes these listeners. Who is connected gets an answer. May be called again. */
void status_server_stop(struct status_server *server);

/* Closes all connections, and leaves the listeners alone. NULL: does nothing. */
void status_server_free(struct status_server *server);

#endif
