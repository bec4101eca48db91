/* Where the text goes with which the application reports errors: a set of these, which an option names and
 * python/error_lines.h follows. */
#ifndef WSGI_FCGI_BASE_ERROR_DESTINATIONS_H
#define WSGI_FCGI_BASE_ERROR_DESTINATIONS_H

enum {
    ERRORS_TO_LOG = 1, /* the server's log */
    ERRORS_TO_PEER = 2 /* the web server of the request */
};

#endif
