/* The message by which a process of the server gives a connection to another one (net/handover.h): all that is known of
 * it, beside its descriptor. Both run on the same machine, but may be of different versions.
 *
 *      0         1         2         3         4         5         6         7
 *     +---------+---------+---------+---------+---------+---------+---------+---------+
 *     | version | hops    | protocol| flags   | proxy   | 0       | length of listener|
 *     +---------+---------+---------+---------+---------+---------+---------+---------+
 *     | requests                              | length of leftover                    |
 *     +---------+---------+---------+---------+---------+---------+---------+---------+
 *     | active_at                                                                     |
 *     +---------+---------+---------+---------+---------+---------+---------+---------+
 *     peer[24] client[24] server[24] listener leftover
 *
 * Numbers have their least significant byte first. An address is a byte for its family (0: none, 4, 6), a zero, the
 * port in two, the scope of IPv6 in four, and the address in sixteen bytes. The first two bytes are the same in all
 * versions.
 *
 * Threads: any. Pure: no I/O, no allocation, no lock. Slices point into the caller's bytes.
 */
#ifndef WSGI_FCGI_PROTO_HANDOVER_H
#define WSGI_FCGI_PROTO_HANDOVER_H

#include "proto/forwarded.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HANDOVER_VERSION = 1,
    HANDOVER_HOPS_MAX = 255,
    HANDOVER_LISTENER_MAX = 512,   /* bytes */
    HANDOVER_LEFTOVER_MAX = 16384, /* bytes */
    HANDOVER_FIXED_SIZE = 96,
    HANDOVER_HEAD_MAX = HANDOVER_FIXED_SIZE + HANDOVER_LISTENER_MAX /* a message without what is left over */
};

/* The numbers are part of the message. */
enum handover_protocol { HANDOVER_FASTCGI = 1, HANDOVER_HTTP = 2 };

/* What a PROXY header has said about an HTTP connection. */
enum handover_proxy {
    HANDOVER_NOT_PROXIED = 0,    /* there was none; or it said that the proxy speaks for itself */
    HANDOVER_PROXY_AWAITED = 1,  /* it must come first, and has not come, or not all of it */
    HANDOVER_PROXY_UNKNOWN = 2,  /* the proxy speaks for a client that it does not name */
    HANDOVER_PROXY_ADDRESSES = 3 /* who the client is, and where it has connected: `client` and `server` */
};

struct handover_message {
    enum handover_protocol protocol;
    bool is_unix;              /* the peer is a process of this machine... */
    union peer_address peer;   /* ...or has this address; else AF_UNSPEC */
    bool used;                 /* it has sent something */
    bool asked;                /* FastCGI: it has asked GET_VALUES */
    bool unread;               /* FastCGI: the body of a request was not read to its end */
    enum handover_proxy proxy; /* HTTP */
    union peer_address client, server;
    uint32_t requests;     /* so far */
    uint64_t active_at;    /* when something was last received or sent, by clock_ns of base/clock.h */
    struct slice listener; /* the socket that it was accepted from, as text; at most HANDOVER_LISTENER_MAX */
    struct slice leftover; /* received and not yet handled; at most HANDOVER_LEFTOVER_MAX */
};

/* Writes a message, without what is left over: those bytes are sent behind it. Returns its length. Addresses other than
 * those of IPv4 and IPv6 are written as none. */
size_t handover_put(const struct handover_message *m, uint8_t out[static HANDOVER_HEAD_MAX]);

enum handover_result {
    HANDOVER_OK,            /* *m is filled */
    HANDOVER_OTHER_VERSION, /* another process may understand it */
    HANDOVER_BAD            /* nobody has written this, or not all of it is here */
};

enum handover_result handover_parse(const uint8_t *data, size_t len, struct handover_message *m);

/* Counts in a message of any version that a process has passed it on unread. Returns false when it has gone round for
 * too long. */
bool handover_hop(uint8_t *data, size_t len);

#endif
