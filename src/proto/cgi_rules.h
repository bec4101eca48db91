/* Checks the values of parameters, whether a web server sent them or they were made from an HTTP request. The rules are
 * the same for both protocols, so that what one refuses does not get in over the other. The method, the host, header
 * fields and the target are written by the client, and not every web server checks them.
 *
 *     REQUEST_METHOD                          a token, or empty (RFC 9110, 9.1 and 5.6.2)
 *     HTTP_HOST                               a name or an address, and maybe a port; or empty (RFC 9110, 7.2)
 *     HTTP_*, CONTENT_TYPE                    no control characters but TAB (RFC 9110, 5.5)
 *     REQUEST_URI, QUERY_STRING               no control characters (RFC 3986, 2); "*" only for OPTIONS (RFC 9110, 7.1)
 *     SCRIPT_NAME, PATH_INFO, DOCUMENT_URI    no NUL: they are decoded, and may hold any other byte
 *
 * The web server's own parameters are not checked: a certificate contains line ends.
 *
 * `is_good` in cgi.c applies these rules; that of HTTP_HOST is http_is_authority, that of "*" is in cgi_paths.c.
 *
 * Threads: any. Pure: no I/O, no allocation, no lock.
 */
#ifndef WSGI_FCGI_PROTO_CGI_RULES_H
#define WSGI_FCGI_PROTO_CGI_RULES_H

#include "proto/params.h"

#include <stdbool.h>

/* Whether it is a token: one or more characters of a name (RFC 9110, 5.6.2). */
bool cgi_is_token(struct slice s);

/* Whether it has neither control characters nor DEL. */
bool cgi_is_target(struct slice s);

/* The same, except that TAB is allowed. */
bool cgi_is_field_value(struct slice s);

bool cgi_has_nul(struct slice s);

#endif
