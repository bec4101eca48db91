/* Parses the header of the PROXY protocol, versions 1 and 2 (The PROXY protocol, HAProxy Technologies, 2020): what a
 * proxy that passes bytes through says about the connection, at its beginning.
 *
 * Threads: any. Pure: no I/O, no allocation, no lock.
 */
#ifndef WSGI_FCGI_PROTO_PROXY_HEADER_H
#define WSGI_FCGI_PROTO_PROXY_HEADER_H

#include "proto/forwarded.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    PROXY_V1_MAX = 107,  /* section 2.1, with CR and LF */
    PROXY_V2_MAX = 2048, /* section 2.2 allows 64 KiB, but nobody sends more addresses and TLVs than this */
};

struct proxy_header {
    bool local;   /* the proxy speaks for itself: the addresses of the connection count */
    bool unknown; /* the proxy speaks for a client, but does not say which */
    union peer_address source, destination;
};

enum proxy_result {
    PROXY_MORE, /* the bytes so far may become a header */
    PROXY_OK,   /* *used bytes are a header */
    PROXY_BAD
};

enum proxy_result proxy_header_parse(const char *data, size_t len, struct proxy_header *header, size_t *used);

#endif
