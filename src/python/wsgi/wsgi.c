#include "config.h"

#include "python/wsgi/wsgi.h"

#include "base/log.h"
#include "python/app/app.h"
#include "python/async_exc.h"
#include "python/child.h"
#include "python/error_lines.h"
#include "python/interp.h"
#include "python/load_watch.h"
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

static PyObject *application;

int wsgi_init(const char *spec, const char *start, bool multithread) {
    int status = EX_SOFTWARE;
    PyObject *errors = NULL, *file_wrapper = NULL;
    if (child_init()) {
        log_error("out of memory");
        return EX_OSERR;
    }
    load_watch_begin(spec);
    application = app_load(spec, start, &status);
    if (child_is()) {
        log_error(
            "the application forked while it was loaded, and its child went on: it ends here; put wsgi-fcgi itself "
            "into the background instead");
        child_end();
    }
    load_watch_end();
    if (!application)
        return status;
    errors = errors_new();
    file_wrapper = file_wrapper_init();
    if (errors && file_wrapper && !result_init() && !start_response_init() && !callables_init() && !input_init() &&
        !environ_init(errors, file_wrapper, multithread))
        status = 0;
    else {
        interp_print_error("cannot prepare the WSGI environment");
        status = EX_SOFTWARE;
    }
    Py_XDECREF(errors);
    Py_XDECREF(file_wrapper);
    return status;
}

void wsgi_describe(char *out, unsigned long size) {
    app_describe(application, out, size);
}

void wsgi_fini(void) {
    environ_fini();
    Py_CLEAR(application);
}

static void call_application(struct wsgi_call *call) {
    PyObject *env = environ_new(call), *result = NULL;
    if (env) {
        PyObject *args[] = {NULL, env, (PyObject *)call};
        result = PyObject_Vectorcall(application, args + 1, 2 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    }
    if (child_is())
        child_end();
    enum call_sent sent = result ? result_send(call, result) : CALL_FAILED;
    if (child_is())
        child_end();
    if (sent == CALL_SENT || sent == CALL_FULL)
        sent = call_finish(call);
    /* What comes from here on is neither for the log nor for close(). */
    async_exc_drop_late(call->r, true);
    if (sent == CALL_FAILED)
        failure_answer(call);
    call->ended = true;
    async_exc_drop_late(call->r, true);
    if (result)
        result_close(call, result);
    Py_XDECREF(result);
    Py_XDECREF(env);
    if (child_is())
        child_end();
}

void wsgi_run(struct request *r, void *user) {
    (void)user;
    running_set(r);
    thread_attach(r->thread);
    async_exc_drop_late(r, false);
    struct wsgi_call *call = start_response_new(r);
    if (call) {
        call_application(call);
        call_end(call);
        async_exc_drop_late(r, true);
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
