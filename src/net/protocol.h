/* What a lane asks of the protocols that its connections speak: struct protocol. What a connection asks of its own is in
 * struct conn_ops (net/conn.h), what an answer asks in struct answer_ops (request/request.h). A front end (net/fcgi/,
 * net/http/) has one object of each.
 *
 * A listener says which protocol its peers speak (listener.h); a lane is given those that it may meet (lane_config).
 *
 * Threads: owner only.
 */
#ifndef WSGI_FCGI_NET_PROTOCOL_H
#define WSGI_FCGI_NET_PROTOCOL_H

#include "net/listen/listener.h"

#include <sys/socket.h>

struct lane;

struct protocol {
    /* Makes what the front end keeps for a lane that begins, such as connections for reuse and lists of time-outs. Returns
     * NULL with errno. */
    void *(*state_new)(struct lane *lane);
    /* Frees that, when all connections of the lane have ended, and its loop is gone. */
    void (*state_free)(void *state);
    /* A connection was accepted from the peer whose address is given. Closes `fd` when there is no memory. */
    void (*accept)(void *state, int fd, const struct listener *l, const struct sockaddr *peer, socklen_t len);
};

#endif
