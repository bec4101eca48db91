/* What the layer of Python holds: once for the process (struct pyapp), and once for each lane (struct pylane).
 *
 * A call finds its lane by the pointer that it is run with (struct wsgi_call). What can be found by no pointer is static where
 * it is used, and says there who may touch it: what handlers of signals need, functions that Python calls without an
 * argument, what a thread keeps for itself, and limits of lines of the log, which are atomic.
 *
 * Open it when something should be kept between requests: what nobody changes any more belongs to the process, all else to
 * the lane.
 *
 * Neither is freed: objects that the application keeps refer to them up to the end of Python.
 */
#ifndef WSGI_FCGI_PYTHON_PYAPP_H
#define WSGI_FCGI_PYTHON_PYAPP_H

#include "python/spare.h"

/* Set by the main thread before the first call, and the same from then on, but for what says otherwise. */
struct pyapp {
    PyObject *application;                                     /* what the command line names */
    PyObject *name_close;                                      /* "close", interned */
    PyTypeObject *file_io, *buffered_reader, *buffered_random; /* of the io module */
    unsigned told_foreign; /* of the headers that are left out, those that the log has told; GIL held */
};

/* Touched by whoever runs a call of the lane, with the GIL held. There is one lane; without a GIL each has its own, and
 * the names (python/names.h), which are static by now, come here. */
struct pylane {
    struct pyapp *app;
    PyObject *prototype; /* what the environs of all requests have in common; copied for each */
    struct plan *plans;  /* of environs (python/wsgi/plan.h) */
    struct spare calls, callables, inputs;
};

#endif
