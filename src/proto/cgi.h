/* Reads the CGI variables that the server itself needs, and normalises them so that every proxy's stock configuration
 * works (RFC 3875, 4.1; PEP 3333, "environ Variables").
 *
 * cgi_scan goes over the pairs of a PARAMS stream once, and again only to compare them with an earlier request
 * (`memo`). *vars holds no copies: slices point into the caller's bytes or into constants. A path joined from two
 * variables is given as two slices.
 *
 * Threads: any. Pure: no I/O, no allocation, no lock.
 */
#ifndef WSGI_FCGI_PROTO_CGI_H
#define WSGI_FCGI_PROTO_CGI_H

#include "proto/cgi_memo.h"
#include "proto/cgi_names.h"
#include "proto/params.h"

#include <stdbool.h>
#include <stdint.h>

struct cgi_vars {
    struct slice method;       /* REQUEST_METHOD; "GET" when it is missing or empty */
    struct slice script_name;  /* normalised; "" or "/..." without a trailing slash */
    struct slice path_info[2]; /* normalised; the two parts joined; the second is often empty */
    struct slice query;        /* QUERY_STRING; "" when missing */
    struct slice request_uri;  /* as sent; empty when missing. Log lines use it. */
    struct slice server_name;  /* never empty, without a port */
    struct slice server_port;  /* never empty, digits */
    struct slice remote_addr;  /* as sent; empty when missing */
    struct slice protocol;     /* SERVER_PROTOCOL; "HTTP/1.0" when missing or empty (PEP 3333 requires the key) */
    struct slice request_id;   /* HTTP_X_REQUEST_ID as sent; a NULL when missing */
    struct slice traceparent;  /* HTTP_TRACEPARENT as sent; a NULL when missing */
    struct slice tracestate;   /* HTTP_TRACESTATE as sent, of several the last one; a NULL when missing */
    int64_t content_length;    /* -1: unknown, read the body to its end */
    bool https;                /* wsgi.url_scheme is "https" */
    bool path_encoded;         /* path_info has percent-encoded bytes; http_target_decode decodes each part */
    uint32_t npairs;
    uint32_t key; /* hash of the method and the first two segments of the path (its first 64 bytes at most): requests
                       that behave alike */
    struct cgi_likeness like; /* to earlier requests */
    struct slice bad;         /* with CGI_MALFORMED only: the bad parameter's name; empty if the pairs are bad */
};

enum cgi_result {
    CGI_OK,
    CGI_MALFORMED, /* a pair is cut off, a name holds a NUL byte, a value breaks the rules of cgi_rules.h, or the path
                      is none (cgi_set_paths): only `bad` has a meaning */
    CGI_OUTSIDE,   /* the path is outside the mount point (cgi_paths.h); all variables are set */
};

/* Reads the `len` bytes of a complete PARAMS stream. `prefix` is the mount point of --script-name: "" or "/x" without a
 * trailing slash; it must live as long as *vars. If a variable comes twice, the last one counts.
 *
 * Paths: see cgi_paths.h. Length: absent, empty, negative, not a number, or beyond 2^63-1 mean -1.
 *
 * `memo` is used and updated, by one scan at a time. It does not change the result, except for the hashes, which use
 * its key, and for the likeness. NULL: no memo, and a key that is public. */
enum cgi_result cgi_scan(const char *params, size_t len, struct slice prefix, struct cgi_memo *memo,
                         struct cgi_vars *vars);

#endif
