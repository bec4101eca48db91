/* What the application returned: a list or tuple, a wrapped file, or any other iterable of bytes (PEP 3333).
 *
 * Open it for how each of them becomes the body, and for the error about anything else.
 *
 * GIL held.
 */
#ifndef WSGI_FCGI_PYTHON_WSGI_RESULT_H
#define WSGI_FCGI_PYTHON_WSGI_RESULT_H

#include "python/wsgi/call.h"

/* Sends all of it, or stores it for the end of the request. Runs code of the application. */
enum call_sent result_send(struct wsgi_call *call, PyObject *result);

/* Calls its close(), if it has one, at the end of the request, however that ended (PEP 3333, "Specification Details"). An
 * exception is logged. */
void result_close(struct wsgi_call *call, PyObject *result);

#endif
