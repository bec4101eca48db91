/* wsgi.input: the body of the request (PEP 3333, "Input and Error Streams").
 *
 * Open it for how a body can be read.
 *
 * All functions: GIL held.
 */
#ifndef WSGI_FCGI_PYTHON_WSGI_INPUT_H
#define WSGI_FCGI_PYTHON_WSGI_INPUT_H

#include "python/wsgi/call.h"

/* Call once, before the other. Returns 0, or -1 with an exception. */
int input_init(void);

/* New reference, or NULL with an exception. */
PyObject *input_new(struct wsgi_call *call);

#endif
