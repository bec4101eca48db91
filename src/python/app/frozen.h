/* What of finding the application is written in Python: finding.py and diagnosis.py, whose text the build puts into the
 * program. To be opened when one of them is to be called, or needs something else of C.
 *
 * * They are compiled when something of theirs is called for the first time, and go with frozen_fini: a start that
 * needs nothing of them pays nothing, and none keeps anything. They see the application's standard library, and
 * whatever it has done to Python: every call may fail.
 *
 * * Threads: the main thread, GIL held, no exception pending.
 */
#ifndef WSGI_FCGI_PYTHON_APP_FROZEN_H
#define WSGI_FCGI_PYTHON_APP_FROZEN_H

#include <Python.h>

enum frozen_file { FROZEN_FINDING, FROZEN_DIAGNOSIS, FROZEN_FILES }; /* each sees the names of those before it */

/* Zeroed at first. */
struct frozen {
    PyObject *module; /* in which the files run; NULL: none did */
    int run;          /* how many did */
};

/* Calls the function of the file. `names` (a dict) becomes global names of the files, `args` (a tuple) the
 * arguments; either may be NULL with an exception. New reference, or NULL with an exception. */
PyObject *frozen_call(struct frozen *f, enum frozen_file file, const char *function, PyObject *names, PyObject *args);

void frozen_fini(struct frozen *f);

/* Between bytes of C and str, both ways, whatever the bytes are: UTF-8, and what is none comes back as it was. New
 * reference, or NULL with an exception. Takes a const char *, as "O&" of Py_BuildValue wants it. */
PyObject *frozen_decode(void *text);
PyObject *frozen_encode(PyObject *text);

#endif
