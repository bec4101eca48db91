#include "config.h"

#include "python/wsgi/callables.h"

#include "base/ascii.h"
#include "python/child.h"
#include "python/compat.h"

#include <errno.h>
#include <stddef.h>

/* A call, and what calling the object does with it. */
struct bound {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    struct wsgi_call *call;
};

/* Mutable write_type, connected_type: CPython, GIL held. */
static PyTypeObject write_type, connected_type;

static PyObject *no_arguments(const char *name, size_t wanted, size_t nargsf, PyObject *names) {
    if ((size_t)PyVectorcall_NARGS(nargsf) == wanted && (!names || !PyTuple_GET_SIZE(names)))
        return Py_None;
    PyErr_Format(PyExc_TypeError, "%s() takes %zu positional argument%s", name, wanted, ascii_plural(wanted));
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
    return PyBool_FromLong(call->r && !child_is() && request_is_connected(call->r));
}

static PyObject *bound_new(PyTypeObject *type, struct wsgi_call *call, vectorcallfunc function) {
    struct bound *b = (struct bound *)spare_new(&call->lane->callables, type);
    if (!b)
        return NULL;
    b->vectorcall = function;
    b->call = (struct wsgi_call *)Py_NewRef((PyObject *)call);
    return (PyObject *)b;
}

PyObject *write_new(struct wsgi_call *call) {
    return bound_new(&write_type, call, write_call);
}

PyObject *connected_new(struct wsgi_call *call) {
    return bound_new(&connected_type, call, connected_call);
}

static void bound_dealloc(PyObject *self) {
    struct wsgi_call *call = ((struct bound *)self)->call;
    struct spare *spare = &call->lane->callables;
    Py_DECREF((PyObject *)call);
    spare_free(spare, self);
}

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

int callables_init(void) {
    return compat_type_ready(&write_type) || compat_type_ready(&connected_type) ? -1 : 0;
}
