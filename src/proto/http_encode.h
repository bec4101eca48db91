/* Writes and checks parts of an HTTP/1.1 answer (RFC 9112, 4, 6 and 7.1; RFC 9110, 5.6.7).
 *
 * Threads: any. Pure: no I/O, no allocation, no lock.
 */
#ifndef WSGI_FCGI_PROTO_HTTP_ENCODE_H
#define WSGI_FCGI_PROTO_HTTP_ENCODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

enum {
    HTTP_CHUNK_HEAD_MAX = 18, /* 16 hexadecimal digits, CR, LF */
    HTTP_DATE_LEN = 29        /* "Sun, 06 Nov 1994 08:49:37 GMT" */
};

/* Writes what precedes a chunk of `len` bytes: at most HTTP_CHUNK_HEAD_MAX bytes. Returns how many. CR and LF must
 * follow the chunk. */
size_t http_put_chunk_head(char *out, size_t len);

/* Writes the HTTP_DATE_LEN bytes of a date, without a NUL. The year has at most four digits. */
void http_put_date(char *out, time_t seconds);

/* Which fields the answer has already, so that the server does not add its own. */
struct http_fields {
    bool has_date, has_server, has_length;
};

/* Looks through lines "Name: value", each ending in CR and LF. */
void http_scan_fields(struct http_fields *fields, const char *lines, size_t len);

#endif
