/* Decodes the body of an HTTP/1.1 request: finds its end, by Content-Length or by the chunked coding, and removes that
 * coding (RFC 9112, 6 and 7.1). Chunk extensions and trailers are checked and skipped.
 *
 * All of this is decoded here and not by llhttp, because releases of llhttp differ in which extensions and trailers
 * they accept (version 8 refuses legal extensions, and accepts some that are not).
 *
 * Threads: one at a time for each body. Pure: no I/O, no allocation, no lock.
 */
#ifndef WSGI_FCGI_PROTO_HTTP_BODY_H
#define WSGI_FCGI_PROTO_HTTP_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HTTP_FRAMING_MAX = 16384 /* bytes between two pieces of a body: chunk sizes with extensions, and the trailers */
};

/* Receives the bytes of a body, in order; never called with 0 bytes. */
typedef void http_body_fn(void *arg, const char *data, size_t len);

/* Where the decoder of chunks is: before the first byte of the next part, or within it. */
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
    HTTP_CHUNK_TRAILER_START, /* a line of the trailers, or the empty one */
    HTTP_CHUNK_TRAILER_NAME,
    HTTP_CHUNK_TRAILER_VALUE, /* behind the colon */
    HTTP_CHUNK_TRAILER_CR,
    HTTP_CHUNK_LAST_CR, /* of the empty line */
    HTTP_CHUNK_END,
    HTTP_CHUNK_BAD
};

/* Prepared by http_parse_head, or http_body_begin. */
struct http_body {
    bool chunked;
    bool ended;
    enum http_chunk_state state; /* of a chunked body */
    uint64_t left;               /* bytes left of a body of known length, or of the chunk */
    size_t framing;              /* bytes since the last byte of the body */
    size_t name;                 /* bytes of the name of the trailer so far */
    unsigned framing_field;      /* bits: the framing fields whose name it may still be */
};

enum http_body_result {
    HTTP_BODY_MORE, /* all bytes were taken */
    HTTP_BODY_END,  /* the body has ended; what is at *pos belongs to the next request */
    HTTP_BODY_BAD   /* *why says what is wrong with it; else *why means nothing */
};

/* Takes bytes from *pos on, and moves *pos. Takes none after the end of the body. */
enum http_body_result http_body_decode(struct http_body *body, const char **pos, const char *end, http_body_fn *put,
                                       void *arg, const char **why);

/* Prepares *body for a body of this length; -1: it comes in chunks. */
void http_body_begin(struct http_body *body, int64_t length);

#endif
