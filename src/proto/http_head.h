/* Parses the header section of an HTTP/1.1 request (RFC 9112, 2 to 6) into the parameters that FastCGI would have
 * brought, so that everything above handles one form only.
 *
 * The request line is parsed here: any token is a method (RFC 9110, 9.1), any bytes except blanks and controls are a
 * target. llhttp checks the grammar of the fields. Some of what it accepts for the sake of old peers is refused here
 * and in http_lines.h, because a proxy in front may have read the same bytes differently: folded lines, bare line
 * feeds, fields without a name, a transfer coding other than "chunked".
 *
 * Threads: any. Pure: no I/O, no allocation, no lock. Slices point into the caller's bytes or into constants.
 */
#ifndef WSGI_FCGI_PROTO_HTTP_HEAD_H
#define WSGI_FCGI_PROTO_HTTP_HEAD_H

#include "proto/http_body.h"
#include "proto/params.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_head {
    struct slice method;
    struct slice target; /* as sent */
    struct slice host;   /* of an absolute-form target, which has precedence (RFC 9112, 3.2.2), or else of Host */
    bool has_host;
    unsigned minor; /* the version is 1.0, or 1.1; later ones count as 1.1 (RFC 9110, 2.5) */
    unsigned nfields;
    int64_t content_length; /* of the body; 0: no body; -1: it comes in chunks */
    bool keep_alive;        /* the client can use the connection for another request (RFC 9112, 9.3) */
    bool expects_continue;  /* RFC 9110, 10.1.1 */
    bool head_only;         /* the method is HEAD */
};

/* Why a request is not served. */
struct http_refusal {
    const char *status; /* "400 Bad Request" */
    const char *why;    /* for the log */
};

/* The most bytes that the parameters from a section of `len` bytes can take. */
static inline size_t http_params_max(size_t len) {
    return 4 * len + 256;
}

/* Parses a complete section, whose end http_lines_scan has found. Writes these parameters to `params`, which has room
 * for http_params_max(len) bytes, and their length to *nparams:
 *     REQUEST_METHOD, SERVER_PROTOCOL, PATH_INFO (decoded), QUERY_STRING, REQUEST_URI (as sent),
 *     CONTENT_TYPE and CONTENT_LENGTH if they are there, HTTP_* for all other fields but Host and Transfer-Encoding.
 *
 * Fields with an underscore in their name are left out, because the name of another field may look the same in that
 * form. Prepares *body for the bytes after the section. Returns false, with *refusal set, if the request cannot be
 * served. */
bool http_parse_head(const char *data, size_t len, struct http_head *head, char *params, size_t *nparams,
                     struct http_body *body, struct http_refusal *refusal);

#endif
