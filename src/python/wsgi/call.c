#include "config.h"

#include "python/wsgi/call.h"

#include "base/ascii.h"
#include "base/log.h"
#include "base/log_limit.h"
#include "proto/decimal.h"
#include "python/child.h"
#include "python/thread.h"
#include "request/answer.h"

#include <errno.h>

void call_end(struct wsgi_call *call) {
    struct request *r = call->r;
    call->r = NULL;
    if (!call->users)
        return;
    sem_t last;
    sem_init(&last, 0, 0);
    call->last = &last;
    Py_BEGIN_ALLOW_THREADS
    request_give_up(r);
    while (sem_wait(&last))
        ; /* EINTR */
    Py_END_ALLOW_THREADS
    sem_destroy(&last);
}

PyThreadState *call_enter(struct wsgi_call *call) {
    call->users++;
    return PyEval_SaveThread();
}

void call_leave(struct wsgi_call *call, PyThreadState *state) {
    thread_lock_wait();
    PyEval_RestoreThread(state);
    thread_lock_taken();
    if (!--call->users && !call->r)
        sem_post(call->last);
}

static void set_sending_error(void) {
    PyErr_SetString(PyExc_RuntimeError, "another thread is sending a part of this answer");
}

/* Of an answer whose body is not sent. That of a status without content is nobody's: for a 304 it would be taken for the
 * length of the answer that it stands for (RFC 9110, 8.6). */
static bool may_tell_length(const struct wsgi_call *call) {
    return call->head_only && answer_content(call->r->status) == ANSWER_ANY;
}

int call_set_length(struct wsgi_call *call, uint64_t length) {
    char digits[DECIMAL_MAX];
    /* The head belongs to the thread that sends it. */
    if (call->sending) {
        set_sending_error();
        return -1;
    }
    if (call->length_set || !call->r || call->r->head_stored || (call->no_body && !may_tell_length(call)))
        return 0;
    struct buf *head = &call->r->head;
    struct slice number = decimal(digits, length);
    if (buf_append(head, "Content-Length: ", 16) || buf_append(head, number.p, number.n) ||
        buf_append(head, "\r\n", 2)) {
        PyErr_NoMemory();
        return -1;
    }
    call->length_set = true;
    call->length = length;
    return 0;
}

/* PEP 3333, "The start_response() Callable": nothing may be sent before it was called. */
bool call_may_send(struct wsgi_call *call) {
    if (!call->r || call->ended)
        PyErr_SetString(PyExc_RuntimeError, "the answer has ended");
    else if (!call->started)
        PyErr_SetString(PyExc_AssertionError, call->called ? "a body, but the call of start_response() failed"
                                                           : "a body before start_response() was called");
    else if (call->sending)
        set_sending_error();
    else
        return true;
    return false;
}

/* Cuts *len to what Content-Length leaves room for. PEP 3333, "Handling the Content-Length Header". */
static enum call_sent count_bytes(struct wsgi_call *call, size_t *len) {
    enum call_sent result = CALL_SENT;
    if (call->length_set && call->sent + *len >= call->length) {
        if (call->sent + *len > call->length && !call->no_body)
            call->beyond = true;
        result = CALL_FULL;
        *len = (size_t)(call->length - call->sent);
    }
    call->sent += *len;
    return result;
}

enum call_sent call_send(struct wsgi_call *call, const char *data, size_t len) {
    if (!len)
        return CALL_SENT;
    if (child_is())
        return CALL_GONE;
    if (!call_may_send(call))
        return CALL_FAILED;
    struct request *r = call->r;
    enum call_sent result = count_bytes(call, &len);
    if (call->no_body)
        len = 0;
    /* Nothing follows but the end, and that as soon as the application has closed what it returned. */
    if (result == CALL_FULL && request_leave(r, data, &len))
        return CALL_FULL;
    call->sending = true;
    PyThreadState *state = call_enter(call);
    int failed = request_send(r, data, len);
    int error = errno;
    call_leave(call, state);
    call->sending = false;
    if (!failed)
        return call->no_body ? CALL_FULL : result;
    if (error == EPIPE) {
        request_close_answer(r);
        return CALL_GONE;
    }
    PyErr_NoMemory();
    return CALL_FAILED;
}

enum call_sent call_put(struct wsgi_call *call, const char *data, size_t len) {
    if (child_is())
        return CALL_GONE;
    if (!call_may_send(call))
        return CALL_FAILED;
    struct request *r = call->r;
    enum call_sent result = count_bytes(call, &len);
    if (!request_put(r, data, call->no_body ? 0 : len))
        return result;
    PyErr_NoMemory();
    return CALL_FAILED;
}

/* Who has announced too little would look for the end of the body in vain. */
static void tell_beyond(struct wsgi_call *call) {
    /* Mutable limit: any thread; it is atomic. */
    static struct log_limit limit;
    char text[REQUEST_TEXT_SIZE], more[LOG_MORE_SIZE];
    unsigned long long length = call->length;
    if (!log_limit_due(&limit, more))
        return;
    request_text(call->r, text, sizeof text);
    Py_BEGIN_ALLOW_THREADS
    log_warning("%s: the application's body is longer than its Content-Length %llu: the rest was left out%s", text,
                length, more);
    Py_END_ALLOW_THREADS
}

enum call_sent call_finish(struct wsgi_call *call) {
    if (!call->started) {
        PyErr_SetString(PyExc_AssertionError, call->called ? "the application went on after start_response() had failed"
                                                           : "the application did not call start_response()");
        return CALL_FAILED;
    }
    if (call->sending) {
        PyErr_SetString(PyExc_RuntimeError, "the application returned while a thread of it is inside write()");
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
    call->ended = true; /* before the GIL is released: no thread is to begin to send */
    if (call->beyond)
        tell_beyond(call);
    if (call->length_set && call->sent < call->length && !call->no_body) {
        char text[REQUEST_TEXT_SIZE];
        unsigned long long sent = call->sent, length = call->length;
        request_text(call->r, text, sizeof text);
        call->r->broken_off = true;
        Py_BEGIN_ALLOW_THREADS
        log_error("%s: the application sent %llu of the %llu byte%s that its Content-Length announced", text, sent,
                  length, ascii_plural(length));
        Py_END_ALLOW_THREADS
    }
    return CALL_SENT;
}
