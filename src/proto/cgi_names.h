/* What the name of a parameter says: which variable of the server's it is, what becomes of it in the environ, and whether
 * its value may be kept.
 *
 * Pure: no I/O, no allocation, no lock.
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

/* A name that is none of these is CGI_VAR_FIELD or CGI_VAR_OTHER. */
enum cgi_var cgi_find_var(struct slice name);

/* What is to become of a parameter in the WSGI environ. */
enum cgi_class {
    CGI_PASS,   /* set it as it is; when it is repeated, the last one wins; HTTP_HOST too */
    CGI_HEADER, /* any other HTTP_* header: repeated ones are joined with ", " (RFC 9110, section 5.3) */
    CGI_COOKIE, /* HTTP_COOKIE: joined with "; " (RFC 6265, section 5.4) */
    CGI_DROP,   /* never shown: HTTP_PROXY, HTTP_CONTENT_LENGTH, HTTP_CONTENT_TYPE, HTTP_TRANSFER_ENCODING,
                   FCGI_ROLE, the empty name, and all that begins with "wsgi." or "wsgi_fcgi." */
    CGI_OWN,    /* set from struct cgi_vars instead: SCRIPT_NAME, PATH_INFO, QUERY_STRING, CONTENT_LENGTH,
                   REQUEST_METHOD, SERVER_NAME, SERVER_PORT, SERVER_PROTOCOL */
};

/* Depends on the name alone, so that the answer can be cached with it. */
enum cgi_class cgi_classify(struct slice name);

/* Whether the name says that its value tells who a person is, or lets somebody in (cookies, credentials, what a client
 * certificate says, the query): such values are not kept beyond the request. */
bool cgi_is_personal(struct slice name);

/* Nor are those with a query, whatever the name is: REQUEST_URI, HTTP_REFERER, and the many names of original URLs. */
static inline bool cgi_has_query(struct slice value) {
    return value.n && memchr(value.p, '?', value.n);
}

#endif
