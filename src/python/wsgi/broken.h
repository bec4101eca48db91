/* The application in the place of one that does not load (--reload): it answers every request with 500 and a page that
 * shows why.
 *
 * Threads: GIL held.
 */
#ifndef WSGI_FCGI_PYTHON_WSGI_BROKEN_H
#define WSGI_FCGI_PYTHON_WSGI_BROKEN_H

#include <Python.h>
#include <stddef.h>

/* `text`, in UTF-8, is what the page shows, without its middle when it is long. New reference to something that can be
 * called as an application, or NULL with an exception. */
PyObject *broken_new(const char *text, size_t len);

#endif
