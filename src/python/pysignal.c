#include "config.h"

#include <Python.h>

#include "python/pysignal.h"

#include "python/compat.h"
#include "python/interp.h"

static PyThreadState *main_state;

void pysignal_set_wakeup(int fd) {
    PyObject *module = PyImport_ImportModule("signal");
    PyObject *function = module ? PyObject_GetAttrString(module, "set_wakeup_fd") : NULL;
    PyObject *args = Py_BuildValue("(i)", fd), *keywords = Py_BuildValue("{s:O}", "warn_on_full_buffer", Py_False);
    PyObject *old = function && args && keywords ? PyObject_Call(function, args, keywords) : NULL;
    if (!old)
        interp_print_error("signal handlers of the application will run late");
    Py_XDECREF(old);
    Py_XDECREF(keywords);
    Py_XDECREF(args);
    Py_XDECREF(function);
    Py_XDECREF(module);
}

bool pysignal_is_handled(int number) {
    PyObject *module = PyImport_ImportModule("signal"), *handler = NULL, *python = NULL;
    bool handled = false;
    if (module) {
        handler = PyObject_CallMethod(module, "getsignal", "i", number);
        python = PyObject_GetAttrString(module, "default_int_handler");
        handled = handler && python && handler != python && PyCallable_Check(handler) && !PyLong_Check(handler);
    }
    Py_XDECREF(python);
    Py_XDECREF(handler);
    Py_XDECREF(module);
    PyErr_Clear();
    return handled;
}

bool pysignal_run(void) {
    bool end = false;
    pysignal_acquire_gil();
    while (PyErr_CheckSignals()) {
        if (PyErr_ExceptionMatches(PyExc_SystemExit) || PyErr_ExceptionMatches(PyExc_KeyboardInterrupt)) {
            PyErr_Clear();
            end = true;
        } else
            interp_print_error("a signal handler of the application raised an exception");
    }
    pysignal_release_gil();
    return end;
}

void pysignal_release_gil(void) {
    main_state = PyEval_SaveThread();
}

void pysignal_acquire_gil(void) {
    PyEval_RestoreThread(main_state);
}
