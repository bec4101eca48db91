/* Parses what proxies say about the client in header fields: X-Forwarded-For and the like, X-Real-IP, Forwarded (RFC
 * 7239). Whether to believe it is for net/peer.h.
 *
 * Threads: any. Pure: no I/O, no allocation, no lock. Slices point into the caller's bytes.
 */
#ifndef WSGI_FCGI_PROTO_FORWARDED_H
#define WSGI_FCGI_PROTO_FORWARDED_H

#include "proto/params.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

/* An address of IPv4 or IPv6 with a port. */
union peer_address {
    struct sockaddr sa; /* sa_family is AF_INET or AF_INET6 */
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
};

/* The fields in which proxies describe the client. */
enum forwarded_kind {
    FORWARDED_X,         /* X-Forwarded-For and the like */
    FORWARDED_X_REAL_IP, /* X-Real-IP for the address, and X-Forwarded-* for the rest */
    FORWARDED_RFC7239    /* Forwarded */
};

enum { FORWARDED_HOPS = 32 /* proxies looked at, the nearest ones */ };

/* The items of a field, which may have come in several lines. */
struct forwarded_list {
    struct slice items[FORWARDED_HOPS];
    size_t count;
};

/* Appends the comma-separated items of a value of X-Forwarded-*, without surrounding white space. If there are more
 * than FORWARDED_HOPS, the last ones are kept: the nearest proxy appends behind the others. */
void forwarded_append(struct forwarded_list *list, struct slice value);

/* The same for the elements of a value of Forwarded (RFC 7239, 4), in which commas within quoted strings do not
 * separate. A proxy appends to what others have written, including its client. So text that is not an element, and
 * everything before it in this value and in earlier ones, is left out; it does not affect the elements behind it. */
void forwarded_append_elements(struct forwarded_list *list, struct slice value);

/* Parses an address in any form that proxies write: 192.0.2.7, 192.0.2.7:80, 2001:db8::7, [2001:db8::7],
 * [2001:db8::7]:80, each perhaps in quotes. The port is 0 if there is none. Returns false for anything else, such as
 * "unknown" or an obfuscated name. */
bool forwarded_address(struct slice text, union peer_address *address);

/* The value of a parameter of a Forwarded element ("for", "proto", "host"), without quotes; empty if there is none, or
 * if it contains escaped characters. If there are several, the last one counts. */
struct slice forwarded_parameter(struct slice element, const char *name);

#endif
