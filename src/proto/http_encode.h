/* What an HTTP/1.1 answer is made of (RFC 9112, sections 4, 6 and 7.1; RFC 9110, 5.6.7).
 *
 * Pure: no I/O, no allocation, no lock.
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

/* Writes what stands in front of a chunk of `len` bytes, at most HTTP_CHUNK_HEAD_MAX of them. Returns how many. Behind
 * a chunk stand CR and LF. */
size_t http_put_chunk_head(char *out, size_t len);

/* Writes the HTTP_DATE_LEN bytes of a date, without a NUL. The year has at most four digits. */
void http_put_date(char *out, time_t seconds);

/* What the fields of an answer say that the server would say otherwise. */
struct http_fields {
    bool has_date, has_server, has_length;
};

/* Looks through lines "Name: value" that each end in CR and LF. */
void http_scan_fields(struct http_fields *fields, const char *lines, size_t len);

#endif
