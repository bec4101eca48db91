/* Who sent a request over HTTP/1.1: the peer of the connection or, if trusted proxies say so, a client behind it (the
 * PROXY protocol; the fields of net/peer.h).
 *
 * Threads: owner only.
 */
#ifndef WSGI_FCGI_NET_HTTP_PEER_H
#define WSGI_FCGI_NET_HTTP_PEER_H

#include "base/buf.h"
#include "net/lane_config.h"
#include "net/peer.h"
#include "proto/http_head.h"
#include "proto/proxy_header.h"

#include <stdbool.h>

enum { HTTP_PEER_PARAMS_MAX = 192 };

struct handover_message;

struct http_peer {
    struct sockaddr_storage address; /* AF_UNIX: a process of this machine */
    bool trusted;                    /* the peer is trusted about the client */
    bool proxied;                    /* a PROXY header has named the client, which has connected to `server`... */
    bool unknown;                    /* ...or has not */
    union peer_address server;
    unsigned nserver, nparams; /* bytes of `params`: of SERVER_*, and of that with REMOTE_* */
    char params[HTTP_PEER_PARAMS_MAX];
};

/* Fills *peer for an accepted connection. */
void http_peer_init(struct http_peer *peer, const struct lane_config *config, int fd, bool is_unix,
                    const struct sockaddr *sa, socklen_t len);

/* Takes over what a PROXY header says. */
void http_peer_proxied(struct http_peer *peer, const struct lane_config *config, const struct proxy_header *header);

/* What another process must be told for http_peer_proxied. */
void http_peer_describe(const struct http_peer *peer, struct handover_message *m);

/* Appends to the parameters of a request: SERVER_ADDR, SERVER_PORT, REMOTE_ADDR, REMOTE_PORT, HTTP_HOST and HTTPS, as
 * far as they are known. If the peer is trusted, looks at the fields of proxies, and *said tells what was found there,
 * for peer_set_prefix; else *said is not set. Returns 0, or -1 with errno ENOMEM. */
int http_peer_params(const struct http_peer *peer, const struct lane_config *config, const struct http_head *head,
                     struct buf *params, struct peer_said *said);

#endif
