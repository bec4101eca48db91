/* The bytes of the requests that fcgi-load sends, built before the run. */
#ifndef WSGI_FCGI_BENCH_LOAD_REQUEST_H
#define WSGI_FCGI_BENCH_LOAD_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

struct request_spec {
    const char *uri;   /* path, "/" first */
    const char *query; /* without "?"; "" when there is none */
    size_t body;       /* bytes; 0 makes it a GET */
    bool keep;         /* FCGI_KEEP_CONN; HTTP: without it, Connection: close */
    bool http;         /* HTTP/1.1 instead of FastCGI */
};

struct blob {
    char *data;
    size_t len;
};

/* On the wire: `first`, then `block` so many times, then `last`. A body of a gigabyte takes no memory that way. */
struct request {
    struct blob first, block, last;
    size_t blocks;
};

/* Builds the same request for the request ids 1 to `count` (HTTP: 1). Returns an array of `count`, or NULL with errno
 * ENOMEM. */
struct request *request_build(const struct request_spec *spec, unsigned count);

void request_free(struct request *all, unsigned count);

/* Bytes on the wire. */
size_t request_length(const struct request *r);

/* Describes the bytes from `skip` on, as far as `max` pieces reach. Returns the number of pieces, 0 at the end. */
unsigned request_pieces(const struct request *r, size_t skip, struct iovec *pieces, unsigned max);

#endif
