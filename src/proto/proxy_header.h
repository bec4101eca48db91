/* The PROXY protocol, versions 1 and 2 (The PROXY protocol, HAProxy Technologies, 2020): what a proxy that passes bytes
 * through says about the connection at its beginning.
 *
 * Pure: no I/O, no allocation, no lock.
 */
#ifndef WSGI_FCGI_PROTO_PROXY_HEADER_H
#define WSGI_FCGI_PROTO_PROXY_HEADER_H

#include "proto/forwarded.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    PROXY_V1_MAX = 107,  /* section 2.1, with CR and LF */
    PROXY_V2_MAX = 2048, /* section 2.2 lets it have 64 KiB: more than this of addresses and TLVs nobody sends */
};

struct proxy_header {
    bool local;   /* the proxy speaks for itself: the addresses of the connection count */
    bool unknown; /* it speaks for a client, but does not know which */
    union peer_address source, destination;
};

enum proxy_result {
    PROXY_MORE, /* what is there may become a header */
    PROXY_OK,   /* *used bytes are one */
    PROXY_BAD
};

enum proxy_result proxy_header_parse(const char *data, size_t len, struct proxy_header *header, size_t *used);

#endif
