/* Text of Python objects in messages for people: escaped (log_escape), cut where it does not fit, always terminated.
 *
 * Open it when a message should show something of an object of the application.
 *
 * Threads: any, GIL held, no exception pending; none is pending on return.
 */
#ifndef WSGI_FCGI_PYTHON_APP_TEXT_H
#define WSGI_FCGI_PYTHON_APP_TEXT_H

#include <Python.h>
#include <stdbool.h>
#include <stddef.h>

/* A str, with what cannot be printed escaped, in `out` of `size` bytes, which it returns; "?" when `str` is none. `str`
 * may be NULL, as a call that failed returns it: the exception may be pending then, and is cleared. */
const char *text_of(PyObject *str, char *out, size_t size);

/* The same for an attribute of `obj`. False and "" when it has none, or none that is a str. */
bool text_of_attr(PyObject *obj, const char *name, char *out, size_t size);

#endif
