/* wsgi.errors: the text stream that applications report errors to (PEP 3333, "Input and Error Streams").
 *
 * Open it when a library wants to do something with the stream that it cannot.
 *
 * One object serves all requests and threads. Lines go where python/error_lines.h says, encoded as UTF-8; what UTF-8 cannot
 * encode (lone surrogates) becomes backslash escapes.
 *
 * It has what io.TextIOWrapper has, with `buffer` for bytes, and isinstance() says that it is an io.TextIOBase. As all
 * requests share it, close() and the end of a with statement only write out what is there. Reading, moving and detaching
 * raise io.UnsupportedOperation.
 */
#ifndef WSGI_FCGI_PYTHON_WSGI_ERRORS_H
#define WSGI_FCGI_PYTHON_WSGI_ERRORS_H

#include <Python.h>

/* Returns a new reference, or NULL with an exception set. GIL held. */
PyObject *errors_new(void);

#endif
