/* Calling what is written in Python of finding the application: finding.py and diagnosis.py, whose text the build puts into
 * the program.
 *
 * Open it when one of them should be called, or needs something else of C.
 *
 * A file is compiled when a function of it, or of a later one, is called for the first time, and freed by frozen_fini:
 * a start that needs none pays nothing. The files see the application's standard library, and whatever the application
 * has done to Python: every call may fail.
 *
 * Threads: the main thread, GIL held, no exception pending.
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

/* From bytes of C to str (a const char *, as "O&" of Py_BuildValue hands it over), and back to a bytes object. UTF-8;
 * bytes that are no UTF-8 come back as they were. New reference, or NULL with an exception. */
PyObject *frozen_decode(void *text);
PyObject *frozen_encode(PyObject *text);

#endif
