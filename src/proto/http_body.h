/* The body of an HTTP/1.1 request: its end, by Content-Length or by the chunked coding, which is taken off (RFC 9112,
 * sections 6 and 7.1). Trailers are checked and skipped.
 *
 * Pure: no I/O, no allocation, no lock.
 */
#ifndef WSGI_FCGI_PROTO_HTTP_BODY_H
#define WSGI_FCGI_PROTO_HTTP_BODY_H

#include "proto/http_lines.h"

#include <llhttp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HTTP_FRAMING_MAX = 16384 /* bytes between two pieces of a body: chunk sizes with extensions, or the trailers */
};

/* Gets the bytes of a body, in order; not called with 0 of them. */
typedef void http_body_fn(void *arg, const char *data, size_t len);

/* Made ready by http_parse_head. */
struct http_body {
    llhttp_t llhttp; /* of the chunks */
    bool chunked;
    bool in_trailers;
    bool ended;
    uint64_t left;  /* bytes, of a body whose length is known */
    size_t framing; /* bytes since the last one of the body */
    struct http_lines trailers;

    const char *mark; /* within http_body_decode: bytes up to here are counted */
    http_body_fn *put;
    void *arg;
};

enum http_body_result {
    HTTP_BODY_MORE, /* all bytes were taken */
    HTTP_BODY_END,  /* the body has ended; what is at *pos belongs to the next request */
    HTTP_BODY_BAD   /* *why says what is wrong with it */
};

/* Takes bytes from *pos on, which is moved. Behind the end of the body it takes none. */
enum http_body_result http_body_decode(struct http_body *body, const char **pos, const char *end, http_body_fn *put,
                                       void *arg, const char **why);

/* For http_parse_head: the llhttp of *body has parsed a header, and now goes on with the chunks. */
void http_body_begin_chunks(struct http_body *body);

#endif
