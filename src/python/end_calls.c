#include "config.h"

#include <Python.h>

#include "python/end_calls.h"

#include "python/child.h"
#include "python/interp.h"

#include <signal.h>
#include <unistd.h>

static PyObject *kill_end(PyObject *original, PyObject *args, PyObject *keywords);
static PyObject *raise_end(PyObject *original, PyObject *args, PyObject *keywords);
static PyObject *exit_end(PyObject *original, PyObject *args, PyObject *keywords);

static struct end_call {
    const char *module;
    PyMethodDef method;
    PyObject *original, *replacement; /* while it is replaced */
} calls[] = {
    {.module = "os", .method = {"kill", (PyCFunction)(void (*)(void))kill_end, METH_VARARGS | METH_KEYWORDS, NULL}},
    {.module = "signal",
     .method = {"raise_signal", (PyCFunction)(void (*)(void))raise_end, METH_VARARGS | METH_KEYWORDS, NULL}},
    {.module = "os", .method = {"_exit", (PyCFunction)(void (*)(void))exit_end, METH_VARARGS | METH_KEYWORDS, NULL}},
};
enum { CALLS = sizeof calls / sizeof *calls };
static unsigned long main_thread;

/* A handler may fork, and other threads may have reasons of their own. */
static bool is_handler(void) {
    return PyThread_get_thread_ident() == main_thread && !child_is();
}

/* Whether this process ends when the signal comes. */
static bool is_deadly(int number) {
    struct sigaction now;
    if (number != SIGTERM && number != SIGINT && number != SIGHUP)
        return false;
    return !sigaction(number, NULL, &now) && !(now.sa_flags & SA_SIGINFO) && now.sa_handler == SIG_DFL;
}

static PyObject *end_with(int status) {
    PyObject *code = PyLong_FromLong(status);
    if (code)
        PyErr_SetObject(PyExc_SystemExit, code);
    Py_XDECREF(code);
    return NULL;
}

/* What is wrong with the arguments is for the original to say. */
static PyObject *call_original(PyObject *original, PyObject *args, PyObject *keywords) {
    PyErr_Clear();
    return PyObject_Call(original, args, keywords);
}

static PyObject *kill_end(PyObject *original, PyObject *args, PyObject *keywords) {
    long pid;
    int number;
    if (!keywords && PyArg_ParseTuple(args, "li", &pid, &number) && pid == (long)getpid() && is_handler() &&
        is_deadly(number))
        return end_with(0);
    return call_original(original, args, keywords);
}

static PyObject *raise_end(PyObject *original, PyObject *args, PyObject *keywords) {
    int number;
    if (!keywords && PyArg_ParseTuple(args, "i", &number) && is_handler() && is_deadly(number))
        return end_with(0);
    return call_original(original, args, keywords);
}

static PyObject *exit_end(PyObject *original, PyObject *args, PyObject *keywords) {
    static char name[] = "status";
    char *names[] = {name, NULL};
    int status;
    if (PyArg_ParseTupleAndKeywords(args, keywords, "i", names, &status) && is_handler())
        return end_with(status);
    return call_original(original, args, keywords);
}

static int replace(struct end_call *call) {
    PyObject *module = PyImport_ImportModule(call->module);
    int failed = -1;
    call->original = module ? PyObject_GetAttrString(module, call->method.ml_name) : NULL;
    call->replacement = call->original ? PyCFunction_New(&call->method, call->original) : NULL;
    if (call->replacement)
        failed = PyObject_SetAttrString(module, call->method.ml_name, call->replacement);
    Py_XDECREF(module);
    return failed;
}

static void put_back(struct end_call *call) {
    PyObject *module = call->replacement ? PyImport_ImportModule(call->module) : NULL;
    PyObject *now = module ? PyObject_GetAttrString(module, call->method.ml_name) : NULL;
    if (now && now == call->replacement) /* else the application has put something there */
        (void)PyObject_SetAttrString(module, call->method.ml_name, call->original);
    Py_XDECREF(now);
    Py_XDECREF(module);
    Py_CLEAR(call->replacement);
    Py_CLEAR(call->original);
    PyErr_Clear();
}

void end_calls_replace(void) {
    main_thread = PyThread_get_thread_ident();
    for (size_t i = 0; i < CALLS; i++) {
        if (replace(&calls[i]))
            interp_print_error(
                "a signal handler of the application may end the process before its atexit functions run");
    }
}

void end_calls_put_back(void) {
    for (size_t i = 0; i < CALLS; i++)
        put_back(&calls[i]);
}
