/* Finds the lines and the end of an HTTP/1.1 header section (RFC 9112, 2.2 and 5.2).
 *
 * A line ends in CR and LF, and does not begin with a space or tab. RFC 9112 lets a server be lenient in both; but then
 * a proxy and a server could see different requests in the same bytes. Nor does a line begin with a colon, because a
 * field has a name (RFC 9110, 5.1), which llhttp does not check.
 *
 * Threads: one at a time for each struct http_lines. Pure: no I/O, no allocation, no lock.
 */
#ifndef WSGI_FCGI_PROTO_HTTP_LINES_H
#define WSGI_FCGI_PROTO_HTTP_LINES_H

#include <stddef.h>

/* Zeroed at the beginning of a section. */
struct http_lines {
    size_t length; /* bytes of the line so far */
    size_t nlines; /* lines that have ended */
    char last;     /* the last byte seen */
};

enum http_lines_result {
    HTTP_LINES_MORE, /* all bytes belong to the section */
    HTTP_LINES_END,  /* *used bytes belong to the section; the last two are the empty line */
    HTTP_LINES_BARE_LF,
    HTTP_LINES_FOLDED,  /* a line begins with a space or tab */
    HTTP_LINES_NAMELESS /* a line begins with a colon */
};

/* Goes through the next `len` bytes of a section, which may be cut anywhere. */
enum http_lines_result http_lines_scan(struct http_lines *lines, const char *data, size_t len, size_t *used);

/* "a line ends in a bare LF" and the like, for the log. */
const char *http_lines_problem(enum http_lines_result result);

#endif
