/* What the application can call in a request, beside start_response: write(), and environ["wsgi_fcgi.client_connected"].
 *
 * Open it to change one of them, or to add another.
 *
 * All functions: GIL held. "New reference" and errors (NULL or -1 with an exception set) as usual in the C API.
 */
#ifndef WSGI_FCGI_PYTHON_WSGI_CALLABLES_H
#define WSGI_FCGI_PYTHON_WSGI_CALLABLES_H

#include "python/wsgi/call.h"

/* Call once, before the others. Returns 0, or -1 with an exception. */
int callables_init(void);

/* New write(data), which start_response returns (PEP 3333, "The write() Callable"). */
PyObject *write_new(struct wsgi_call *call);

/* New client_connected(): True until the request has ended, or its peer is gone or has ended its side of the
 * connection; always False in a child. */
PyObject *connected_new(struct wsgi_call *call);

#endif
