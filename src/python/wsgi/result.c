#include "config.h"

#include "python/wsgi/result.h"

#include "python/child.h"
#include "python/compat.h"
#include "python/interrupt.h"
#include "python/wsgi/failure.h"
#include "python/wsgi/file_sending.h"

enum {
    WHOLE_MAX = 65536, /* an answer that is known in whole and no longer than this leaves in one piece at the end */
    SHORT_MAX = 4096   /* pieces of a longer one that are no longer than this are copied, to be sent together */
};

static bool check_bytes(PyObject *item) {
    if (PyBytes_Check(item))
        return true;
    PyErr_Format(PyExc_TypeError, "the application's iterable gave %.100s, not bytes", Py_TYPE(item)->tp_name);
    return false;
}

/* Of an exact list or tuple; the item is borrowed. */
static Py_ssize_t sequence_size(PyObject *sequence) {
    return PyList_CheckExact(sequence) ? PyList_GET_SIZE(sequence) : PyTuple_GET_SIZE(sequence);
}

static PyObject *sequence_item(PyObject *sequence, Py_ssize_t i) {
    return PyList_CheckExact(sequence) ? PyList_GET_ITEM(sequence, i) : PyTuple_GET_ITEM(sequence, i);
}

/* What a sequence holds in bytes, or -1 when that cannot be told without running code of the application. */
static Py_ssize_t sequence_bytes(PyObject *result) {
    Py_ssize_t total = 0, n = sequence_size(result);
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *item = sequence_item(result, i);
        if (!PyBytes_Check(item))
            return -1;
        total += PyBytes_GET_SIZE(item);
    }
    return total;
}

/* Whether a piece is stored to travel with the next ones, or with the end. What is stored belongs to the thread that
 * sends. */
static bool may_wait(const struct wsgi_call *call, Py_ssize_t total, size_t len) {
    return total <= WHOLE_MAX || (len <= SHORT_MAX && !call->sending && buf_len(&call->r->out) + len < WHOLE_MAX);
}

static enum call_sent send_item(struct wsgi_call *call, Py_ssize_t total, PyObject *item) {
    const char *data = PyBytes_AS_STRING(item);
    size_t len = (size_t)PyBytes_GET_SIZE(item);
    return may_wait(call, total, len) ? call_put(call, data, len) : call_send(call, data, len);
}

/* A list or tuple of bytes: the length is known (PEP 3333, "Handling the Content-Length Header"), and there is nothing
 * to wait for between the pieces: a short answer leaves in one piece, and so do the short pieces of a long one. */
static enum call_sent send_sequence(struct wsgi_call *call, PyObject *result, Py_ssize_t total) {
    /* An empty answer to HEAD says nothing of the length that GET would have. */
    if (call->started && (total || !call->head_only) && call_set_length(call, (uint64_t)total))
        return CALL_FAILED;
    /* What comes behind a piece that is the last to be sent is seen here only. */
    if (call->length_set && (uint64_t)total > call->length && !call->no_body)
        call->beyond = true;
    enum call_sent sent = CALL_SENT;
    /* While one is sent, another thread may change a list. */
    for (Py_ssize_t i = 0; sent == CALL_SENT && i < sequence_size(result); i++) {
        PyObject *item = Py_NewRef(sequence_item(result, i));
        sent = check_bytes(item) ? send_item(call, total, item) : CALL_FAILED;
        Py_DECREF(item);
    }
    return sent;
}

/* Whether it is to be awaited or iterated over by asynchronous code only. */
static bool is_awaitable(PyObject *result) {
    const PyAsyncMethods *async = Py_TYPE(result)->tp_as_async;
    return async && (async->am_await || async->am_aiter) && !Py_TYPE(result)->tp_iter;
}

/* New iterator over what the application returned. What is often returned by mistake gets a message that helps: a
 * string is iterable, but not over bytes objects. */
static PyObject *result_iterator(PyObject *result) {
    bool string = PyBytes_Check(result) || PyUnicode_Check(result);
    if (result == Py_None)
        return PyErr_Format(PyExc_TypeError, "the application returned None, not an iterable of bytes objects: does it "
                                             "lack a return?");
    if (string && PyObject_Size(result)) /* runs code of a subclass, which may change its name */
        return PyErr_Format(PyExc_TypeError,
                            "the application returned a %.100s object, not an iterable of bytes "
                            "objects: put the body, as bytes, into a list",
                            Py_TYPE(result)->tp_name);
    if (is_awaitable(result))
        return PyErr_Format(PyExc_TypeError,
                            "the application returned an object of type %.100s, as asynchronous functions and ASGI "
                            "applications do: wrap it (a2wsgi.ASGIMiddleware), or use an ASGI server",
                            Py_TYPE(result)->tp_name);
    if (!Py_TYPE(result)->tp_iter && !PySequence_Check(result))
        return PyErr_Format(PyExc_TypeError,
                            "the application returned an object of type %.100s, not an iterable of "
                            "bytes objects",
                            Py_TYPE(result)->tp_name);
    return PyObject_GetIter(result);
}

/* Any iterable: each piece is sent before the next one is asked for (PEP 3333, "Buffering and Streaming"). */
static enum call_sent send_iterable(struct wsgi_call *call, PyObject *result) {
    PyObject *iterator = result_iterator(result), *item;
    enum call_sent sent = iterator ? CALL_SENT : CALL_FAILED;
    while (sent == CALL_SENT && (item = PyIter_Next(iterator))) {
        if (child_is())
            break;
        sent =
            check_bytes(item) ? call_send(call, PyBytes_AS_STRING(item), (size_t)PyBytes_GET_SIZE(item)) : CALL_FAILED;
        Py_DECREF(item);
    }
    Py_XDECREF(iterator);
    /* PEP 3333, "Optional Platform-Specific File Handling": of a wrapped file only so much is meant. */
    if (call->beyond && file_wrapper_is(result))
        call->beyond = false;
    return sent == CALL_SENT && PyErr_Occurred() ? CALL_FAILED : sent;
}

enum call_sent result_send(struct wsgi_call *call, PyObject *result) {
    struct file_range range;
    if (PyList_CheckExact(result) || PyTuple_CheckExact(result)) {
        Py_ssize_t total = sequence_bytes(result);
        if (total >= 0 && !call->sent)
            return send_sequence(call, result, total);
    } else if (call->started && !call->sending && file_wrapper_range(call->lane->app, result, &range)) {
        enum call_sent sent;
        bool done = file_sending_send(call, range, &sent);
        file_range_close(&range);
        if (done)
            return sent;
    }
    return send_iterable(call, result);
}

void result_close(struct wsgi_call *call, PyObject *result) {
    PyObject *close = NULL;
    if (PyList_CheckExact(result) || PyTuple_CheckExact(result))
        return;
    if (compat_getattr_optional_name(result, call->lane->app->name_close, &close) > 0) {
        PyObject *none = PyObject_CallNoArgs(close);
        interrupt_hold();
        Py_DECREF(close);
        Py_XDECREF(none);
    }
    if (PyErr_Occurred())
        failure_log(call, "close() of the application's iterable raised an exception");
}
