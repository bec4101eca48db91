/* What the value of a parameter has to be, whether a web server has sent it or it was made of an HTTP request: who is
 * refused over one protocol must not get in over the other. The method, the host, header fields and the target are
 * written by the client, and not every web server looks at them.
 *
 *     REQUEST_METHOD                          a token, or empty (RFC 9110, 9.1 and 5.6.2)
 *     HTTP_HOST                               a name or an address, and maybe a port; or empty (RFC 9110, 7.2)
 *     HTTP_*, CONTENT_TYPE                    no control characters but TAB (RFC 9110, 5.5)
 *     REQUEST_URI, QUERY_STRING               no control characters (RFC 3986, 2); "*" only for OPTIONS (RFC 9110, 7.1)
 *     SCRIPT_NAME, PATH_INFO, DOCUMENT_URI    no NUL: they are decoded, and may hold any other byte
 *
 * The web server's own parameters are left alone: a certificate has line ends in it.
 *
 * Pure: no I/O, no allocation, no lock.
 */
#ifndef WSGI_FCGI_PROTO_CGI_RULES_H
#define WSGI_FCGI_PROTO_CGI_RULES_H

#include "proto/params.h"

#include <stdbool.h>

/* RFC 9110, 5.6.2: one character or more of those that names are made of. */
bool cgi_is_token(struct slice s);

/* Neither control characters nor DEL. */
bool cgi_is_target(struct slice s);

/* The same, but for TAB. */
bool cgi_is_field_value(struct slice s);

bool cgi_has_nul(struct slice s);

#endif
