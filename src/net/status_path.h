/* The status page at a path of the server's own sockets (--status-path). The loop answers such requests by itself, and
 * they do not pass the scheduler: so they are answered also while every thread is stuck, the queue is full, or somebody
 * holds the interpreter lock.
 *
 * The path is that of PATH_INFO, below the mount point. Clients that may not see the page get a 403, and nothing of the
 * request reaches the application, so that a mistake in --status-allow does not change what the path means.
 *
 * Who the client is: what the application would see as REMOTE_ADDR. If proxies have added fields about the client, and
 * nobody has said that they are to be believed (--forwarded-allow), that is the address of a proxy: whose request it is
 * is not known, and the page is not for everybody who comes through that proxy. Nor is it for a browser of this machine
 * that a page of another site has ask by a name of its own (status_host_is_of_here). Behind a web server that is for the
 * names that this one serves.
 *
 * Threads: owner only.
 */
#ifndef WSGI_FCGI_NET_STATUS_PATH_H
#define WSGI_FCGI_NET_STATUS_PATH_H

#include "net/exchange.h"

/* What a front end knows about the client of a request, besides its parameters. */
enum status_path_client {
    STATUS_CLIENT_NAMED,    /* REMOTE_ADDR names it: */
    STATUS_CLIENT_PEER,     /* it is the peer itself, over TCP, which may be a browser; */
    STATUS_CLIENT_BELIEVED, /* because a trusted proxy has said so; */
    STATUS_CLIENT_LOCAL,    /* REMOTE_ADDR is empty: it is a process of this machine; */
    STATUS_CLIENT_UNKNOWN   /* or it cannot be known */
};

/* Looks at a request whose parameters were read. If its path is that of the page, sets x->status, or returns why it is
 * refused. Call it where lane_config.status_path is set only: the length of that is not 0. */
enum refusal status_path_look(struct exchange *x, enum status_path_client client);

/* Answers a request that has x->status, now or soon, and settles it, as if a call had ended. Never from within this
 * call. */
void status_path_answer(struct exchange *x);

#endif
