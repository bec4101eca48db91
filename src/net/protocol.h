/* What a front end (net/fcgi/, net/http/) offers to a lane: struct protocol. Open this file to add a protocol. What a
 * connection asks of its protocol is struct conn_ops (net/conn.h); what an answer asks is struct answer_ops
 * (request/request.h). A front end has one object of each.
 *
 * A listener tells which protocol its peers speak (net/listen/listener.h); the protocols themselves are given to the
 * lane in struct lane_config.
 *
 * Threads: owner only.
 */
#ifndef WSGI_FCGI_NET_PROTOCOL_H
#define WSGI_FCGI_NET_PROTOCOL_H

#include "net/listen/listener.h"

#include <sys/socket.h>

struct handover_message;
struct lane;

struct protocol {
    /* Makes the state that the front end keeps for a new lane, such as connections for reuse and lists of time-outs.
     * Returns NULL with errno. */
    void *(*state_new)(struct lane *lane);
    /* Frees the state, when all connections of the lane have ended and its loop is gone. */
    void (*state_free)(void *state);
    /* Takes over a connection that was accepted from the given peer. Closes `fd` if there is no memory. */
    void (*accept)(void *state, int fd, const struct listener *l, const struct sockaddr *peer, socklen_t len);
    /* The same for a connection that another process has given away (struct conn_ops.give). Goes on with what is left
     * over, which `m` points to. */
    void (*take)(void *state, int fd, const struct listener *l, const struct sockaddr *peer, socklen_t len,
                 const struct handover_message *m);
};

#endif
