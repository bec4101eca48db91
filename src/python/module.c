#include "config.h"

#include <Python.h>

#include "python/module.h"

#include "base/clock.h"
#include "base/log.h"
#include "python/child.h"
#include "python/interp.h"
#include "python/interrupt.h"
#include "python/load_interrupt.h"
#include "python/running.h"
#include "request/request.h"

#include <math.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sysexits.h>

enum { STATUS_INTERRUPTED = 130 };

/* Seconds that fit; of more there is no end. */
#define TIMEOUT_MAX 1e9

/* The functions of a module are handed nothing that could hold it; a copy of the module, as after a removal from
 * sys.modules, is to know the same.
 *
 * Mutable hooks: whoever has the GIL. */
static struct hooks {
    PyObject *start, *stop; /* lists, made by the first that is registered */
    bool started;           /* those for the start have run */
} hooks;

/* -1: there are no workers.
 * Mutable worker: the main thread, before the first hook. */
static long worker = -1;

/* Returns 0, or -1 with an exception. */
static int keep(PyObject **list, PyObject *hook) {
    if (!PyCallable_Check(hook)) {
        PyErr_Format(PyExc_TypeError, "a hook is something to call without arguments, not of type %.200s",
                     Py_TYPE(hook)->tp_name);
        return -1;
    }
    if (!*list && !(*list = PyList_New(0)))
        return -1;
    return PyList_Append(*list, hook);
}

static PyObject *on_worker_start(PyObject *self, PyObject *hook) {
    (void)self;
    if (keep(&hooks.start, hook))
        return NULL;
    if (hooks.started) {
        PyObject *result = PyObject_CallNoArgs(hook);
        if (!result)
            return NULL;
        Py_DECREF(result);
    }
    return Py_NewRef(hook);
}

static PyObject *on_worker_stop(PyObject *self, PyObject *hook) {
    (void)self;
    return keep(&hooks.stop, hook) ? NULL : Py_NewRef(hook);
}

static PyObject *get_worker(PyObject *self, PyObject *unused) {
    (void)self;
    (void)unused;
    if (worker < 0)
        Py_RETURN_NONE;
    return PyLong_FromLong(worker);
}

/* The request of the calling thread, or NULL. A child has the memory of one that is the server's. */
static struct request *current(void) {
    return child_is() ? NULL : running_request();
}

static PyObject *time_left(PyObject *self, PyObject *unused) {
    (void)self;
    (void)unused;
    const struct request *r = current();
    uint64_t deadline = r ? atomic_load(&r->deadline) : 0, now = clock_ns();
    if (!deadline)
        Py_RETURN_NONE;
    return PyFloat_FromDouble(deadline > now && !atomic_load(&r->overdue) ? (double)(deadline - now) / 1e9 : 0);
}

/* The argument of set_timeout as a deadline, 0 for none. Returns 0, or -1 with an exception. */
static int take_timeout(PyObject *value, uint64_t *deadline) {
    double seconds = value == Py_None ? INFINITY : PyFloat_AsDouble(value);
    if (seconds == -1 && PyErr_Occurred())
        return -1;
    if (isnan(seconds) || seconds < 0) {
        PyErr_Format(PyExc_ValueError, "a time-out is a number of seconds from 0 on, or None, not %R", value);
        return -1;
    }
    *deadline = seconds < TIMEOUT_MAX ? clock_ns() + (uint64_t)(seconds * 1e9) : 0;
    return 0;
}

/* For one that is overdue there is nothing to set: its client has been answered. */
static PyObject *set_timeout(PyObject *self, PyObject *value) {
    (void)self;
    uint64_t deadline;
    if (take_timeout(value, &deadline))
        return NULL;
    struct request *r = current();
    if (!r) {
        PyErr_SetString(PyExc_RuntimeError, "set_timeout() in a thread that runs no request");
        return NULL;
    }
    if (!atomic_load(&r->overdue)) {
        atomic_store(&r->deadline, deadline);
        if (r->answer_ops->deadline_set)
            r->answer_ops->deadline_set(r);
    }
    Py_RETURN_NONE;
}

static PyObject *client_connected(PyObject *self, PyObject *unused) {
    (void)self;
    (void)unused;
    const struct request *r = current();
    return PyBool_FromLong(r && request_is_connected(r));
}

PyDoc_STRVAR(module_doc, "What wsgi-fcgi does for the application that it serves, beside calling it.");
PyDoc_STRVAR(on_worker_start_doc, "on_worker_start($module, function, /)\n--\n\n"
                                  "Call function() in each process that serves, before its first request.\n\n"
                                  "Returns the function, so that it can be a decorator. In a process that serves\n"
                                  "already, the function is called at once.");
PyDoc_STRVAR(on_worker_stop_doc, "on_worker_stop($module, function, /)\n--\n\n"
                                 "Call function() in each process that serves, after its last request.\n\n"
                                 "Returns the function, so that it can be a decorator. What was registered last\n"
                                 "is called first.");
PyDoc_STRVAR(worker_doc, "worker($module, /)\n--\n\n"
                         "The number of the worker that this process is, from 0; None without --workers,\n"
                         "and with --preload while the application is loaded.");

PyDoc_STRVAR(time_left_doc, "time_left($module, /)\n--\n\n"
                            "The seconds until the time of the request is over that this thread runs, a float;\n"
                            "0.0 when it is; None when it never is, and in a thread that runs no request.");
PyDoc_STRVAR(set_timeout_doc, "set_timeout($module, seconds, /)\n--\n\n"
                              "Give the request that this thread runs so many seconds from now on; None: all it\n"
                              "needs. A later call replaces an earlier one, and the server's --request-timeout.");
PyDoc_STRVAR(client_connected_doc, "client_connected($module, /)\n--\n\n"
                                   "Whether somebody still waits for the answer to the request that this thread\n"
                                   "runs, as environ['wsgi_fcgi.client_connected'] tells.");

static PyMethodDef module_methods[] = {
    {"on_worker_start", on_worker_start, METH_O, on_worker_start_doc},
    {"on_worker_stop", on_worker_stop, METH_O, on_worker_stop_doc},
    {"worker", get_worker, METH_NOARGS, worker_doc},
    {"time_left", time_left, METH_NOARGS, time_left_doc},
    {"set_timeout", set_timeout, METH_O, set_timeout_doc},
    {"client_connected", client_connected, METH_NOARGS, client_connected_doc},
    {NULL, NULL, 0, NULL},
};

/* Mutable definition: Python. */
static PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "wsgi_fcgi", .m_doc = module_doc, .m_size = -1,
                                 .m_methods = module_methods};

static int fill(PyObject *module) {
    PyObject *timeout = interrupt_type();
    int failed = !timeout || PyModule_AddObjectRef(module, "RequestTimeout", timeout) ||
                 PyModule_AddStringConstant(module, "__version__", PACKAGE_VERSION);
    Py_XDECREF(timeout);
    return failed ? -1 : 0;
}

static PyObject *make(void) {
    PyObject *module = PyModule_Create(&definition);
    if (module && fill(module))
        Py_CLEAR(module);
    return module;
}

int module_fill(PyObject *module) {
    PyObject *name = PyUnicode_FromString(definition.m_name);
    int failed = name ? fill(module) : -1;
    /* With the module as what they are bound to: inspect leaves $module out of their signatures then. */
    for (PyMethodDef *method = module_methods; !failed && method->ml_name; method++) {
        PyObject *function = PyCFunction_NewEx(method, module, name);
        failed = function ? PyModule_AddObjectRef(module, method->ml_name, function) : -1;
        Py_XDECREF(function);
    }
    Py_XDECREF(name);
    return failed;
}

int module_add(void) {
    return PyImport_AppendInittab("wsgi_fcgi", make);
}

void module_set_worker(unsigned number) {
    worker = (long)number;
}

/* Returns whether the hook has returned; otherwise an exception is set. */
static bool call(PyObject *hook) {
    PyObject *result = PyObject_CallNoArgs(hook);
    if (child_is())
        child_end();
    Py_XDECREF(result);
    return result != NULL;
}

/* A hook has failed, or was interrupted. Returns the status it means, after printing why. */
static int report(void) {
    static const char doing[] = "running a function of wsgi_fcgi.on_worker_start";
    int number = load_interrupt_number();
    if (number) {
        PyErr_Clear(); /* of what the application made of it */
        log_error("interrupted while %s (SIG%s)", doing, sigabbrev_np(number));
        return 128 + number;
    }
    if (PyErr_ExceptionMatches(PyExc_KeyboardInterrupt)) {
        PyErr_Clear();
        log_error("interrupted while %s", doing);
        return STATUS_INTERRUPTED;
    }
    interp_print_error("a function of wsgi_fcgi.on_worker_start raised an exception: nothing can be served without it");
    return EX_SOFTWARE;
}

int module_run_start_hooks(void) {
    /* A hook may register others. */
    for (Py_ssize_t i = 0; hooks.start && i < PyList_GET_SIZE(hooks.start); i++) {
        PyObject *hook = Py_NewRef(PyList_GET_ITEM(hooks.start, i));
        bool done = call(hook);
        Py_DECREF(hook);
        if (!done || load_interrupt_number())
            return report();
    }
    hooks.started = true;
    return 0;
}

void module_run_stop_hooks(void) {
    /* A hook may register others. */
    for (Py_ssize_t n; hooks.started && hooks.stop && (n = PyList_GET_SIZE(hooks.stop)) > 0;) {
        PyObject *hook = Py_NewRef(PyList_GET_ITEM(hooks.stop, n - 1));
        if (PyList_SetSlice(hooks.stop, n - 1, n, NULL)) {
            interp_print_error("cannot run the functions of wsgi_fcgi.on_worker_stop");
            hooks.started = false;
        } else if (!call(hook))
            interp_print_error("a function of wsgi_fcgi.on_worker_stop raised an exception");
        Py_DECREF(hook);
    }
}

void module_fini(void) {
    Py_CLEAR(hooks.start);
    Py_CLEAR(hooks.stop);
}
