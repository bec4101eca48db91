/* wsgi.errors: the text stream that applications report errors to (PEP 3333, "Input and Error Streams").
 *
 * One object serves all requests and threads. Lines go where python/error_lines.h says, encoded as UTF-8; what UTF-8 cannot
 * encode (lone surrogates) becomes backslash escapes.
 *
 * It has what io.TextIOWrapper has, `buffer` for bytes included, and isinstance() says that it is an io.TextIOBase. As it
 * is everybody's, close() and the end of a with statement only write out what is there; what reads, moves or detaches
 * raises io.UnsupportedOperation.
 *
 * Open it when a library wants to do something with the stream that it cannot.
 */
#ifndef WSGI_FCGI_PYTHON_WSGI_ERRORS_H
#define WSGI_FCGI_PYTHON_WSGI_ERRORS_H

#include <Python.h>

/* Returns a new reference, or NULL with an exception set. GIL held. */
PyObject *errors_new(void);

#endif
