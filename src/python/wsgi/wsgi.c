#include "config.h"

#include "python/wsgi/wsgi.h"

#include "base/log.h"
#include "python/app/app.h"
#include "python/async_exc.h"
#include "python/child.h"
#include "python/error_lines.h"
#include "python/interp.h"
#include "python/interrupt.h"
#include "python/running.h"
#include "python/signal_handlers.h"
#include "python/thread.h"
#include "python/wsgi/broken.h"
#include "python/wsgi/callables.h"
#include "python/wsgi/environ.h"
#include "python/wsgi/errors.h"
#include "python/wsgi/failure.h"
#include "python/wsgi/file_wrapper.h"
#include "python/wsgi/input.h"
#include "python/wsgi/result.h"
#include "python/wsgi/start_response.h"

#include <sysexits.h>

/* Reached only by the pointers that are handed out from here.
 *
 * Mutable app, lane: as python/pyapp.h says. */
static struct pyapp app;
static struct pylane lane = {.app = &app};

/* What calls share. Returns 0, or -1 with an exception. */
static int prepare(bool multithread, bool multiprocess) {
    PyObject *errors = errors_new(), *file_wrapper = file_wrapper_init(&app), *timeout = interrupt_type();
    app.name_close = PyUnicode_InternFromString("close");
    bool done = app.name_close && errors && file_wrapper && timeout && !start_response_init() && !callables_init() &&
                !input_init() && !environ_init(&lane, errors, file_wrapper, multithread, multiprocess);
    Py_XDECREF(errors);
    Py_XDECREF(file_wrapper);
    Py_XDECREF(timeout);
    return done ? 0 : -1;
}

struct pylane *wsgi_init(const char *spec, const char *start, bool multithread, bool multiprocess, int *status) {
    app.application = app_load(spec, start, status);
    if (!app.application)
        return NULL;
    if (prepare(multithread, multiprocess)) {
        interp_print_error("cannot prepare the WSGI environment");
        *status = EX_SOFTWARE;
        return NULL;
    }
    return &lane;
}

struct pylane *wsgi_init_broken(const char *text, unsigned long len, bool multithread, bool multiprocess) {
    PyObject *broken = broken_new(text, len);
    if (!broken || (!app.name_close && prepare(multithread, multiprocess))) {
        interp_print_error("cannot prepare the page that shows why the application does not load");
        Py_XDECREF(broken);
        return NULL;
    }
    Py_XSETREF(app.application, broken);
    return &lane;
}

int wsgi_set_worker(struct pylane *of, unsigned number) {
    return environ_set_worker(of, number);
}

int wsgi_label_requests(struct pylane *of) {
    return environ_label_requests(of);
}

void wsgi_describe(const struct pylane *of, char *out, unsigned long size) {
    app_describe(of->app->application, out, size);
}

void wsgi_fini(struct pylane *of) {
    environ_fini(of);
    Py_CLEAR(of->app->name_close);
    Py_CLEAR(of->app->application);
}

static void call_application(struct wsgi_call *call, const PyThreadState *state) {
    PyObject *env = environ_new(call), *result = NULL;
    if (env) {
        PyObject *args[] = {NULL, env, (PyObject *)call};
        result = PyObject_Vectorcall(call->lane->app->application, args + 1, 2 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    }
    if (child_is())
        child_end();
    enum call_sent sent = result ? result_send(call, result) : CALL_FAILED;
    if (child_is())
        child_end();
    if (sent == CALL_SENT || sent == CALL_FULL)
        sent = call_finish(call);
    /* What comes from here on is neither for the log nor for close(). */
    interrupt_hold();
    async_exc_drop_late(state, call->r, true);
    if (sent == CALL_FAILED)
        failure_answer(call);
    call->ended = true;
    async_exc_drop_late(state, call->r, true);
    interrupt_let_go();
    if (result)
        result_close(call, result);
    Py_XDECREF(result);
    Py_XDECREF(env);
    if (child_is())
        child_end();
}

static inline void run(struct request *r, void *user, bool on_main) {
    running_set(on_main ? NULL : r);
    thread_attach(r->thread);
    const PyThreadState *state = sched_thread_user(r->thread);
    async_exc_drop_late(state, r, false); /* before a handler can get it (Python 3.15) */
    if (on_main) {
        signal_handlers_run_due();
        running_set(r);
    }
    struct wsgi_call *call = start_response_new(user, r);
    if (call) {
        interrupt_call_begins(r);
        call_application(call, state);
        call_end(call);
        interrupt_call_ends();
        async_exc_drop_late(state, r, true);
        Py_DECREF((PyObject *)call);
    } else {
        PyErr_Clear();
        r->broken_off = true;
        Py_BEGIN_ALLOW_THREADS
        log_error("out of memory");
        Py_END_ALLOW_THREADS
    }
    error_lines_flush();
    running_set(NULL);
    if (on_main)
        signal_handlers_call_ends();
    thread_release(r->thread);
}

void wsgi_run(struct request *r, void *user) {
    run(r, user, false);
}

void wsgi_run_on_main(struct request *r, void *user) {
    run(r, user, true);
}
