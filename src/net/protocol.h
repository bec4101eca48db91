/* What a lane asks of the protocols that its connections speak: struct protocol. What a connection asks of its own is in
 * struct conn_ops (net/conn.h), what an answer asks in struct answer_ops (request/request.h). A front end (net/fcgi/,
 * net/http/) has one object of each.
 *
 * A listener says which protocol its peers speak (listener.h).
 *
 * Threads: owner only.
 */
#ifndef WSGI_FCGI_NET_PROTOCOL_H
#define WSGI_FCGI_NET_PROTOCOL_H

#include "net/listen/listener.h"
#include "net/timeouts.h"

#include <sys/queue.h>
#include <sys/socket.h>

struct lane;

struct protocol {
    /* A connection was accepted from the peer whose address is given. Closes `fd` when there is no memory. */
    void (*accept)(struct lane *lane, int fd, const struct listener *l, const struct sockaddr *peer, socklen_t len);
    /* Frees what is left in the front end's pool of a lane that ends. */
    void (*free_pool)(struct lane *lane);
};

/* Connections and requests of a front end that are kept for reuse. */
struct fcgi_pool {
    LIST_HEAD(, fcgi_conn) conns;
    LIST_HEAD(, fcgi_request) requests;
    unsigned nconns, nrequests;
};

struct http_pool {
    LIST_HEAD(, http_conn) conns;
    LIST_HEAD(, http_request) requests;
    unsigned nconns, nrequests;
};

#endif
