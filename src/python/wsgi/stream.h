/* What wsgi.input and wsgi.errors have in common with the streams of the io module.
 *
 * Open it when a library does not take one of them for a stream.
 *
 * GIL held.
 */
#ifndef WSGI_FCGI_PYTHON_WSGI_STREAM_H
#define WSGI_FCGI_PYTHON_WSGI_STREAM_H

#include <Python.h>

/* Makes a type ready, and lets isinstance() say that its objects are of `base`, a class of io: that is how libraries
 * ask whether something is a stream, and a binary one (pandas). Returns 0, or -1 with an exception. */
int stream_type_ready(PyTypeObject *type, const char *base);

/* Raises io.UnsupportedOperation. Returns NULL. */
PyObject *stream_unsupported(const char *why);

#endif
