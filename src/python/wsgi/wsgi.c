#include "config.h"

#include "python/wsgi/wsgi.h"

#include "base/log.h"
#include "python/app/app.h"
#include "python/async_exc.h"
#include "python/child.h"
#include "python/error_lines.h"
#include "python/interp.h"
#include "python/running.h"
#include "python/thread.h"
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
static int prepare(bool multithread) {
    PyObject *errors = errors_new(), *file_wrapper = file_wrapper_init(&app);
    app.name_close = PyUnicode_InternFromString("close");
    bool done = app.name_close && errors && file_wrapper && !start_response_init() && !callables_init() &&
                !input_init() && !environ_init(&lane, errors, file_wrapper, multithread);
    Py_XDECREF(errors);
    Py_XDECREF(file_wrapper);
    return done ? 0 : -1;
}

struct pylane *wsgi_init(const char *spec, const char *start, bool multithread, int *status) {
    app.application = app_load(spec, start, status);
    if (!app.application)
        return NULL;
    if (prepare(multithread)) {
        interp_print_error("cannot prepare the WSGI environment");
        *status = EX_SOFTWARE;
        return NULL;
    }
    return &lane;
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
    async_exc_drop_late(state, call->r, true);
    if (sent == CALL_FAILED)
        failure_answer(call);
    call->ended = true;
    async_exc_drop_late(state, call->r, true);
    if (result)
        result_close(call, result);
    Py_XDECREF(result);
    Py_XDECREF(env);
    if (child_is())
        child_end();
}

void wsgi_run(struct request *r, void *user) {
    running_set(r);
    thread_attach(r->thread);
    const PyThreadState *state = sched_thread_user(r->thread);
    async_exc_drop_late(state, r, false);
    struct wsgi_call *call = start_response_new(user, r);
    if (call) {
        call_application(call, state);
        call_end(call);
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
    thread_release(r->thread);
}
