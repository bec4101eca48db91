/* Parses the target of an HTTP/1.1 request (RFC 9112, 3.2).
 *
 * Threads: any. Pure: no I/O, no allocation, no lock. Slices point into the caller's bytes or into constants.
 */
#ifndef WSGI_FCGI_PROTO_HTTP_TARGET_H
#define WSGI_FCGI_PROTO_HTTP_TARGET_H

#include "proto/params.h"

#include <stdbool.h>

struct http_target {
    struct slice authority; /* of the absolute-form, where user information is refused; else empty */
    struct slice path;      /* percent-encoded; "*" for the asterisk-form, "/" when an absolute-form has none */
    struct slice query;     /* without the question mark */
    bool absolute;
};

/* Splits the origin-form ("/where?q"), the absolute-form ("http://example.org/where") and the asterisk-form ("*").
 * Returns NULL, or what is wrong with the target. */
const char *http_target_parse(struct slice text, struct http_target *target);

/* Decodes the percent-encoded bytes of a path into `out`, which needs as many bytes as the path has. Returns how many
 * bytes it wrote; or SIZE_MAX for a malformed encoding, and for an encoded NUL byte, which would end the path wherever
 * C strings are used. */
size_t http_target_decode(struct slice path, char *out);

/* Whether `s` may be the value of Host: a name or an address, with or without a port (RFC 9110, 7.2; RFC 3986, 3.2). It
 * may be empty. */
bool http_is_authority(struct slice s);

#endif
