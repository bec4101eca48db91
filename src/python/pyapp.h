/* What the layer of Python holds: once for the process (struct pyapp), and once for each lane (struct pylane).
 *
 * Open it when something should be kept between requests: what nobody changes any more belongs to the process, all else to
 * the lane.
 *
 * A call finds its lane by the pointer that it is run with (struct wsgi_call). Some things no pointer leads to: what handlers
 * of signals need, and functions that Python calls without an argument; what a thread keeps for itself. Others are too small
 * to be handed around: strings that one file has made once, types, and limits of lines of the log, which are atomic. These
 * are static where they are used, and say there who may change them ("Mutable NAME: ...").
 *
 * Neither struct is freed: objects that the application keeps refer to them up to the end of Python.
 */
#ifndef WSGI_FCGI_PYTHON_PYAPP_H
#define WSGI_FCGI_PYTHON_PYAPP_H

#include "python/spare.h"

/* Set by the main thread before the first call; the same from then on, except where a member says otherwise. */
struct pyapp {
    PyObject *application;                                     /* what the command line names */
    PyObject *name_close;                                      /* "close", interned */
    PyTypeObject *file_io, *buffered_reader, *buffered_random; /* of the io module */
    unsigned told_foreign; /* the headers that are left out, and that the log has told of; changed with the GIL held */
};

/* Touched by whoever runs a call of the lane, with the GIL held. There is one lane. Should there be several that run
 * without a GIL, each needs one of its own, and the table of names (python/name_cache.h), which is static now, belongs
 * here. */
struct pylane {
    struct pyapp *app;
    PyObject *prototype; /* what the environs of all requests have in common; copied for each that no plan fits */
    struct plan *plans;  /* of environs (python/wsgi/plan.h) */
    PyObject *label; /* the value of HTTP_X_REQUEST_ID in the prototype and in all plans, written anew for each request
                            while nobody else has it (environ.c); NULL: requests have no labels */
    Py_ssize_t label_refs; /* references to it of this struct, the prototype and the plans */
    struct spare calls, callables, inputs;
};

#endif
