#include "config.h"

#include "python/wsgi/call.h"

#include "proto/decimal.h"
#include "python/child.h"
#include "python/compat.h"
#include "python/thread.h"
#include "python/wsgi/spare.h"
#include "request/answer.h"

#include <errno.h>
#include <stddef.h>

/* write and client_connected: a call object and what calling it does. */
struct bound {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    struct wsgi_call *call;
};

static PyTypeObject call_type, write_type, connected_type;
static struct spare spare_calls, spare_bounds;

struct wsgi_call *call_new(struct request *r) {
    struct wsgi_call *call = (struct wsgi_call *)spare_new(&spare_calls, &call_type);
    if (!call)
        return NULL;
    call->vectorcall = start_response;
    call->r = r;
    call->users = 0;
    call->sending = call->called = call->started = call->ended = call->length_set = call->beyond = false;
    call->head_only = call->no_body = r->vars.method.n == 4 && !memcmp(r->vars.method.p, "HEAD", 4);
    call->length = call->sent = 0;
    return call;
}

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
    call->sending = true;
    enum call_sent result = count_bytes(call, &len);
    PyThreadState *state = call_enter(call);
    int failed = request_send(r, data, call->no_body ? 0 : len);
    int error = errno;
    call_leave(call, state);
    call->sending = false;
    if (!failed)
        return call->no_body ? CALL_FULL : result;
    if (error == EPIPE) {
        atomic_store(&r->gone, true);
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
    if (!r->frontend->put(r, data, call->no_body ? 0 : len))
        return result;
    PyErr_NoMemory();
    return CALL_FAILED;
}

/* The bound callables. */

static PyObject *no_arguments(const char *name, size_t wanted, size_t nargsf, PyObject *names) {
    if ((size_t)PyVectorcall_NARGS(nargsf) == wanted && (!names || !PyTuple_GET_SIZE(names)))
        return Py_None;
    PyErr_Format(PyExc_TypeError, "%s() takes %zu positional argument%s", name, wanted, wanted == 1 ? "" : "s");
    return NULL;
}

static PyObject *write_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names) {
    struct wsgi_call *call = ((struct bound *)self)->call;
    if (!no_arguments("write", 1, nargsf, names))
        return NULL;
    if (!PyBytes_Check(args[0]))
        return PyErr_Format(PyExc_TypeError, "write() argument must be bytes, not %.100s", Py_TYPE(args[0])->tp_name);
    size_t len = (size_t)PyBytes_GET_SIZE(args[0]);
    /* A write beyond Content-Length is an error (PEP 3333, "Handling the Content-Length Header"). How much was sent is not
     * known while another thread sends, which is an error of its own. */
    if (call->r && !call->sending && call->length_set && call->sent + len > call->length && !call->no_body)
        return PyErr_Format(PyExc_ValueError, "write() of more bytes than Content-Length %llu allows",
                            (unsigned long long)call->length);
    switch (call_send(call, PyBytes_AS_STRING(args[0]), len)) {
    case CALL_SENT:
    case CALL_FULL:
        Py_RETURN_NONE;
    case CALL_GONE:
        errno = EPIPE;
        return PyErr_SetFromErrno(PyExc_OSError);
    default:
        return NULL;
    }
}

static PyObject *connected_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names) {
    (void)args;
    struct wsgi_call *call = ((struct bound *)self)->call;
    if (!no_arguments("client_connected", 0, nargsf, names))
        return NULL;
    return PyBool_FromLong(call->r && !child_is() && !atomic_load_explicit(&call->r->gone, memory_order_relaxed) &&
                           !atomic_load_explicit(&call->r->left, memory_order_relaxed));
}

static PyObject *bound_new(PyTypeObject *type, struct wsgi_call *call, vectorcallfunc function) {
    struct bound *b = (struct bound *)spare_new(&spare_bounds, type);
    if (!b)
        return NULL;
    b->vectorcall = function;
    b->call = (struct wsgi_call *)Py_NewRef((PyObject *)call);
    return (PyObject *)b;
}

PyObject *call_new_write(struct wsgi_call *call) {
    return bound_new(&write_type, call, write_call);
}

PyObject *call_new_connected(struct wsgi_call *call) {
    return bound_new(&connected_type, call, connected_call);
}

/* Types. */

static void call_dealloc(PyObject *self) {
    spare_free(&spare_calls, self);
}

static void bound_dealloc(PyObject *self) {
    Py_DECREF((PyObject *)((struct bound *)self)->call);
    spare_free(&spare_bounds, self);
}

static PyTypeObject call_type = {
    .ob_base = COMPAT_TYPE_HEAD,
    .tp_name = "wsgi_fcgi.start_response",
    .tp_basicsize = sizeof(struct wsgi_call),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_HAVE_VECTORCALL,
    .tp_vectorcall_offset = offsetof(struct wsgi_call, vectorcall),
    .tp_call = PyVectorcall_Call,
    .tp_dealloc = call_dealloc,
};

static PyTypeObject write_type = {
    .ob_base = COMPAT_TYPE_HEAD,
    .tp_name = "wsgi_fcgi.write",
    .tp_basicsize = sizeof(struct bound),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_HAVE_VECTORCALL,
    .tp_vectorcall_offset = offsetof(struct bound, vectorcall),
    .tp_call = PyVectorcall_Call,
    .tp_dealloc = bound_dealloc,
};

static PyTypeObject connected_type = {
    .ob_base = COMPAT_TYPE_HEAD,
    .tp_name = "wsgi_fcgi.client_connected",
    .tp_basicsize = sizeof(struct bound),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_HAVE_VECTORCALL,
    .tp_vectorcall_offset = offsetof(struct bound, vectorcall),
    .tp_call = PyVectorcall_Call,
    .tp_dealloc = bound_dealloc,
};

int call_init(void) {
    start_response_init();
    return compat_type_ready(&call_type) || compat_type_ready(&write_type) || compat_type_ready(&connected_type) ? -1
                                                                                                                 : 0;
}
