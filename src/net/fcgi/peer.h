/* Who the client of a FastCGI request is, when the web server's own peer is a proxy (net/peer.h).
 *
 * Threads: owner only.
 */
#ifndef WSGI_FCGI_NET_FCGI_PEER_H
#define WSGI_FCGI_NET_FCGI_PEER_H

#include "net/peer.h"

/* For a request from a trusted web server. If the web server's own peer is trusted too, changes the parameters so that
 * they describe the client: REMOTE_ADDR, REMOTE_PORT, REMOTE_HOST, HTTPS, REQUEST_SCHEME, HTTP_HOST, SERVER_NAME,
 * SERVER_PORT; and makes room for the prefix (peer_reserve_prefix). *said is what was read; all zeros if nothing
 * counts. Returns 0, or -1 with errno ENOMEM. */
int fcgi_peer_params(struct peer_said *said, const struct lane_config *config, struct buf *params);

#endif
