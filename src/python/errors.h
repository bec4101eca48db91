/* wsgi.errors: the text stream that applications report errors to (PEP 3333, "Input and Error Streams").
 *
 * One object serves all requests and threads. Lines go to the log as they are, encoded as UTF-8; what UTF-8 cannot
 * encode (lone surrogates) becomes backslash escapes. A line that is not complete yet is kept for its thread, up to
 * 8 KiB, so that print(..., file=environ["wsgi.errors"]) does not mix with what other threads write.
 *
 * It has what io.TextIOWrapper has, `buffer` for bytes included, and isinstance() says that it is an io.TextIOBase. As it
 * is everybody's, close() and the end of a with statement only write out what is there; what reads, moves or detaches
 * raises io.UnsupportedOperation.
 */
#ifndef WSGI_FCGI_PYTHON_ERRORS_H
#define WSGI_FCGI_PYTHON_ERRORS_H

#include <Python.h>

#include "request/request.h"

/* Returns a new reference, or NULL with an exception set. GIL held. */
PyObject *errors_new(void);

/* Where text goes, a set of WSGI_ERRORS_* of python/wsgi/wsgi.h: to the log (the default), to the web server of the request
 * that the thread runs, or to both. What cannot be passed to a web server, because there is no request or it is gone,
 * goes to the log. Call before the first request. */
void errors_set_destinations(unsigned set);

/* The calling thread runs this request from now on, until errors_end_request. */
void errors_begin_request(struct request *r);

/* The request that the calling thread runs, or NULL. Async-signal-safe. */
struct request *errors_request(void);

/* Writes out the calling thread's incomplete line, if there is one. Costs next to nothing when there is none.
 * Any thread, GIL held: it is released while the line is written, which may have to wait. Calls no Python. */
void errors_end_request(void);

#endif
