/* SCRIPT_NAME and PATH_INFO, made of the four variables in which web servers tell the path (RFC 3875, 4.1.5 and 4.1.13;
 * PEP 3333, "environ Variables").
 *
 * Without --script-name:
 *   - PATH_INFO that is not empty is trusted, and so is SCRIPT_NAME in front of it. But when both are the same, and
 *     the path of REQUEST_URI is that too, SCRIPT_NAME is "" (old recipes, Yaws). And when a PATH_INFO without a slash
 *     follows it, as the rest of "/apple" does after "/app", REQUEST_URI tells whether that is CGI_OUTSIDE.
 *   - SCRIPT_NAME alone is the path (nginx, Apache, HAProxy), unless DOCUMENT_URI or the path of REQUEST_URI goes on
 *     behind it: then it was set on purpose, and what follows is PATH_INFO (nginx: "fastcgi_param SCRIPT_NAME /app;"). A
 *     bare "/app" cannot be told from the path of nginx's stock configuration: PATH_INFO has it.
 *     "/" is taken for a mount point when DOCUMENT_URI goes on behind it.
 *   - No PATH_INFO, and no SCRIPT_NAME or an empty one: the path is that of DOCUMENT_URI, which is decoded, or of
 *     REQUEST_URI, which is not. A PATH_INFO that was sent empty is the path: Caddy has taken all of it off.
 *
 * With --script-name, SCRIPT_NAME is that, and what PATH_INFO is depends on where the path is that the web server sends
 * (SCRIPT_NAME and PATH_INFO joined, or as above; PATH_INFO alone when REQUEST_URI shows that it is the whole path):
 *   - at the mount point or below it: the rest, whatever REQUEST_URI is: it may be another one when the web server has
 *     rewritten the path, in a redirect of its own (error_page, index) or for auth_request, and that it did so on purpose.
 *     But all of it when REQUEST_URI is the mount point and that path: "/app/x" of "/app/app/x".
 *   - elsewhere, and the path of REQUEST_URI is at or below it: all of it; the web server has taken the prefix off.
 *   - elsewhere, and so is REQUEST_URI: CGI_OUTSIDE. A location of nginx or HAProxy that matches the text "/app" lets
 *     "/apple" through.
 *   - elsewhere, without REQUEST_URI: all of it, as nothing can be known.
 *
 * What is below what is compared as web servers do it before they choose a location: decoded, with dot segments resolved
 * (RFC 3986, 5.2.4) and several slashes taken for one. "//app", "/%61pp" and "/./app" are "/app"; "/app/../x" is not.
 * PATH_INFO itself stays as it is written.
 *
 * A path gets the slash in front that it lacks. That of "OPTIONS *" is empty: PATH_INFO is empty or begins with a slash
 * (RFC 3875, 4.1.5), and the application answers for itself.
 *
 * Pure: no I/O, no allocation, no lock. Slices point into the caller's bytes or into constants.
 */
#ifndef WSGI_FCGI_PROTO_CGI_PATHS_H
#define WSGI_FCGI_PROTO_CGI_PATHS_H

#include "proto/cgi.h"

/* As they were sent; empty when missing. */
struct cgi_paths {
    struct slice script_name, path_info, request_uri, document_uri;
    bool has_path_info; /* sent, if empty */
};

/* Sets script_name, path_info and path_encoded; vars->method is set already. CGI_MALFORMED: the path of REQUEST_URI had
 * to be taken and is badly encoded, or it is "*" without the method OPTIONS. With CGI_OUTSIDE all is set, as if
 * REQUEST_URI were missing. */
enum cgi_result cgi_set_paths(const struct cgi_paths *sent, struct slice prefix, struct cgi_vars *vars);

#endif
