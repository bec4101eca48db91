/* Text that the application reports errors with (wsgi.errors): where it goes, line by line.
 *
 * Lines go to the log, to the web server of the request, or to both. A line that is not complete yet is kept for its
 * thread, up to 8 KiB, so that lines of several threads do not mix.
 *
 * Open it when such text should go somewhere else. What the application sees of it is python/wsgi/errors.h.
 */
#ifndef WSGI_FCGI_PYTHON_ERROR_LINES_H
#define WSGI_FCGI_PYTHON_ERROR_LINES_H

#include <stddef.h>

/* Where text goes, a set of base/error_destinations.h: the log (the default), and the web server of the request that
 * the thread runs (python/running.h). It goes to the log as well when no web server can have it: there is no
 * request, its peer is gone or speaks HTTP, or this is a child (python/child.h). Main thread, before there is text. */
void error_lines_set_destinations(unsigned set);

/* Passes complete lines on, and keeps the rest for this thread. Any thread, without the GIL: it may have to wait. */
void error_lines_write(const char *text, size_t len);

/* Writes out the calling thread's incomplete line, if there is one. Costs next to nothing when there is none.
 * Any thread, GIL held: it is released while the line is written. Calls no Python. */
void error_lines_flush(void);

#endif
