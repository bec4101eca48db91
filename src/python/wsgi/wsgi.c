#include "config.h"

#include "python/wsgi/wsgi.h"

#include "base/log.h"
#include "base/pread.h"
#include "python/app/app.h"
#include "python/app/load_watch.h"
#include "python/wsgi/call.h"
#include "python/child.h"
#include "python/compat.h"
#include "python/wsgi/environ.h"
#include "python/errors.h"
#include "python/wsgi/file_wrapper.h"
#include "python/interp.h"
#include "python/thread.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <sysexits.h>
#include <unistd.h>

static PyObject *application, *name_close;

enum {
    WHOLE_MAX = 65536, /* an answer that is known in whole and no longer than this leaves in one piece at the end */
    SHORT_MAX = 4096   /* pieces of a longer one that are no longer than this are copied, to be sent together */
};

int wsgi_init(const char *spec, const char *start, bool multithread, unsigned destinations) {
    int status = EX_SOFTWARE;
    PyObject *errors = NULL, *file_wrapper = NULL;
    errors_set_destinations(destinations);
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
    name_close = PyUnicode_InternFromString("close");
    if (name_close && errors && file_wrapper && !call_init() && !input_init() &&
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
    Py_CLEAR(name_close);
    Py_CLEAR(application);
}

/* Errors. */

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

/* Logs the pending exception. That of an application that writes to a peer that went away, or reads from one that did not
 * send its body as it should (which has a line of its own), is no fault and gets a line without a traceback; peers cause it
 * at will. */
static void log_exception(struct wsgi_call *call, const char *what) {
    static struct fault {
        const char *text;
        struct log_limit limit;
    } went_away = {.text = "the client went away"}, unreadable = {.text = "the application could not read the body"};
    struct fault *fault = NULL;
    char text[600], line[700], more[LOG_MORE_SIZE];
    if ((atomic_load(&call->r->gone) || atomic_load(&call->r->left)) && PyErr_ExceptionMatches(PyExc_ConnectionError))
        fault = &went_away;
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

/* The application has failed: an error page while nothing was sent, else a cut answer. */
static void fail(struct wsgi_call *call) {
    struct request *r = call->r;
    const char *status = failure_status(r);
    /* What a thread of the application is still sending has begun, and is that thread's to look at. */
    if (PyErr_Occurred())
        log_exception(call, call->sending || r->head_stored
                                ? "the application raised an exception within its answer, which is cut off"
                                : "the application raised an exception");
    if (call->sending || r->head_stored || request_answer(r, status, NULL, status + 4))
        r->broken_off = true;
}

/* Bodies. */

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

/* Files: sent without Python, block by block: read into memory, or left to the system where that is safe. */

struct file_sending {
    struct request *r;
    struct file_range range; /* what is left */
    bool unread;             /* the next block is not in `block`, but left to the system */
    bool disk_only;          /* waits_for_disk_only of it */
    char block[REQUEST_FILE_BLOCK];
};

/* Reads the next block. Returns its length, less than asked for only at the end of the file, or -1 with errno. */
static ssize_t read_block(struct file_sending *f) {
    off_t left = f->range.end - f->range.start;
    size_t want = left < REQUEST_FILE_BLOCK ? (size_t)left : REQUEST_FILE_BLOCK;
    struct iovec cached = {f->block, want};
    /* What the system has in memory comes at once; a disk is waited for without the baton. */
    ssize_t n = preadv2(f->range.fd, &cached, 1, f->range.start, RWF_NOWAIT);
    size_t have = n > 0 ? (size_t)n : 0;
    if (n < 0 && errno == EAGAIN)
        (void)sched_will_block(f->r->thread);
    int error;
    have += pread_full(f->range.fd, f->block + have, want - have, f->range.start + (off_t)have, &error);
    if (error) {
        errno = error;
        return -1;
    }
    f->range.start += (off_t)have;
    return (ssize_t)have;
}

/* Of the file systems that cannot tell whether they would have to wait, those that never wait for more than a disk: what
 * others wait for (a server, a process) may never come. */
static bool waits_for_disk_only(int fd) {
    struct statfs s;
    return !fstatfs(fd, &s) && (s.f_type == TMPFS_MAGIC || s.f_type == OVERLAYFS_SUPER_MAGIC);
}

/* Whether a byte of the file is in memory now. */
static bool is_in_memory(const struct file_sending *f, off_t at) {
    char byte;
    struct iovec v = {&byte, 1};
    ssize_t n = preadv2(f->range.fd, &v, 1, at, RWF_NOWAIT);
    if (n < 0 && errno == EOPNOTSUPP && f->disk_only) {
        (void)sched_will_block(f->r->thread);
        n = pread(f->range.fd, &byte, 1, at);
    }
    return n > 0;
}

/* Whether the next block may be sent unread. A file that is truncated meanwhile leaves zeros in it, so that it must not be
 * the last one of the announced length: what comes short is then seen. And it must be in memory: the connection is locked
 * while it is sent. Of both its ends the rest is inferred; where that is wrong a disk is waited for, with the lock. */
static bool may_go_unread(const struct wsgi_call *call, const struct file_sending *f) {
    off_t first = f->range.start, last = first + REQUEST_FILE_BLOCK - 1;
    return call->length_set && last + 1 < f->range.end && is_in_memory(f, last) && is_in_memory(f, first);
}

/* Makes the next block ready. Returns its length, 0 at the end, or -1 with errno. */
static ssize_t next_block(const struct wsgi_call *call, struct file_sending *f) {
    f->unread = may_go_unread(call, f);
    if (f->unread)
        return REQUEST_FILE_BLOCK;
    return f->range.start < f->range.end ? read_block(f) : 0;
}

/* Returns how many bytes of the file were sent, or -1 with errno. */
static ssize_t send_block(struct file_sending *f, ssize_t n) {
    if (!f->unread)
        return request_send(f->r, f->block, (size_t)n) ? -1 : n;
    n = request_send_file(f->r, f->range.fd, f->range.start);
    if (n > 0)
        f->range.start += n;
    return n;
}

/* Sends the block that was read, of `n` bytes, and what is left; stops at the end of the file. Returns 0, or errno when
 * that was not the peer's doing. Without the GIL. */
static int send_blocks(struct wsgi_call *call, struct file_sending *f, ssize_t n, enum call_sent *sent) {
    while (n > 0) {
        ssize_t count = send_block(f, n);
        if (count < 0) {
            if (errno != EPIPE)
                return errno;
            atomic_store(&f->r->gone, true);
            *sent = CALL_GONE;
            return 0;
        }
        call->sent += (uint64_t)count;
        if (count < n) /* zeros went out behind it: no more, but the reason if there is one */
            return read_block(f) < 0 ? errno : 0;
        n = next_block(call, f);
    }
    return n < 0 ? errno : 0;
}

/* Reads the first block and decides. False, with nothing done, when there is less in the file than its size says (files
 * of the kernel, in /proc and /sys, have no size that means anything): it has to be read to its end to be known. */
static bool start_file(struct wsgi_call *call, struct file_sending *f, off_t size, ssize_t *n) {
    off_t end = f->range.end;
    if (f->range.end > f->range.start + size)
        f->range.end = f->range.start + size;
    off_t left = f->range.end - f->range.start;
    PyThreadState *state = call_enter(call);
    *n = read_block(f);
    call_leave(call, state);
    f->range.end = end;
    return *n == (left < REQUEST_FILE_BLOCK ? left : REQUEST_FILE_BLOCK);
}

/* A regular file, from its position to its end or to what Content-Length says; a file that grows meanwhile is sent up
 * to that. */
static enum call_sent send_file(struct wsgi_call *call, struct file_sending *f, PyObject *result) {
    off_t size = f->range.end - f->range.start;
    enum call_sent sent = CALL_SENT;
    ssize_t n;
    /* To find out about the file was to call Python, so that another thread may have begun to send. */
    if (!call_may_send(call))
        return CALL_FAILED;
    if (call->length_set)
        f->range.end = f->range.start + (off_t)(call->length - call->sent);
    call->sending = true;
    bool known = size && start_file(call, f, size, &n);
    call->sending = false;
    if (!known)
        return send_iterable(call, result);
    if (call_set_length(call, (uint64_t)size))
        return CALL_FAILED;
    if (call->no_body || f->range.start == f->range.end)
        return call_put(call, f->block, (size_t)n);
    call->sending = true;
    PyThreadState *state = call_enter(call);
    int error = send_blocks(call, f, n, &sent);
    call_leave(call, state);
    call->sending = false;
    if (error) {
        errno = error;
        PyErr_SetFromErrno(PyExc_OSError);
        return CALL_FAILED;
    }
    return sent;
}

static enum call_sent send_file_wrapper(struct wsgi_call *call, PyObject *result, struct file_range range) {
    struct file_sending *f = malloc(sizeof *f);
    if (!f) {
        PyErr_NoMemory();
        return CALL_FAILED;
    }
    f->r = call->r;
    f->range = range;
    f->unread = false;
    f->disk_only = waits_for_disk_only(range.fd);
    enum call_sent sent = send_file(call, f, result);
    free(f);
    return sent;
}

static enum call_sent send_result(struct wsgi_call *call, PyObject *result) {
    struct file_range range;
    if (PyList_CheckExact(result) || PyTuple_CheckExact(result)) {
        Py_ssize_t total = sequence_bytes(result);
        if (total >= 0 && !call->sent)
            return send_sequence(call, result, total);
    } else if (call->started && !call->sending && file_wrapper_range(result, &range)) {
        enum call_sent sent = send_file_wrapper(call, result, range);
        file_range_close(&range);
        return sent;
    }
    return send_iterable(call, result);
}

/* Who has announced too little would look for the end of the body in vain. */
static void tell_beyond(struct wsgi_call *call) {
    static struct log_limit limit;
    char text[600], more[LOG_MORE_SIZE];
    unsigned long long length = call->length;
    if (!log_limit_due(&limit, more))
        return;
    request_text(call->r, text, sizeof text);
    Py_BEGIN_ALLOW_THREADS
    log_warning("%s: the application's body is longer than its Content-Length %llu: the rest was left out%s", text,
                length, more);
    Py_END_ALLOW_THREADS
}

/* The answer is complete, as far as the application is concerned. */
static enum call_sent finish(struct wsgi_call *call) {
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
        char text[600];
        unsigned long long sent = call->sent, length = call->length;
        request_text(call->r, text, sizeof text);
        call->r->broken_off = true;
        Py_BEGIN_ALLOW_THREADS
        log_error("%s: the application sent %llu of the %llu byte%s that its Content-Length announced", text, sent,
                  length, length == 1 ? "" : "s");
        Py_END_ALLOW_THREADS
    }
    return CALL_SENT;
}

/* PEP 3333, "Specification Details": close() is called at the end of the request, however it ended. */
static void close_result(struct wsgi_call *call, PyObject *result) {
    PyObject *close = NULL;
    if (PyList_CheckExact(result) || PyTuple_CheckExact(result))
        return;
    if (compat_getattr_optional_name(result, name_close, &close) > 0) {
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
    if (child_is())
        child_end();
    enum call_sent sent = result ? send_result(call, result) : CALL_FAILED;
    if (child_is())
        child_end();
    if (sent == CALL_SENT || sent == CALL_FULL)
        sent = finish(call);
    /* What comes from here on is neither for the log nor for close(). */
    thread_drop_late(call->r, true);
    if (sent == CALL_FAILED)
        fail(call);
    call->ended = true;
    thread_drop_late(call->r, true);
    if (result)
        close_result(call, result);
    Py_XDECREF(result);
    Py_XDECREF(env);
    if (child_is())
        child_end();
}

/* Threads. */

/* The thread has kept the GIL since its last call. */
static _Thread_local bool attached;

static void attach(struct sched_thread *thread) {
    PyThreadState *state = sched_thread_user(thread);
    if (attached)
        return;
    sched_lock_wait(thread);
    if (state)
        PyEval_RestoreThread(state);
    else {
        /* Kept until the thread ends: a new state for each request would lose threading.local. */
        PyGILState_Ensure();
        sched_thread_set_user(thread, PyThreadState_Get());
        call_thread = thread;
    }
    sched_lock_taken(thread);
    if (!state)
        thread_introduce(thread);
}

void wsgi_run(struct request *r, void *user) {
    (void)user;
    errors_begin_request(r);
    attach(r->thread);
    thread_drop_late(r, false);
    struct wsgi_call *call = call_new(r);
    if (call) {
        call_application(call);
        call_end(call);
        thread_drop_late(r, true);
        Py_DECREF((PyObject *)call);
    } else {
        PyErr_Clear();
        r->broken_off = true;
        Py_BEGIN_ALLOW_THREADS
        log_error("out of memory");
        Py_END_ALLOW_THREADS
    }
    errors_end_request();
    attached = sched_goes_on(r->thread);
    if (!attached)
        PyEval_SaveThread();
}

char *wsgi_running(char *out, unsigned long size) {
    const struct request *r = errors_request();
    return r ? request_text(r, out, size) : NULL;
}

void wsgi_thread_pause(struct sched_thread *thread, void *user) {
    (void)thread;
    (void)user;
    attached = false;
    PyEval_SaveThread();
}

void wsgi_thread_stop(struct sched_thread *thread, void *user) {
    (void)user;
    PyThreadState *state = sched_thread_user(thread);
    if (state && !compat_is_finalizing()) {
        PyEval_RestoreThread(state);
        PyGILState_Release(PyGILState_UNLOCKED);
    }
    thread_leave();
}
