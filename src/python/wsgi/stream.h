/* What wsgi.input and wsgi.errors have in common with the streams of the io module.
 *
 * GIL held.
 */
#ifndef WSGI_FCGI_PYTHON_WSGI_STREAM_H
#define WSGI_FCGI_PYTHON_WSGI_STREAM_H

#include <Python.h>

/* Makes a type ready whose objects isinstance() takes for streams of `base`, a class of io: libraries that ask whether
 * something is a binary stream (pandas) ask for that. Returns 0, or -1 with an exception. */
int stream_type_ready(PyTypeObject *type, const char *base);

/* Raises io.UnsupportedOperation. Returns NULL. */
PyObject *stream_unsupported(const char *why);

#endif
