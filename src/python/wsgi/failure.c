#include "config.h"

#include "python/wsgi/failure.h"

#include "base/ascii.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/log_limit.h"
#include "python/compat.h"
#include "python/interp.h"
#include "python/interrupt.h"

#include <errno.h>
#include <stdio.h>

/* Whether the pending exception is the error that reading the body of this request ends with, and the peer's doing.
 * Frameworks raise subclasses of OSError with the same arguments (Django: UnreadablePostError). */
static bool is_of_body(struct request *r) {
    int error = body_error(&r->body);
    if (!error || body_unspooled(&r->body) || !PyErr_ExceptionMatches(PyExc_OSError))
        return false;
    PyObject *raised = compat_err_take(), *number = PyObject_GetAttrString(raised, "errno");
    bool same = number && PyLong_Check(number) && PyLong_AsLong(number) == error;
    Py_XDECREF(number);
    PyErr_Clear(); /* of what looking at it raised */
    compat_err_restore(raised);
    return same;
}

/* The log has the stack already. */
static void log_interrupt(const struct request *r) {
    char text[REQUEST_TEXT_SIZE], shown[ASCII_SECONDS_SIZE];
    PyErr_Clear();
    request_text(r, text, sizeof text);
    ascii_put_seconds(shown, (double)((clock_ns() - r->job.begun_at) / 100000000) / 10);
    Py_BEGIN_ALLOW_THREADS
    log_info("%s: was interrupted after %s s", text, shown);
    Py_END_ALLOW_THREADS
}

void failure_log(struct wsgi_call *call, const char *what) {
    /* Mutable went_away, too_late, unreadable: any thread; their limits are atomic. */
    static struct fault {
        const char *text;
        struct log_limit limit;
    } went_away = {.text = "the client went away"}, too_late = {.text = "its answer came when its time was over"},
      unreadable = {.text = "the application could not read the body"};
    struct fault *fault = NULL;
    char text[REQUEST_TEXT_SIZE], line[REQUEST_TEXT_SIZE + 100], more[LOG_MORE_SIZE];
    if (interrupt_is_pending()) {
        log_interrupt(call->r);
        return;
    }
    if ((request_is_gone(call->r) || atomic_load(&call->r->left)) && PyErr_ExceptionMatches(PyExc_ConnectionError))
        fault = atomic_load(&call->r->overdue) ? &too_late : &went_away;
    else if (is_of_body(call->r))
        fault = &unreadable;
    if (fault)
        PyErr_Clear();
    if (fault && !log_limit_due(&fault->limit, more))
        return;
    request_text(call->r, text, sizeof text);
    if (fault) {
        Py_BEGIN_ALLOW_THREADS
        log_info("%s: %s%s", text, fault->text, more);
        Py_END_ALLOW_THREADS
        return;
    }
    snprintf(line, sizeof line, "%s: %s", text, what);
    interp_print_error(line);
}

/* An application that read a body to its bad end is not at fault; the same answers are given before it is started. */
static const char *failure_status(struct request *r) {
    if (body_unspooled(&r->body))
        return "507 Insufficient Storage"; /* whatever the file's error is: ENOSPC, EDQUOT, EIO, EFBIG by a limit */
    switch (body_error(&r->body)) {
    case EFBIG:
        return "413 Content Too Large";
    case ETIMEDOUT:
        return "408 Request Timeout";
    case EPROTO:
        return "400 Bad Request";
    default:
        return "500 Internal Server Error";
    }
}

void failure_answer(struct wsgi_call *call) {
    struct request *r = call->r;
    const char *status = failure_status(r);
    /* What a thread of the application is still sending has begun, and is that thread's to look at. */
    if (PyErr_Occurred())
        failure_log(call, call->sending || r->head_stored
                              ? "the application raised an exception within its answer, which is cut off"
                              : "the application raised an exception");
    if (call->sending || r->head_stored || request_answer(r, status, NULL, status + 4))
        r->broken_off = true;
}
