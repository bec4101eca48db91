/* The header section of an HTTP/1.1 request (RFC 9112, sections 2 to 6): from its bytes to the parameters that FastCGI
 * would have brought, so that everything above deals with one form only.
 *
 * The request line is read here: any token is a method (RFC 9110, 9.1), any bytes but blanks and controls are a target.
 * llhttp checks the grammar of the fields. What it lets through for the sake of old peers is refused here and in
 * http_lines.h, because a proxy in front may have read the same bytes in another way: folded lines, bare line feeds,
 * fields without a name, a transfer coding besides "chunked".
 *
 * Pure: no I/O, no allocation, no lock. Slices point into the caller's bytes or into constants.
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
    struct slice host;   /* of an absolute-form target, which counts more (RFC 9112, 3.2.2), else of the Host field */
    bool has_host;
    unsigned minor; /* the version is 1.0, or 1.1, for which later ones are taken (RFC 9110, 2.5) */
    unsigned nfields;
    int64_t content_length; /* of the body; 0: there is none; -1: it comes in chunks */
    bool keep_alive;        /* the client can use the connection for another request (RFC 9112, 9.3) */
    bool expects_continue;  /* RFC 9110, 10.1.1 */
    bool head_only;         /* the method is HEAD */
};

/* Why a request is not served. */
struct http_refusal {
    const char *status; /* "400 Bad Request" */
    const char *why;    /* for the log */
};

/* How many bytes the parameters from a section of `len` bytes take at most. */
static inline size_t http_params_max(size_t len) {
    return 4 * len + 256;
}

/* Parses a whole section, whose end http_lines_scan has found. Writes these parameters to `params`, where there is room
 * for http_params_max(len) bytes, and their length to *nparams:
 *     REQUEST_METHOD, SERVER_PROTOCOL, PATH_INFO (decoded), QUERY_STRING, REQUEST_URI (as sent),
 *     CONTENT_TYPE and CONTENT_LENGTH when they are there, HTTP_* for all other fields but Host.
 * Fields with an underscore in their name are left out: the name of another one may look the same in that form.
 * Makes *body ready for the bytes behind the section. Returns false with *refusal when the request cannot be served. */
bool http_parse_head(const char *data, size_t len, struct http_head *head, char *params, size_t *nparams,
                     struct http_body *body, struct http_refusal *refusal);

#endif
