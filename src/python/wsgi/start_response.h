/* start_response: what the application says of its answer, checked and stored as lines (PEP 3333, "The start_response()
 * Callable").
 *
 * Open it for what a status or a header may be, and for headers that are left out.
 *
 * All functions: GIL held.
 */
#ifndef WSGI_FCGI_PYTHON_WSGI_START_RESPONSE_H
#define WSGI_FCGI_PYTHON_WSGI_START_RESPONSE_H

#include "python/wsgi/call.h"

/* Call once, before the other. Returns 0, or -1 with an exception. */
int start_response_init(void);

/* New reference to the object for a request, whose call begins with it; NULL with an exception. */
struct wsgi_call *start_response_new(struct pylane *lane, struct request *r);

#endif
