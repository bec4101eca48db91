/* What proxies say about the client in header fields: X-Forwarded-For and its kin, X-Real-IP, Forwarded (RFC 7239).
 *
 * Pure: no I/O, no allocation, no lock. Slices point into the caller's bytes.
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

/* In which fields proxies speak of the client. */
enum forwarded_kind {
    FORWARDED_X,         /* X-Forwarded-For and its kin */
    FORWARDED_X_REAL_IP, /* X-Real-IP for the address, and X-Forwarded-* for all else */
    FORWARDED_RFC7239    /* Forwarded */
};

enum { FORWARDED_HOPS = 32 /* nearest ones that are looked at */ };

/* The items of a field, which may have come in several lines. */
struct forwarded_list {
    struct slice items[FORWARDED_HOPS];
    size_t count;
};

/* Appends the items that stand between the commas of a value of X-Forwarded-*, without the white space around them. Of more
 * than FORWARDED_HOPS the last ones are kept: the nearest proxy writes behind the others. */
void forwarded_append(struct forwarded_list *list, struct slice value);

/* The same of the elements of a value of Forwarded (RFC 7239, 4), where commas within quoted strings do not count. A
 * proxy appends to what others have written, its client among them: what is no element, and all that stands in front of
 * it in this value and in earlier ones, is left out, and it changes nothing about the elements behind it. */
void forwarded_append_elements(struct forwarded_list *list, struct slice value);

/* Takes an address in any form that proxies write: 192.0.2.7, 192.0.2.7:80, 2001:db8::7, [2001:db8::7],
 * [2001:db8::7]:80, all of them maybe in quotes. The port is 0 when there is none. Returns false for anything else, such
 * as "unknown" or an obfuscated name. */
bool forwarded_address(struct slice text, union peer_address *address);

/* The value of a parameter of an element of Forwarded ("for", "proto", "host"), without quotes; empty when there is none
 * or it has escaped characters in it. Of several the last one counts. */
struct slice forwarded_parameter(struct slice element, const char *name);

#endif
