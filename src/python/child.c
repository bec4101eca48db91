#include "config.h"

#include <Python.h>

#include "python/child.h"

#include "python/compat.h"

#include <pthread.h>
#include <unistd.h>

bool child_forked;

static void forked(void) {
    child_forked = true;
}

int child_init(void) {
    return pthread_atfork(NULL, NULL, forked) ? -1 : 0;
}

static int exit_status(PyObject *exc) {
    PyObject *code = NULL;
    int status = 1;
    if (!PyErr_GivenExceptionMatches(exc, PyExc_SystemExit)) {
        compat_err_display(exc);
        return status;
    }
    (void)compat_getattr_optional(exc, "code", &code);
    if (!code || code == Py_None)
        status = 0;
    else if (PyLong_Check(code))
        status = (int)PyLong_AsLong(code);
    else
        PySys_FormatStderr("%S\n", code);
    Py_XDECREF(code);
    PyErr_Clear();
    return status;
}

static void flush(const char *name) {
    PyObject *file = PySys_GetObject(name);
    PyObject *none = file && file != Py_None ? PyObject_CallMethod(file, "flush", NULL) : NULL;
    Py_XDECREF(none);
    PyErr_Clear();
}

/* By _exit: what atexit functions and finalizers of the server's process would do is for that process to do. */
_Noreturn void child_end(void) {
    PyObject *exc = compat_err_take();
    int status = exc ? exit_status(exc) : 0;
    flush("stdout");
    flush("stderr");
    _exit(status);
}
