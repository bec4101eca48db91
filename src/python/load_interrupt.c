#include "config.h"

#include <Python.h>

#include "python/load_interrupt.h"

#include "python/interp.h"

#include <stdatomic.h>

/* What a handler of a signal needs: `trip` is Python's own handler in C, which takes note of the signal.
 *
 * Mutable trip: the main thread, before `is_open` becomes true.
 * Mutable is_open: the main thread.
 * Mutable first: whoever sets it first, for ever. */
static void (*trip)(int number);
static atomic_bool is_open;
static atomic_int first;

static PyObject *raise_now(PyObject *self, PyObject *args) {
    (void)self;
    (void)args;
    if (!is_open)
        Py_RETURN_NONE;
    PyObject *status = first == SIGINT ? NULL : PyLong_FromLong(128 + first);
    if (first == SIGINT)
        PyErr_SetNone(PyExc_KeyboardInterrupt);
    else if (status)
        PyErr_SetObject(PyExc_SystemExit, status);
    Py_XDECREF(status);
    return NULL;
}

void load_interrupt_show_free(int number) {
    PyObject *module = PyImport_ImportModule("_signal"), *free = NULL, *result = NULL;
    PyObject *now = module ? PyObject_CallMethod(module, "getsignal", "i", number) : NULL;
    if (now == Py_None) /* somebody's in C */
        free = PyObject_GetAttrString(module, number == SIGINT ? "default_int_handler" : "SIG_DFL");
    else /* a Python that ran before the server does not know of the handler that replaced its own */
        free = Py_XNewRef(now);
    if (free)
        result = PyObject_CallMethod(module, "signal", "iO", number, free);
    Py_XDECREF(result);
    Py_XDECREF(free);
    Py_XDECREF(now);
    Py_XDECREF(module);
    PyErr_Clear();
}

bool load_interrupt_open(void) {
    static PyMethodDef method = {"interrupt", raise_now, METH_VARARGS, NULL};
    struct sigaction action;
    PyObject *module = PyImport_ImportModule("_signal"), *function = PyCFunction_New(&method, NULL);
    PyObject *old =
        module && function ? PyObject_CallMethod(module, "signal", "iO", LOAD_INTERRUPT_CARRIER, function) : NULL;
    if (old && !sigaction(LOAD_INTERRUPT_CARRIER, NULL, &action)) {
        trip = action.sa_handler;
        is_open = true;
    } else
        interp_print_error("a signal will not interrupt the application while it is loaded");
    Py_XDECREF(old);
    Py_XDECREF(function);
    Py_XDECREF(module);
    return is_open;
}

void load_interrupt_raise(int number) {
    int none = 0;
    if (!is_open)
        return;
    atomic_compare_exchange_strong(&first, &none, number);
    trip(LOAD_INTERRUPT_CARRIER);
}

int load_interrupt_close(void) {
    is_open = false;
    return first;
}

int load_interrupt_number(void) {
    return first;
}
