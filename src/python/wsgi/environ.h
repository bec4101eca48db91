/* The WSGI environ of a request, made of its parameters (PEP 3333, "environ Variables").
 *
 * Open it to add a key, or to change what one holds.
 *
 * It is made for every request, so what comes again is used again: strings of names, and of values that stay the same
 * (python/name_cache.h), and the whole environ of an earlier request that looked like this one (python/wsgi/plan.h).
 * Cookies, credentials and values with a query are not kept.
 *
 * The label of a request (proto/request_id.h) is HTTP_X_REQUEST_ID whether the client has sent one or not, as a proxy
 * would have added it: that is where applications, and libraries for logs and traces, look for it. HTTP_TRACEPARENT is
 * there when the request belongs to a trace, and holds the parent of what the application records; one that is not
 * valid is left out, and the HTTP_TRACESTATE with it.
 *
 * All functions: GIL held.
 */
#ifndef WSGI_FCGI_PYTHON_WSGI_ENVIRON_H
#define WSGI_FCGI_PYTHON_WSGI_ENVIRON_H

#include <Python.h>

#include "python/wsgi/call.h"

#include <stdbool.h>

/* Makes what all requests of the lane share; `errors` and `file_wrapper` (borrowed) become wsgi.errors and
 * wsgi.file_wrapper. Call once. Returns 0, or -1 with an exception. */
int environ_init(struct pylane *lane, PyObject *errors, PyObject *file_wrapper, bool multithread, bool multiprocess);

/* Sets what tells a request the number of its worker. Before the first request. Returns 0, or -1 with an exception. */
int environ_set_worker(struct pylane *lane, unsigned number);

/* Makes a place for the label that each request has then (--request-id). Before the first request. Returns 0, or -1
 * with an exception. */
int environ_label_requests(struct pylane *lane);

/* New dictionary for the request of `call`; NULL with an exception. */
PyObject *environ_new(struct wsgi_call *call);

/* Frees what is large. Strings stay up to the end of Python. */
void environ_fini(struct pylane *lane);

#endif
