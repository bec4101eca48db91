/* The body of an HTTP/1.1 request: its end, by Content-Length or by the chunked coding, which is taken off (RFC 9112,
 * sections 6 and 7.1). Extensions of chunks and trailers are checked and skipped.
 *
 * The framing of chunks is decoded here and not by llhttp, whose releases differ in what they let through around
 * extensions (version 8 refuses legal ones, and takes some that are none). Trailers are fields, so they are llhttp's.
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
    HTTP_FRAMING_MAX = 16384 /* bytes between two pieces of a body: chunk sizes with extensions, and the trailers */
};

/* Gets the bytes of a body, in order; not called with 0 of them. */
typedef void http_body_fn(void *arg, const char *data, size_t len);

/* Where the decoder of chunks stands: in front of the first byte of the next part, or within it. */
enum http_chunk_state {
    HTTP_CHUNK_START,       /* the first digit of a size */
    HTTP_CHUNK_SIZE,        /* behind one */
    HTTP_CHUNK_BLANK,       /* blanks that only a semicolon may follow */
    HTTP_CHUNK_NAME_START,  /* behind a semicolon */
    HTTP_CHUNK_NAME,        /* of an extension */
    HTTP_CHUNK_NAME_BLANK,  /* blanks behind it */
    HTTP_CHUNK_VALUE_START, /* behind "=" */
    HTTP_CHUNK_VALUE,
    HTTP_CHUNK_QUOTED,
    HTTP_CHUNK_QUOTED_PAIR, /* behind a backslash */
    HTTP_CHUNK_QUOTED_END,
    HTTP_CHUNK_LINE_END, /* behind CR */
    HTTP_CHUNK_DATA,
    HTTP_CHUNK_DATA_END,
    HTTP_CHUNK_DATA_CR,
    HTTP_CHUNK_TRAILERS,
    HTTP_CHUNK_BAD
};

/* Made ready by http_parse_head. */
struct http_body {
    llhttp_t llhttp; /* of the trailers */
    bool chunked;
    bool ended;
    enum http_chunk_state state; /* of a chunked body */
    uint64_t left;               /* bytes of the body whose length is known, or of the chunk */
    size_t framing;              /* bytes since the last one of the body */
    struct http_lines trailers;
};

enum http_body_result {
    HTTP_BODY_MORE, /* all bytes were taken */
    HTTP_BODY_END,  /* the body has ended; what is at *pos belongs to the next request */
    HTTP_BODY_BAD   /* *why says what is wrong with it */
};

/* Takes bytes from *pos on, which is moved. Behind the end of the body it takes none. */
enum http_body_result http_body_decode(struct http_body *body, const char **pos, const char *end, http_body_fn *put,
                                       void *arg, const char **why);

/* For http_parse_head: the llhttp of *body has parsed the header section of a chunked request. */
void http_body_begin_chunks(struct http_body *body);

#endif
