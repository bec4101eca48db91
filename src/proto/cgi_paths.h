/* Computes SCRIPT_NAME and PATH_INFO from the four variables in which web servers give the path (RFC 3875, 4.1.5 and
 * 4.1.13; PEP 3333, "environ Variables"). Look here when a web server's paths come out wrong.
 *
 * Without --script-name:
 *   - A PATH_INFO that is not empty is trusted, and so is the SCRIPT_NAME in front of it. Two exceptions. If both are
 *     the same, and the path of REQUEST_URI is that too, SCRIPT_NAME is "" (old recipes, Yaws). If PATH_INFO follows
 *     it without a slash, as the rest of "/apple" follows "/app", REQUEST_URI tells whether that is CGI_OUTSIDE.
 *   - SCRIPT_NAME alone is the path (nginx, Apache, HAProxy), unless DOCUMENT_URI or the path of REQUEST_URI continues
 *     after it. Then it was set on purpose, and what follows is PATH_INFO (nginx: "fastcgi_param SCRIPT_NAME /app;"). A
 *     bare "/app" cannot be told from the path in nginx's stock configuration, so it becomes PATH_INFO. "/" is taken
 *     for a mount point if DOCUMENT_URI continues after it.
 *   - Without PATH_INFO, and with SCRIPT_NAME empty or missing, the path is that of DOCUMENT_URI, which is decoded, or
 *     of REQUEST_URI, which is not. A PATH_INFO that was sent empty is the path: Caddy has removed all of it.
 *
 * With --script-name, SCRIPT_NAME is that value. PATH_INFO depends on the path that the web server sends (SCRIPT_NAME
 * and PATH_INFO joined, or as above; PATH_INFO alone if REQUEST_URI shows that it is the whole path):
 *   - At or below the mount point: PATH_INFO is the rest, whatever REQUEST_URI is. The two may differ because the web
 *     server has rewritten the path, in an internal redirect (error_page, index) or for auth_request, and it did so on
 *     purpose. But if REQUEST_URI is the mount point plus that path, PATH_INFO is all of it: "/app/x" of "/app/app/x".
 *   - Elsewhere, with the path of REQUEST_URI at or below the mount point: all of it; the web server has removed the
 *     prefix.
 *   - Elsewhere, and REQUEST_URI too: CGI_OUTSIDE. A location of nginx or HAProxy that matches the text "/app" also
 *     lets "/apple" through.
 *   - Elsewhere, without REQUEST_URI: all of it, since nothing more is known.
 *
 * Whether a path is below another is decided as web servers do before they choose a location: decoded, with dot
 * segments resolved (RFC 3986, 5.2.4) and several slashes taken as one. "//app", "/%61pp" and "/./app" are "/app";
 * "/app/../x" is not. PATH_INFO itself is left as it was written.
 *
 * A path that lacks a leading slash gets one. For "OPTIONS *", PATH_INFO is empty, because it must be empty or begin
 * with a slash (RFC 3875, 4.1.5); the application answers for itself.
 *
 * Threads: any. Pure: no I/O, no allocation, no lock. Slices point into the caller's bytes or into constants.
 */
#ifndef WSGI_FCGI_PROTO_CGI_PATHS_H
#define WSGI_FCGI_PROTO_CGI_PATHS_H

#include "proto/cgi.h"

/* The variables as they were sent; empty if missing. */
struct cgi_paths {
    struct slice script_name, path_info, request_uri, document_uri;
    bool has_path_info; /* PATH_INFO was sent, though perhaps empty */
};

/* Sets script_name, path_info and path_encoded; vars->method must be set. CGI_MALFORMED: the path of REQUEST_URI was
 * needed and is badly encoded, or it is "*" and the method is not OPTIONS. With CGI_OUTSIDE everything is set as if
 * REQUEST_URI were missing. */
enum cgi_result cgi_set_paths(const struct cgi_paths *sent, struct slice prefix, struct cgi_vars *vars);

#endif
