#include "config.h"

#include "net/http/peer.h"

#include "proto/handover.h"

#include <string.h>
#include <sys/socket.h>

static char *put_text(char *at, const char *end, struct slice name, struct slice value) {
    size_t n = params_put(at, (size_t)(end - at), name, value);
    return n <= (size_t)(end - at) ? at + n : at;
}

/* Made once for all requests of a connection. */
static void make_params(struct http_peer *peer, const struct sockaddr *server) {
    char text[INET6_ADDRSTRLEN], port[8];
    char *at = peer->params, *end = peer->params + sizeof peer->params;
    const struct sockaddr *remote = (const void *)&peer->address;
    if (server) {
        at = put_text(at, end, LITERAL("SERVER_ADDR"), peer_address_text(server, text));
        at = put_text(at, end, LITERAL("SERVER_PORT"), peer_port_text(peer_port(server), port));
    }
    peer->nserver = (unsigned)(at - peer->params);
    /* A process of this machine has no address: the name is there all the same, as RFC 3875, 4.1.8 asks for. */
    at = put_text(at, end, LITERAL("REMOTE_ADDR"), peer_address_text(remote, text));
    if (remote->sa_family != AF_UNIX)
        at = put_text(at, end, LITERAL("REMOTE_PORT"), peer_port_text(peer_port(remote), port));
    peer->nparams = (unsigned)(at - peer->params);
}

void http_peer_init(struct http_peer *peer, const struct lane_config *config, int fd, bool is_unix,
                    const struct sockaddr *sa, socklen_t len) {
    struct sockaddr_storage own = {0};
    socklen_t own_len = sizeof own;
    peer->address = (struct sockaddr_storage){.ss_family = AF_UNIX};
    peer->proxied = peer->unknown = false;
    if (!is_unix && len <= sizeof peer->address)
        memcpy(&peer->address, sa, len);
    peer->trusted = peer_connection_is_trusted(config, is_unix, sa, len);
    bool known = !is_unix && !getsockname(fd, (struct sockaddr *)&own, &own_len);
    make_params(peer, known ? (const struct sockaddr *)&own : NULL);
}

void http_peer_proxied(struct http_peer *peer, const struct lane_config *config, const struct proxy_header *header) {
    if (header->local)
        return;
    if (header->unknown) {
        peer->trusted = false; /* the input comes from an unknown client */
        peer->unknown = true;
        return;
    }
    peer->proxied = true;
    peer->server = header->destination;
    peer->address = (struct sockaddr_storage){0};
    memcpy(&peer->address, &header->source, sizeof header->source);
    peer->trusted = peer_is_trusted(config, (const struct sockaddr *)&peer->address);
    make_params(peer, &header->destination.sa);
}

void http_peer_describe(const struct http_peer *peer, struct handover_message *m) {
    if (peer->unknown)
        m->proxy = HANDOVER_PROXY_UNKNOWN;
    if (!peer->proxied)
        return;
    m->proxy = HANDOVER_PROXY_ADDRESSES;
    memcpy(&m->client, &peer->address, sizeof m->client);
    m->server = peer->server;
}

static int put_client(const struct http_peer *peer, const struct peer_said *said, struct buf *params) {
    if (said->known)
        return peer_put_client(said, params);
    return buf_append(params, peer->params + peer->nserver, peer->nparams - peer->nserver);
}

/* The port on which the proxy was reached: what the proxy says, or the one in the host, or that of the scheme; not the
 * port of this socket. */
static int put_server(const struct http_peer *peer, const struct peer_said *said, struct buf *params) {
    char port[8];
    if (said->port)
        return peer_put(params, LITERAL("SERVER_PORT"), peer_port_text(said->port, port));
    if (said->host[0] || said->scheme != PEER_SCHEME_UNSAID)
        return 0;
    return buf_append(params, peer->params, peer->nserver);
}

static int put_said(const struct http_peer *peer, const struct peer_said *said, const struct http_head *head,
                    struct buf *params) {
    bool moved = said->host[0];
    if (put_server(peer, said, params) || put_client(peer, said, params))
        return -1;
    if ((head->has_host || moved) &&
        peer_put(params, LITERAL("HTTP_HOST"), moved ? (struct slice){said->host, strlen(said->host)} : head->host))
        return -1;
    return said->scheme == PEER_SCHEME_HTTPS ? peer_put(params, LITERAL("HTTPS"), LITERAL("on")) : 0;
}

int http_peer_params(const struct http_peer *peer, const struct lane_config *config, const struct http_head *head,
                     struct buf *params, struct peer_said *said) {
    if (peer->trusted) {
        peer_read(said, config, params);
        return put_said(peer, said, head, params) ? -1 : peer_reserve_prefix(said, config, params);
    }
    if (buf_append(params, peer->params, peer->nparams))
        return -1;
    return head->has_host ? peer_put(params, LITERAL("HTTP_HOST"), head->host) : 0;
}
