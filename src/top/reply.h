/* Reads a whole answer, over FastCGI or HTTP/1.1: all bytes that came before the peer closed the connection.
 *
 * Threads: any. Pure: no I/O, no allocation.
 */
#ifndef WSGI_FCGI_TOP_REPLY_H
#define WSGI_FCGI_TOP_REPLY_H

#include "proto/params.h"
#include "top/target.h"

enum reply_result {
    REPLY_WHOLE,
    REPLY_NOTHING, /* the peer has closed the connection without a word */
    REPLY_CUT,     /* it began well, and its end is missing */
    REPLY_BAD,     /* it began well, and has no status */
    REPLY_FASTCGI, /* it is no HTTP, and looks like FastCGI */
    REPLY_HTTP,    /* the other way round */
    REPLY_NEITHER
};

/* Slices of the bytes that were read. */
struct reply {
    unsigned status;
    struct slice type; /* Content-Type; empty: none */
    struct slice body;
};

/* Reads the `len` bytes at `data`, and moves what it needs together there. */
enum reply_result reply_read(enum target_protocol protocol, char *data, size_t len, struct reply *r);

#endif
