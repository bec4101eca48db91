/* The bytes of the requests that fcgi-load sends, built before the run. */
#ifndef WSGI_FCGI_BENCH_LOAD_REQUEST_H
#define WSGI_FCGI_BENCH_LOAD_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

struct request_spec {
    const char *uri;   /* path, "/" first */
    const char *query; /* without "?"; "" when there is none */
    size_t body;       /* bytes; 0 makes it a GET */
    bool keep;         /* FCGI_KEEP_CONN */
    bool http;         /* HTTP/1.1 instead of FastCGI */
};

struct blob {
    char *data;
    size_t len;
};

/* Builds the same request for the request ids 1 to `count` (HTTP: 1). Returns an array of `count`, allocated with
 * malloc like the data of each, or NULL with errno ENOMEM. */
struct blob *request_build(const struct request_spec *spec, unsigned count);

#endif
