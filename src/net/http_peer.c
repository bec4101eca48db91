#include "config.h"

#include "net/http_peer.h"

#include "base/ascii.h"
#include "proto/http_target.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define LITERAL(text) ((struct slice){(text), sizeof(text) - 1})

static int put(struct buf *params, struct slice name, struct slice value) {
    size_t n = params_put(NULL, 0, name, value);
    if (buf_reserve(params, n))
        return -1;
    params->end += params_put(buf_tail(params), n, name, value);
    return 0;
}

/* The address as text; that of an IPv4 peer on a socket for both is the IPv4 address. */
static struct slice address_text(const struct sockaddr *sa, char out[static INET6_ADDRSTRLEN]) {
    const union peer_address *a = (const void *)sa;
    out[0] = '\0';
    if (sa->sa_family == AF_INET)
        inet_ntop(AF_INET, &a->in.sin_addr, out, INET6_ADDRSTRLEN);
    else if (sa->sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&a->in6.sin6_addr))
        inet_ntop(AF_INET, &a->in6.sin6_addr.s6_addr[12], out, INET6_ADDRSTRLEN);
    else if (sa->sa_family == AF_INET6)
        inet_ntop(AF_INET6, &a->in6.sin6_addr, out, INET6_ADDRSTRLEN);
    return (struct slice){out, strlen(out)};
}

static struct slice port_text(const struct sockaddr *sa, char out[static 8]) {
    const union peer_address *a = (const void *)sa;
    unsigned port = ntohs(sa->sa_family == AF_INET ? a->in.sin_port : a->in6.sin6_port);
    return (struct slice){out, (size_t)snprintf(out, 8, "%u", port)};
}

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
        at = put_text(at, end, LITERAL("SERVER_ADDR"), address_text(server, text));
        at = put_text(at, end, LITERAL("SERVER_PORT"), port_text(server, port));
    }
    peer->nserver = (unsigned)(at - peer->params);
    /* A process of this machine has no address: the name is there all the same, as RFC 3875, 4.1.8 asks for. */
    at = put_text(at, end, LITERAL("REMOTE_ADDR"), address_text(remote, text));
    if (remote->sa_family != AF_UNIX)
        at = put_text(at, end, LITERAL("REMOTE_PORT"), port_text(remote, port));
    peer->nparams = (unsigned)(at - peer->params);
}

static bool is_trusted(const struct lane_config *config, const struct sockaddr *sa) {
    return config->forwarded && access_list_has(config->forwarded, sa, sizeof(struct sockaddr_storage));
}

void http_peer_init(struct http_peer *peer, const struct lane_config *config, int fd, bool is_unix,
                    const struct sockaddr *sa, socklen_t len) {
    struct sockaddr_storage own = {0};
    socklen_t own_len = sizeof own;
    peer->address = (struct sockaddr_storage){.ss_family = AF_UNIX};
    if (!is_unix && len <= sizeof peer->address)
        memcpy(&peer->address, sa, len);
    peer->trusted = is_trusted(config, (const struct sockaddr *)&peer->address);
    bool known = !is_unix && !getsockname(fd, (struct sockaddr *)&own, &own_len);
    make_params(peer, known ? (const struct sockaddr *)&own : NULL);
}

void http_peer_proxied(struct http_peer *peer, const struct lane_config *config, const struct proxy_header *header) {
    if (header->local)
        return;
    if (header->unknown) {
        peer->trusted = false; /* what comes is of a client whom nobody knows */
        return;
    }
    peer->address = (struct sockaddr_storage){0};
    memcpy(&peer->address, &header->source, sizeof header->source);
    peer->trusted = is_trusted(config, (const struct sockaddr *)&peer->address);
    make_params(peer, &header->destination.sa);
}

/* What trusted proxies say. */

struct client {
    bool known;
    union peer_address address;
    struct slice proto, host; /* empty: nothing was said */
};

struct fields {
    struct forwarded_list addresses, protos, hosts, forwarded;
};

static bool equals(struct slice s, const char *text) {
    return s.n == strlen(text) && !memcmp(s.p, text, s.n);
}

static void collect(struct fields *f, const struct buf *params) {
    const char *pos = buf_head(params), *end = buf_tail(params);
    struct params_pair pair;
    *f = (struct fields){0};
    while (pos && params_next(&pos, end, &pair) == PARAMS_PAIR) {
        if (equals(pair.name, "HTTP_X_FORWARDED_FOR"))
            forwarded_append(&f->addresses, pair.value);
        else if (equals(pair.name, "HTTP_X_FORWARDED_PROTO"))
            forwarded_append(&f->protos, pair.value);
        else if (equals(pair.name, "HTTP_X_FORWARDED_HOST"))
            forwarded_append(&f->hosts, pair.value);
        else if (equals(pair.name, "HTTP_FORWARDED"))
            forwarded_append_elements(&f->forwarded, pair.value);
    }
}

/* The client is the nearest address that is not one of a trusted proxy; if all are, the farthest. What stands behind
 * something that is no address was not written by anybody who is trusted. Returns which item it is. */
static size_t find_client(struct client *client, const struct lane_config *config, const struct forwarded_list *list,
                          bool rfc7239) {
    size_t found = list->count;
    for (size_t i = list->count; i-- > 0;) {
        union peer_address address;
        struct slice text = rfc7239 ? forwarded_parameter(list->items[i], "for") : list->items[i];
        if (!forwarded_address(text, &address))
            break;
        client->known = true;
        client->address = address;
        found = i;
        struct sockaddr_storage sa = {0};
        memcpy(&sa, &address, sizeof address);
        if (!is_trusted(config, (const struct sockaddr *)&sa))
            break;
    }
    return found;
}

static struct slice last_of(const struct forwarded_list *list) {
    return list->count ? list->items[list->count - 1] : LITERAL("");
}

static void read_client(struct client *client, const struct lane_config *config, const struct buf *params) {
    struct fields fields;
    collect(&fields, params);
    *client = (struct client){0};
    if (!config->forwarded_rfc7239) {
        find_client(client, config, &fields.addresses, false);
        client->proto = last_of(&fields.protos);
        client->host = last_of(&fields.hosts);
    } else {
        size_t found = find_client(client, config, &fields.forwarded, true);
        if (fields.forwarded.count) {
            /* Without an address the nearest proxy has at least said how it was reached. */
            struct slice element = fields.forwarded.items[found < fields.forwarded.count ? found : found - 1];
            client->proto = forwarded_parameter(element, "proto");
            client->host = forwarded_parameter(element, "host");
        }
    }
    if (!http_is_authority(client->host))
        client->host = LITERAL("");
}

static int put_client(const struct http_peer *peer, const struct client *client, struct buf *params) {
    char text[INET6_ADDRSTRLEN], port[8];
    const struct sockaddr *sa = &client->address.sa;
    if (!client->known)
        return buf_append(params, peer->params + peer->nserver, peer->nparams - peer->nserver);
    if (put(params, LITERAL("REMOTE_ADDR"), address_text(sa, text)))
        return -1;
    struct slice number = port_text(sa, port);
    return equals(number, "0") ? 0 : put(params, LITERAL("REMOTE_PORT"), number);
}

static int put_forwarded(const struct http_peer *peer, const struct lane_config *config, const struct http_head *head,
                         struct buf *params) {
    struct client client;
    read_client(&client, config, params);
    bool https = client.proto.n == 5 && ascii_equals_nocase(client.proto.p, "https", 5);
    /* The values may point into `params`, whose memory moves when it grows. */
    char host[256];
    bool moved = client.host.n && client.host.n <= sizeof host;
    struct slice name = moved ? (struct slice){host, client.host.n} : head->host;
    if (moved)
        memcpy(host, client.host.p, client.host.n);
    /* The port on which the proxy was reached is in the host, or that of the scheme: not the one of this socket. */
    bool elsewhere = moved || client.proto.n;
    if ((!elsewhere && buf_append(params, peer->params, peer->nserver)) || put_client(peer, &client, params))
        return -1;
    if ((head->has_host || moved) && put(params, LITERAL("HTTP_HOST"), name))
        return -1;
    return https ? put(params, LITERAL("HTTPS"), LITERAL("on")) : 0;
}

int http_peer_params(const struct http_peer *peer, const struct lane_config *config, const struct http_head *head,
                     struct buf *params) {
    if (peer->trusted)
        return put_forwarded(peer, config, head, params);
    if (buf_append(params, peer->params, peer->nparams))
        return -1;
    return head->has_host ? put(params, LITERAL("HTTP_HOST"), head->host) : 0;
}
