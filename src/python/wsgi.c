#include "config.h"

#include "python/wsgi.h"

#include "base/log.h"
#include "python/app.h"
#include "python/call.h"
#include "python/compat.h"
#include "python/environ.h"
#include "python/errors.h"
#include "python/file_wrapper.h"
#include "python/interp.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

static PyObject *application;

enum {
    WHOLE_MAX = 65536, /* an answer that is known in whole and no longer than this leaves in one piece at the end */
    FILE_BLOCK = 65528 /* bytes of a file that are read and sent at a time: a full FastCGI record */
};

int wsgi_init(const char *spec, bool multithread, unsigned destinations) {
    int status = EX_SOFTWARE;
    PyObject *errors = NULL, *file_wrapper = NULL;
    errors_set_destinations(destinations);
    application = app_load(spec, &status);
    if (!application)
        return status;
    errors = errors_new();
    file_wrapper = file_wrapper_init();
    if (errors && file_wrapper && !call_init() && !input_init() && !environ_init(errors, file_wrapper, multithread))
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

/* Errors. */

/* Logs the pending exception. That of an application that writes to, or reads from, a peer that went away is no fault
 * and gets a line without a traceback. */
static void log_exception(struct wsgi_call *call, const char *what) {
    char text[600], line[700];
    request_text(call->r, text, sizeof text);
    if (atomic_load(&call->r->gone) && PyErr_ExceptionMatches(PyExc_ConnectionError)) {
        PyErr_Clear();
        log_info("%s: the client went away", text);
        return;
    }
    snprintf(line, sizeof line, "%s: %s", text, what);
    interp_print_error(line);
}

/* An application that read a body to its bad end is not at fault; the same answers are given before it is started. */
static const char *failure_status(struct request *r) {
    switch (body_error(&r->body)) {
    case EFBIG:
        return "413 Content Too Large";
    case ENOSPC:
    case EDQUOT:
        return "507 Insufficient Storage";
    default:
        return "500 Internal Server Error";
    }
}

/* The application has failed: an error page while nothing was sent, else a cut answer. */
static void fail(struct wsgi_call *call) {
    struct request *r = call->r;
    const char *status = failure_status(r);
    if (PyErr_Occurred())
        log_exception(call, r->head_stored ? "the application raised an exception within its answer, which is cut off"
                                           : "the application raised an exception");
    /* What a thread of the application is still sending belongs to it. */
    if (r->head_stored || call->sending || request_answer(r, status, NULL, status + 4))
        r->broken_off = true;
}

/* Bodies. */

static bool check_bytes(PyObject *item) {
    if (PyBytes_Check(item))
        return true;
    PyErr_Format(PyExc_TypeError, "the application's iterable gave %.100s, not bytes", Py_TYPE(item)->tp_name);
    return false;
}

/* What a sequence holds in bytes, or -1 when that cannot be told without running code of the application. */
static Py_ssize_t sequence_bytes(PyObject *result) {
    Py_ssize_t total = 0, n = PyList_CheckExact(result) ? PyList_GET_SIZE(result) : PyTuple_GET_SIZE(result);
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *item = PyList_CheckExact(result) ? PyList_GET_ITEM(result, i) : PyTuple_GET_ITEM(result, i);
        if (!PyBytes_Check(item))
            return -1;
        total += PyBytes_GET_SIZE(item);
    }
    return total;
}

/* A list or tuple of bytes: the length is known (PEP 3333, "Handling the Content-Length Header"), and there is nothing
 * to wait for between the pieces, so a short answer is stored and leaves in one piece. */
static enum call_sent send_sequence(struct wsgi_call *call, PyObject *result, Py_ssize_t total) {
    bool list = PyList_CheckExact(result);
    /* An empty answer to HEAD says nothing of the length that GET would have. */
    if (call->started && (total || !call->head_only) && call_set_length(call, (uint64_t)total))
        return CALL_FAILED;
    enum call_sent sent = CALL_SENT;
    for (Py_ssize_t i = 0; sent == CALL_SENT && i < (list ? PyList_GET_SIZE(result) : PyTuple_GET_SIZE(result)); i++) {
        PyObject *item = Py_NewRef(list ? PyList_GET_ITEM(result, i) : PyTuple_GET_ITEM(result, i));
        const char *data = PyBytes_AS_STRING(item);
        size_t len = (size_t)PyBytes_GET_SIZE(item);
        sent = total <= WHOLE_MAX ? call_put(call, data, len) : call_send(call, data, len);
        Py_DECREF(item);
    }
    return sent;
}

/* Any iterable: each piece is sent before the next one is asked for (PEP 3333, "Buffering and Streaming"). */
static enum call_sent send_iterable(struct wsgi_call *call, PyObject *result) {
    PyObject *iterator = PyObject_GetIter(result), *item;
    enum call_sent sent = iterator ? CALL_SENT : CALL_FAILED;
    while (sent == CALL_SENT && (item = PyIter_Next(iterator))) {
        sent =
            check_bytes(item) ? call_send(call, PyBytes_AS_STRING(item), (size_t)PyBytes_GET_SIZE(item)) : CALL_FAILED;
        Py_DECREF(item);
    }
    Py_XDECREF(iterator);
    return sent == CALL_SENT && PyErr_Occurred() ? CALL_FAILED : sent;
}

/* A regular file: read and sent without Python, in full records. Returns errno of reading, or 0. */
static int send_file_blocks(struct wsgi_call *call, struct request *r, struct file_range range, enum call_sent *sent) {
    char *block = malloc(FILE_BLOCK);
    int error = block ? 0 : ENOMEM;
    while (!error && *sent == CALL_SENT && range.start < range.end) {
        off_t left = range.end - range.start;
        ssize_t n = pread(range.fd, block, left < FILE_BLOCK ? (size_t)left : FILE_BLOCK, range.start);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            error = n ? errno : ENODATA;
            break;
        }
        range.start += n;
        call->sent += (uint64_t)n;
        if (request_send(r, block, (size_t)n))
            *sent = CALL_GONE;
    }
    free(block);
    return error;
}

static enum call_sent send_file(struct wsgi_call *call, struct file_range range) {
    struct request *r = call->r;
    uint64_t size = (uint64_t)(range.end - range.start);
    enum call_sent sent = CALL_SENT;
    if (call_set_length(call, size))
        return CALL_FAILED;
    if (call->length_set && call->length < call->sent + size)
        range.end = range.start + (off_t)(call->length - call->sent);
    if (call->no_body) {
        call->sent += (uint64_t)(range.end - range.start);
        return CALL_SENT;
    }
    call->sending = true;
    PyThreadState *state = call_enter(call);
    int error = send_file_blocks(call, r, range, &sent);
    call_leave(call, state);
    call->sending = false;
    if (error) {
        errno = error;
        PyErr_SetFromErrno(PyExc_OSError);
        return CALL_FAILED;
    }
    return sent;
}

static enum call_sent send_result(struct wsgi_call *call, PyObject *result) {
    struct file_range range;
    if (PyList_CheckExact(result) || PyTuple_CheckExact(result)) {
        Py_ssize_t total = sequence_bytes(result);
        if (total >= 0 && !call->sent)
            return send_sequence(call, result, total);
    } else if (call->started && file_wrapper_range(result, &range))
        return send_file(call, range);
    return send_iterable(call, result);
}

/* The answer is complete, as far as the application is concerned. */
static enum call_sent finish(struct wsgi_call *call) {
    if (!call->started) {
        PyErr_SetString(PyExc_AssertionError, "the application did not call start_response()");
        return CALL_FAILED;
    }
    if (!call->r->head_stored && !call->sent && !call->head_only && call_set_length(call, 0))
        return CALL_FAILED;
    if (!call->r->head_stored && call->length_set && call->length && !call->no_body) {
        PyErr_Format(PyExc_ValueError, "an empty body with Content-Length %llu", (unsigned long long)call->length);
        return CALL_FAILED;
    }
    if (!call->r->head_stored)
        return call_put(call, NULL, 0);
    if (call->length_set && call->sent < call->length && !call->no_body) {
        char text[600];
        log_error("%s: the application sent %llu of the %llu bytes that its Content-Length announced",
                  request_text(call->r, text, sizeof text), (unsigned long long)call->sent,
                  (unsigned long long)call->length);
        call->r->broken_off = true;
    }
    return CALL_SENT;
}

/* PEP 3333, "Specification Details": close() is called at the end of the request, however it ended. */
static void close_result(struct wsgi_call *call, PyObject *result) {
    PyObject *close = NULL;
    if (PyList_CheckExact(result) || PyTuple_CheckExact(result))
        return;
    if (compat_getattr_optional(result, "close", &close) > 0) {
        PyObject *none = PyObject_CallNoArgs(close);
        Py_DECREF(close);
        Py_XDECREF(none);
    }
    if (PyErr_Occurred())
        log_exception(call, "close() of the application's iterable raised an exception");
}

static void call_application(struct wsgi_call *call) {
    PyObject *env = environ_new(call), *result = NULL;
    if (env) {
        PyObject *args[] = {NULL, env, (PyObject *)call};
        result = PyObject_Vectorcall(application, args + 1, 2 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    }
    enum call_sent sent = result ? send_result(call, result) : CALL_FAILED;
    if (sent == CALL_SENT || sent == CALL_FULL)
        sent = finish(call);
    if (sent == CALL_FAILED)
        fail(call);
    if (result)
        close_result(call, result);
    Py_XDECREF(result);
    Py_XDECREF(env);
}

/* Threads. */

static void attach(struct sched_thread *thread) {
    PyThreadState *state = sched_thread_user(thread);
    sched_lock_wait(thread);
    if (state)
        PyEval_RestoreThread(state);
    else {
        /* Kept until the thread ends: a new state for each request would lose threading.local. */
        PyGILState_Ensure();
        sched_thread_set_user(thread, PyThreadState_Get());
    }
    sched_lock_taken(thread);
}

void wsgi_run(struct request *r, void *user) {
    (void)user;
    errors_begin_request(r);
    attach(r->thread);
    struct wsgi_call *call = call_new(r);
    if (call) {
        call_application(call);
        call_end(call);
        Py_DECREF((PyObject *)call);
    } else {
        PyErr_Clear();
        log_error("out of memory");
        r->broken_off = true;
    }
    PyEval_SaveThread();
    errors_end_request();
}

void wsgi_thread_stop(struct sched_thread *thread, void *user) {
    (void)user;
    PyThreadState *state = sched_thread_user(thread);
    if (!state || compat_is_finalizing())
        return;
    PyEval_RestoreThread(state);
    PyGILState_Release(PyGILState_UNLOCKED);
}
