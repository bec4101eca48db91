/* The WSGI environ of a request, filled straight from its FastCGI parameters (PEP 3333, "environ Variables").
 *
 * Names are made into Python strings once per process, and so are values that come again and again (python/names.h); what
 * is like an earlier request starts as a copy of its environ (plan.h). Cookies and credentials are not kept. All functions: GIL held.
 */
#ifndef WSGI_FCGI_PYTHON_WSGI_ENVIRON_H
#define WSGI_FCGI_PYTHON_WSGI_ENVIRON_H

#include <Python.h>

#include "python/wsgi/call.h"

#include <stdbool.h>

/* Makes what all requests of the lane share; `errors` and `file_wrapper` (borrowed) become wsgi.errors and wsgi.file_wrapper. Call
 * once. Returns 0, or -1 with an exception. */
int environ_init(struct pylane *lane, PyObject *errors, PyObject *file_wrapper, bool multithread);

/* New dictionary for the request of `call`; NULL with an exception. */
PyObject *environ_new(struct wsgi_call *call);

/* Frees what belongs to the interpreter and is large; strings go with it. */
void environ_fini(struct pylane *lane);

#endif
