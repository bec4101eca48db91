#include "config.h"

#include <Python.h>

#include "python/signal_handlers.h"

#include "base/log.h"
#include "python/child.h"
#include "python/compat.h"
#include "python/exit_calls.h"
#include "python/interp.h"
#include "python/pending_calls.h"
#include "python/thread.h"

#include <signal.h>

enum { FAILURES_MAX = 64 }; /* in a row; more than can be pending at a time */

/* Static, as a child is handed nothing that could hold it.
 *
 * Mutable wakeup_fd: the main thread; in a child, its only one. */
static int wakeup_fd = -1;

/* Mutable report: signal_handlers_report, before the first handler runs. */
static struct signal_handlers_report report;

/* Mutable interrupted_cb, asyncio_name: signal_handlers_stay, before the first call. */
static void (*interrupted_cb)(void);
static PyObject *asyncio_name;

/* signal.set_wakeup_fd. New reference to the number before, or NULL with an exception. */
static PyObject *set_wakeup(int fd) {
    PyObject *module = PyImport_ImportModule("signal");
    PyObject *function = module ? PyObject_GetAttrString(module, "set_wakeup_fd") : NULL;
    PyObject *args = Py_BuildValue("(i)", fd), *keywords = Py_BuildValue("{s:O}", "warn_on_full_buffer", Py_False);
    PyObject *old = function && args && keywords ? PyObject_Call(function, args, keywords) : NULL;
    Py_XDECREF(keywords);
    Py_XDECREF(args);
    Py_XDECREF(function);
    Py_XDECREF(module);
    return old;
}

/* In a child of fork the descriptor is closed: its number may soon be that of another file. */
static PyObject *forked(PyObject *self, PyObject *unused) {
    (void)self;
    (void)unused;
    PyObject *old = wakeup_fd < 0 ? NULL : set_wakeup(-1), *again = NULL;
    int fd = old ? (int)PyLong_AsLong(old) : -1;
    if (fd != wakeup_fd)
        again = set_wakeup(fd); /* it is the application's own */
    wakeup_fd = -1;
    pending_calls_set_wakeup(-1);
    Py_XDECREF(again);
    Py_XDECREF(old);
    PyErr_Clear();
    Py_RETURN_NONE;
}

void signal_handlers_set_wakeup(int fd) {
    static PyMethodDef method = {"forked", forked, METH_NOARGS, NULL};
    PyObject *old = child_register(&method) ? NULL : set_wakeup(fd);
    if (old)
        wakeup_fd = fd;
    else
        interp_print_error("signal handlers of the application will run late");
    Py_XDECREF(old);
    pending_calls_set_wakeup(fd);
    pending_calls_wake(); /* for what was left while the application was loaded */
}

void signal_handlers_report(const struct signal_handlers_report *to) {
    report = *to;
}

bool signal_handlers_has(int number) {
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

static void tell_interrupt(void) {
    Py_BEGIN_ALLOW_THREADS
    log_warning(
        "the application has interrupted the main thread (_thread.interrupt_main) when that ran none of its code: "
        "nothing was done; to stop the server, send it SIGTERM");
    Py_END_ALLOW_THREADS
}

struct failure {
    const char *what;
    PyObject *exc;
};

/* Returns what has raised an exception, or NULL. After one in a pending call those behind it are still pending. */
static const char *run_some(void) {
    if (PyErr_CheckSignals())
        return "a signal handler of the application raised an exception";
    if (Py_MakePendingCalls())
        return "a function that was left to the main thread (Py_AddPendingCall) raised an exception";
    return NULL;
}

/* Returns how many have raised an exception: new references. None of them is looked at yet: code of Python that does so
 * would run what is still pending, and get its exceptions. */
static size_t run_all(struct failure failures[static FAILURES_MAX]) {
    const char *what;
    size_t n = 0;
    while (n < FAILURES_MAX && !child_is() && (what = run_some()))
        failures[n++] = (struct failure){what, compat_err_take()};
    if (n == FAILURES_MAX)
        pending_calls_wake(); /* not for ever: they may leave further ones */
    return n;
}

/* Returns whether the process is to end. Takes the reference. */
static bool look_at(struct failure *failure, bool last, int *status) {
    bool end = false;
    if (!failure->exc)
        return false;
    PyErr_SetObject((PyObject *)Py_TYPE(failure->exc), failure->exc);
    Py_DECREF(failure->exc);
    if (PyErr_ExceptionMatches(PyExc_SystemExit)) {
        int wanted = interp_take_exit_status();
        if (!*status)
            *status = wanted;
        end = true;
    } else if (PyErr_ExceptionMatches(PyExc_KeyboardInterrupt)) {
        PyErr_Clear();
        end = last || child_is() || !report.interrupted(report.arg);
        if (!end)
            tell_interrupt();
    } else
        interp_print_error(failure->what);
    return end;
}

static bool run_handlers(bool last, int *status) {
    struct failure failures[FAILURES_MAX];
    bool end = false;
    exit_calls_replace();
    size_t n = run_all(failures);
    for (size_t i = 0; i < n; i++)
        end |= look_at(&failures[i], last, status);
    if (child_is())
        child_end();
    exit_calls_put_back();
    return end;
}

static void run_and_report(void) {
    int status = 0;
    if (run_handlers(false, &status))
        report.end(status, report.arg);
}

void signal_handlers_run(struct sched_thread *thread) {
    if (thread)
        thread_attach(thread);
    else
        thread_attach_main();
    if (!report.waits(report.arg))
        run_and_report();
    if (thread)
        thread_release(thread);
    else
        thread_release_main();
}

void signal_handlers_run_due(void) {
    run_and_report();
}

/* It is set again and not asked for: there is no function for that which all versions have, and this one has two system
 * calls. */
void signal_handlers_call_ends(void) {
    PyObject *loops = asyncio_name ? PyImport_GetModule(asyncio_name) : NULL, *old, *again = NULL;
    if (!loops)
        return;
    Py_DECREF(loops);
    old = set_wakeup(wakeup_fd);
    int fd = old ? (int)PyLong_AsLong(old) : -1;
    if (fd >= 0 && fd != wakeup_fd)
        again = set_wakeup(fd); /* the application still uses it */
    Py_XDECREF(again);
    Py_XDECREF(old);
    PyErr_Clear();
}

/* The server's own handler in C is there: nobody but the application itself has called this one. */
static bool is_simulated(void) {
    struct sigaction now;
    return sigaction(SIGINT, NULL, &now) || now.sa_flags & SA_SIGINFO;
}

static PyObject *handle_interrupt(PyObject *self, PyObject *args) {
    (void)self;
    (void)args;
    if (!child_is() && !is_simulated()) {
        interrupted_cb();
        Py_RETURN_NONE;
    }
    PyErr_SetNone(PyExc_KeyboardInterrupt);
    return NULL;
}

void signal_handlers_stay(void (*interrupted)(void)) {
    static PyMethodDef method = {"default_int_handler", handle_interrupt, METH_VARARGS, "As that of Python."};
    PyObject *module = PyImport_ImportModule("_signal"), *result = NULL;
    PyObject *now = module ? PyObject_CallMethod(module, "getsignal", "i", SIGINT) : NULL;
    PyObject *python = module ? PyObject_GetAttrString(module, "default_int_handler") : NULL;
    PyObject *function = PyCFunction_New(&method, NULL);
    bool sets = now && function && now == python;
    interrupted_cb = interrupted;
    asyncio_name = PyUnicode_InternFromString("asyncio");
    if (sets)
        result = PyObject_CallMethod(module, "signal", "iO", SIGINT, function);
    if (!now || !function || !asyncio_name || (sets && !result))
        interp_print_error("a call of asyncio.run() may take SIGINT from the server");
    Py_XDECREF(result);
    Py_XDECREF(function);
    Py_XDECREF(python);
    Py_XDECREF(now);
    Py_XDECREF(module);
    exit_calls_stay();
}

void signal_handlers_run_last(bool (*trip)(void), int *status) {
    do
        (void)run_handlers(true, status);
    while (trip());
}
