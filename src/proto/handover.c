#include "config.h"

#include "proto/handover.h"

#include <string.h>

enum { FLAG_UNIX = 1, FLAG_USED = 2, FLAG_ASKED = 4, FLAG_UNREAD = 8, FLAGS = 15 };

/* Offsets. */
enum {
    AT_VERSION = 0,
    AT_HOPS = 1,
    AT_PROTOCOL = 2,
    AT_FLAGS = 3,
    AT_PROXY = 4,
    AT_ZERO = 5,
    AT_LISTENER = 6,
    AT_REQUESTS = 8,
    AT_LEFTOVER = 12,
    AT_ACTIVE = 16,
    AT_PEER = 24,
    AT_CLIENT = 48,
    AT_SERVER = 72
};

/* Of an address. */
enum { AT_FAMILY = 0, AT_PORT = 2, AT_SCOPE = 4, AT_BYTES = 8, ADDRESS_SIZE = 24 };

static void put_number(uint8_t *out, size_t bytes, uint64_t number) {
    for (size_t i = 0; i < bytes; i++)
        out[i] = (uint8_t)(number >> 8 * i);
}

static uint64_t number(const uint8_t *at, size_t bytes) {
    uint64_t n = 0;
    for (size_t i = bytes; i-- > 0;)
        n = n << 8 | at[i];
    return n;
}

/* Addresses. */

static void put_address(uint8_t *out, const union peer_address *a) {
    if (a->sa.sa_family == AF_INET) {
        out[AT_FAMILY] = 4;
        put_number(out + AT_PORT, 2, ntohs(a->in.sin_port));
        memcpy(out + AT_BYTES, &a->in.sin_addr, sizeof a->in.sin_addr);
    } else if (a->sa.sa_family == AF_INET6) {
        out[AT_FAMILY] = 6;
        put_number(out + AT_PORT, 2, ntohs(a->in6.sin6_port));
        put_number(out + AT_SCOPE, 4, a->in6.sin6_scope_id);
        memcpy(out + AT_BYTES, &a->in6.sin6_addr, sizeof a->in6.sin6_addr);
    }
}

static bool is_zero(const uint8_t *at, size_t len) {
    while (len && !at[len - 1])
        len--;
    return !len;
}

/* Returns false if it is none that put_address has written. */
static bool read_address(const uint8_t *at, union peer_address *a) {
    memset(a, 0, sizeof *a);
    a->sa.sa_family = AF_UNSPEC;
    if (at[1])
        return false;
    switch (at[AT_FAMILY]) {
    case 0:
        return is_zero(at, ADDRESS_SIZE);
    case 4:
        a->in.sin_family = AF_INET;
        a->in.sin_port = htons((uint16_t)number(at + AT_PORT, 2));
        memcpy(&a->in.sin_addr, at + AT_BYTES, sizeof a->in.sin_addr);
        return is_zero(at + AT_SCOPE, 4) && is_zero(at + AT_BYTES + 4, 12);
    case 6:
        a->in6.sin6_family = AF_INET6;
        a->in6.sin6_port = htons((uint16_t)number(at + AT_PORT, 2));
        a->in6.sin6_scope_id = (uint32_t)number(at + AT_SCOPE, 4);
        memcpy(&a->in6.sin6_addr, at + AT_BYTES, sizeof a->in6.sin6_addr);
        return true;
    default:
        return false;
    }
}

/* Messages. */

size_t handover_put(const struct handover_message *m, uint8_t out[static HANDOVER_HEAD_MAX]) {
    memset(out, 0, HANDOVER_FIXED_SIZE);
    out[AT_VERSION] = HANDOVER_VERSION;
    out[AT_PROTOCOL] = (uint8_t)m->protocol;
    out[AT_FLAGS] = (uint8_t)((m->is_unix ? FLAG_UNIX : 0) | (m->used ? FLAG_USED : 0) | (m->asked ? FLAG_ASKED : 0) |
                              (m->unread ? FLAG_UNREAD : 0));
    out[AT_PROXY] = (uint8_t)m->proxy;
    put_number(out + AT_LISTENER, 2, m->listener.n);
    put_number(out + AT_REQUESTS, 4, m->requests);
    put_number(out + AT_LEFTOVER, 4, m->leftover.n);
    put_number(out + AT_ACTIVE, 8, m->active_at);
    if (!m->is_unix)
        put_address(out + AT_PEER, &m->peer);
    if (m->proxy == HANDOVER_PROXY_ADDRESSES) {
        put_address(out + AT_CLIENT, &m->client);
        put_address(out + AT_SERVER, &m->server);
    }
    if (m->listener.n)
        memcpy(out + HANDOVER_FIXED_SIZE, m->listener.p, m->listener.n);
    return HANDOVER_FIXED_SIZE + m->listener.n;
}

static bool read_peers(const uint8_t *data, struct handover_message *m) {
    if (!read_address(data + AT_PEER, &m->peer) || !read_address(data + AT_CLIENT, &m->client) ||
        !read_address(data + AT_SERVER, &m->server))
        return false;
    bool named = m->client.sa.sa_family != AF_UNSPEC && m->server.sa.sa_family != AF_UNSPEC,
         nobody = m->client.sa.sa_family == AF_UNSPEC && m->server.sa.sa_family == AF_UNSPEC;
    return (m->peer.sa.sa_family == AF_UNSPEC) == m->is_unix && (m->proxy == HANDOVER_PROXY_ADDRESSES ? named : nobody);
}

/* What only one of the protocols has is not there in the other. */
static bool is_possible(const struct handover_message *m) {
    switch (m->protocol) {
    case HANDOVER_FASTCGI:
        return m->proxy == HANDOVER_NOT_PROXIED;
    case HANDOVER_HTTP:
        return m->proxy <= HANDOVER_PROXY_ADDRESSES && !m->asked && !m->unread;
    default:
        return false;
    }
}

enum handover_result handover_parse(const uint8_t *data, size_t len, struct handover_message *m) {
    if (len < 2)
        return HANDOVER_BAD;
    if (data[AT_VERSION] != HANDOVER_VERSION)
        return data[AT_VERSION] ? HANDOVER_OTHER_VERSION : HANDOVER_BAD;
    if (len < HANDOVER_FIXED_SIZE || data[AT_FLAGS] & ~FLAGS || data[AT_ZERO])
        return HANDOVER_BAD;
    size_t listener = (size_t)number(data + AT_LISTENER, 2), leftover = (size_t)number(data + AT_LEFTOVER, 4);
    if (listener > HANDOVER_LISTENER_MAX || leftover > HANDOVER_LEFTOVER_MAX ||
        len != HANDOVER_FIXED_SIZE + listener + leftover)
        return HANDOVER_BAD;
    const char *texts = (const char *)data + HANDOVER_FIXED_SIZE;
    *m = (struct handover_message){.protocol = (enum handover_protocol)data[AT_PROTOCOL],
                                   .is_unix = data[AT_FLAGS] & FLAG_UNIX,
                                   .used = data[AT_FLAGS] & FLAG_USED,
                                   .asked = data[AT_FLAGS] & FLAG_ASKED,
                                   .unread = data[AT_FLAGS] & FLAG_UNREAD,
                                   .proxy = (enum handover_proxy)data[AT_PROXY],
                                   .requests = (uint32_t)number(data + AT_REQUESTS, 4),
                                   .active_at = number(data + AT_ACTIVE, 8),
                                   .listener = {texts, listener},
                                   .leftover = {texts + listener, leftover}};
    return is_possible(m) && read_peers(data, m) ? HANDOVER_OK : HANDOVER_BAD;
}

bool handover_hop(uint8_t *data, size_t len) {
    return len > AT_HOPS && data[AT_HOPS] < HANDOVER_HOPS_MAX && ++data[AT_HOPS];
}
