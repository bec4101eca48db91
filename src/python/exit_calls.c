#include "config.h"

#include <Python.h>

#include "python/exit_calls.h"

#include "python/child.h"
#include "python/interp.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

static PyObject *kill_end(PyObject *self, PyObject *const *args, Py_ssize_t nargs);
static PyObject *raise_end(PyObject *self, PyObject *arg);
static PyObject *exit_end(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names);

typedef PyObject *fast_call(PyObject *self, PyObject *const *args, Py_ssize_t nargs);
typedef PyObject *keyword_call(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names);

/* Static, as the replacements are called as methods of modules, with nothing of ours. PyCFunction is the type that all
 * conventions are kept as.
 *
 * Mutable calls: the main thread, GIL held; read by any, GIL held. */
static struct end_call {
    const char *module, *name;
    int flags; /* its calling convention */
    PyCFunction replacement;
    PyMethodDef *method; /* while it is replaced */
    PyCFunction original;
} calls[] = {
    {"posix", "kill", METH_FASTCALL, (PyCFunction)(void (*)(void))kill_end, NULL, NULL},
    {"_signal", "raise_signal", METH_O, raise_end, NULL, NULL},
    {"posix", "_exit", METH_FASTCALL | METH_KEYWORDS, (PyCFunction)(void (*)(void))exit_end, NULL, NULL},
};
enum { KILL, RAISE, EXIT, CALLS };

/* Mutable main_thread, handlers_run, stay: the main thread, GIL held; read by any, GIL held.
 * Mutable ends_cb: exit_calls_report, GIL held, once. */
static unsigned long main_thread;
static bool handlers_run, stay;
static void (*ends_cb)(int status);

/* A handler may fork, and other threads may have reasons of their own. */
static bool is_handler(void) {
    return handlers_run && PyThread_get_thread_ident() == main_thread && !child_is();
}

/* Whether this process ends when the signal comes. */
static bool is_deadly(int number) {
    static const int numbers[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2};
    struct sigaction now;
    size_t i = 0, count = sizeof numbers / sizeof numbers[0];
    while (i < count && numbers[i] != number)
        i++;
    return i < count && !sigaction(number, NULL, &now) && !(now.sa_flags & SA_SIGINFO) && now.sa_handler == SIG_DFL;
}

static PyObject *end_with(int status) {
    PyObject *code = PyLong_FromLong(status);
    if (code)
        PyErr_SetObject(PyExc_SystemExit, code);
    Py_XDECREF(code);
    return NULL;
}

/* What is wrong with an argument is for the original to say. */
static bool get_int(PyObject *object, int *value) {
    long wide = PyLong_AsLong(object);
    *value = (int)wide;
    bool failed = (wide == -1 && PyErr_Occurred()) || *value != wide;
    PyErr_Clear();
    return !failed;
}

static PyObject *kill_end(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
    int pid, number;
    if (nargs == 2 && is_handler() && get_int(args[0], &pid) && pid == getpid() && get_int(args[1], &number) &&
        is_deadly(number))
        return end_with(0);
    return ((fast_call *)(void (*)(void))calls[KILL].original)(self, args, nargs);
}

static PyObject *raise_end(PyObject *self, PyObject *arg) {
    int number;
    if (is_handler() && get_int(arg, &number) && is_deadly(number))
        return end_with(0);
    return calls[RAISE].original(self, arg);
}

/* Its one argument may have a name, which is for the original to check. */
static PyObject *exit_end(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names) {
    int status;
    bool named = names && PyTuple_GET_SIZE(names);
    bool right = named ? !nargs && PyTuple_GET_SIZE(names) == 1 &&
                             !PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, 0), "status")
                       : nargs == 1;
    if (right && is_handler() && get_int(args[0], &status))
        return end_with(status);
    if (right && ends_cb && !child_is() && get_int(args[0], &status))
        ends_cb(status);
    return ((keyword_call *)(void (*)(void))calls[EXIT].original)(self, args, nargs, names);
}

/* Returns 0, or -1 with an exception. */
static int replace(struct end_call *call) {
    PyObject *module = PyImport_ImportModule(call->module);
    PyObject *function = module ? PyObject_GetAttrString(module, call->name) : NULL;
    PyMethodDef *method =
        function && PyCFunction_Check(function) ? ((PyCFunctionObject *)(void *)function)->m_ml : NULL;
    Py_XDECREF(function);
    Py_XDECREF(module);
    if (!function)
        return -1;
    if (!method || method->ml_flags != call->flags || strcmp(method->ml_name, call->name)) {
        PyErr_Format(PyExc_TypeError, "%s.%s is not that of Python", call->module, call->name);
        return -1;
    }
    if (call->method) /* it is replaced already */
        return 0;
    call->original = method->ml_meth;
    call->method = method;
    method->ml_meth = call->replacement;
    return 0;
}

void exit_calls_report(void (*ends)(int status)) {
    ends_cb = ends;
    if (replace(&calls[EXIT]))
        interp_print_error("an end by os._exit() will not be told");
}

void exit_calls_replace(void) {
    handlers_run = true;
    main_thread = PyThread_get_thread_ident();
    for (size_t i = 0; i < CALLS && !stay; i++) {
        if (replace(&calls[i]))
            interp_print_error(
                "a signal handler of the application may end the process before its atexit functions run");
    }
}

void exit_calls_put_back(void) {
    handlers_run = false;
    for (size_t i = 0; i < CALLS && !stay; i++) {
        if (i == EXIT && ends_cb)
            continue;
        if (calls[i].method)
            calls[i].method->ml_meth = calls[i].original;
        calls[i].method = NULL;
    }
}

void exit_calls_stay(void) {
    exit_calls_replace();
    stay = true;
    exit_calls_put_back();
}
