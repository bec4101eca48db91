/* Tells what the name of a parameter means: which variable it is, what happens to it in the environ, and whether its
 * value may be kept. Add a parameter that the server reads, or one that must be dropped, here.
 *
 * Threads: any. Pure: no I/O, no allocation, no lock.
 */
#ifndef WSGI_FCGI_PROTO_CGI_NAMES_H
#define WSGI_FCGI_PROTO_CGI_NAMES_H

#include "proto/params.h"

#include <stdbool.h>
#include <string.h>

/* The variables that the server reads, and two kinds of others. */
enum cgi_var {
    CGI_VAR_OTHER,
    CGI_VAR_FIELD, /* a header field */
    /* Fields that the server reads for itself; what the application is told of the request does not depend on them. */
    CGI_VAR_HTTP_TRACEPARENT,
    CGI_VAR_HTTP_TRACESTATE,
    CGI_VAR_HTTP_X_REQUEST_ID,
    CGI_VAR_LAST_LABEL = CGI_VAR_HTTP_X_REQUEST_ID,
    CGI_VAR_CONTENT_LENGTH,
    CGI_VAR_DOCUMENT_URI,
    CGI_VAR_HTTPS,
    CGI_VAR_HTTP_HOST,
    CGI_VAR_PATH_INFO,
    CGI_VAR_QUERY_STRING,
    CGI_VAR_REMOTE_ADDR,
    CGI_VAR_REQUEST_METHOD,
    CGI_VAR_REQUEST_SCHEME,
    CGI_VAR_REQUEST_URI,
    CGI_VAR_SCRIPT_NAME,
    CGI_VAR_SERVER_ADDR,
    CGI_VAR_SERVER_NAME,
    CGI_VAR_SERVER_PORT,
    CGI_VAR_SERVER_PROTOCOL,
    CGI_VAR_COUNT
};

/* Finds the variable of a name. Any other name is CGI_VAR_FIELD or CGI_VAR_OTHER. */
enum cgi_var cgi_find_var(struct slice name);

/* Whether other values in struct cgi_vars, or what the application is told, are made of this variable. */
static inline bool cgi_var_counts(enum cgi_var var) {
    return var > CGI_VAR_LAST_LABEL;
}

/* What happens to a parameter in the WSGI environ. */
enum cgi_class {
    CGI_PASS,   /* set as it is; if repeated, the last one wins; HTTP_HOST too */
    CGI_HEADER, /* any other HTTP_* header: repeated ones are joined with ", " (RFC 9110, section 5.3) */
    CGI_COOKIE, /* HTTP_COOKIE: joined with "; " (RFC 6265, section 5.4) */
    CGI_DROP,   /* never shown: HTTP_PROXY, HTTP_CONTENT_LENGTH, HTTP_CONTENT_TYPE, HTTP_TRANSFER_ENCODING,
                   FCGI_ROLE, the empty name, and all that begins with "wsgi." or "wsgi_fcgi." */
    CGI_OWN,    /* set from struct cgi_vars instead: SCRIPT_NAME, PATH_INFO, QUERY_STRING, CONTENT_LENGTH,
                   REQUEST_METHOD, SERVER_NAME, SERVER_PORT, SERVER_PROTOCOL; or from struct request:
                   HTTP_X_REQUEST_ID, HTTP_TRACEPARENT */
};

/* Depends on the name only, so the answer can be cached with it. */
enum cgi_class cgi_classify(struct slice name);

/* Whether the name tells that its value identifies a person or lets somebody in: cookies, credentials, sessions, users,
 * client certificates, the query. Such values are not kept beyond the request. */
bool cgi_is_personal(struct slice name);

/* Whether the value contains a query. Such values are not kept either, whatever their name: REQUEST_URI, HTTP_REFERER,
 * and the many names for original URLs. */
static inline bool cgi_has_query(struct slice value) {
    return value.n && memchr(value.p, '?', value.n);
}

#endif
