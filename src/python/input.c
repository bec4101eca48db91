#include "config.h"

#include "python/call.h"
#include "python/child.h"
#include "python/compat.h"
#include "python/spare.h"

#include <errno.h>

/* wsgi.input (PEP 3333, "Input and Error Streams"): read, readline, readlines and iteration, all ending at the end of
 * the body. */
struct input {
    PyObject_HEAD
    struct wsgi_call *call;
    struct buf ahead; /* read for the sake of a line, not given out yet */
    unsigned takes;   /* how often something was taken from it */
};

static PyTypeObject *input_type;
static struct spare spare_inputs;

enum {
    LINE_BYTES = 8192, /* read ahead at a time when looking for the end of a line */
    GROW_BYTES = 65536 /* first size of a result whose length is not known; doubled while it is too small */
};

PyObject *input_new(struct wsgi_call *call) {
    struct input *in = (struct input *)spare_new(&spare_inputs, input_type);
    if (!in)
        return NULL;
    in->call = (struct wsgi_call *)Py_NewRef((PyObject *)call);
    in->ahead = (struct buf){0};
    in->takes = 0;
    return (PyObject *)in;
}

static void input_dealloc(PyObject *self) {
    struct input *in = (struct input *)self;
    buf_fini(&in->ahead);
    Py_DECREF((PyObject *)in->call);
    spare_free(&spare_inputs, self);
}

/* At least one byte of the body into `out`; 0 at its end or after the request, -1 with an exception. Releases the GIL
 * only when it has to wait. */
static Py_ssize_t fill(struct input *in, char *out, size_t len) {
    struct request *r = in->call->r;
    if (!r || !len)
        return 0;
    ssize_t n = body_read(&r->body, out, len);
    if (n < 0 && errno == EAGAIN && child_is())
        errno = ECONNRESET; /* nobody here reads from the peer */
    else if (n < 0 && errno == EAGAIN) {
        PyThreadState *state = call_enter(in->call);
        n = request_read(r, out, len);
        int error = errno;
        call_leave(in->call, state);
        errno = error;
    }
    if (n < 0)
        PyErr_SetFromErrno(PyExc_OSError);
    return n;
}

static size_t take_ahead(struct input *in, char *out, size_t len) {
    size_t n = buf_len(&in->ahead);
    n = n < len ? n : len;
    if (n) {
        memcpy(out, buf_head(&in->ahead), n);
        buf_consume(&in->ahead, n);
        in->takes++;
    }
    return n;
}

/* The next `size` bytes, fewer only at the end; negative: all. The result grows with what comes, not with what is asked
 * for: a length that a peer only announces costs nothing. */
static PyObject *read_bytes(struct input *in, Py_ssize_t size) {
    Py_ssize_t room = size >= 0 && size < GROW_BYTES ? size : GROW_BYTES, have;
    PyObject *result = PyBytes_FromStringAndSize(NULL, room);
    if (!result || !room)
        return result;
    have = (Py_ssize_t)take_ahead(in, PyBytes_AS_STRING(result), (size_t)room);
    while (have != size) {
        if (have == room) {
            room = size >= 0 && size / 2 < room ? size : 2 * room;
            if (_PyBytes_Resize(&result, room))
                return NULL;
        }
        Py_ssize_t n = (Py_ssize_t)take_ahead(in, PyBytes_AS_STRING(result) + have, (size_t)(room - have));
        if (!n)
            n = fill(in, PyBytes_AS_STRING(result) + have, (size_t)(room - have));
        if (n < 0) {
            Py_DECREF(result);
            return NULL;
        }
        if (!n)
            break;
        have += n;
    }
    if (have != room)
        _PyBytes_Resize(&result, have);
    return result;
}

/* The next line with its line feed, of at most `size` bytes (negative: any); empty at the end. Another thread of the
 * application may take from `ahead` while this one waits: what is known of it does not outlast the wait. */
static PyObject *read_line(struct input *in, Py_ssize_t size) {
    size_t limit = size < 0 ? SIZE_MAX : (size_t)size, seen = 0;
    for (bool ended = false;;) {
        size_t len = buf_len(&in->ahead), look = len < limit ? len : limit;
        const char *feed = look > seen ? memchr(buf_head(&in->ahead) + seen, '\n', look - seen) : NULL;
        if (feed || look == limit || ended) {
            size_t take = feed ? (size_t)(feed - buf_head(&in->ahead)) + 1 : look;
            PyObject *line = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)take);
            if (line && take)
                take_ahead(in, PyBytes_AS_STRING(line), take);
            return line;
        }
        char chunk[LINE_BYTES];
        unsigned takes = in->takes;
        Py_ssize_t n = fill(in, chunk, sizeof chunk);
        if (n < 0)
            return NULL;
        seen = in->takes == takes ? len : 0;
        if (buf_append(&in->ahead, chunk, (size_t)n))
            return PyErr_NoMemory();
        ended = !n;
    }
}

/* The optional size argument of the methods: absent, None and negative mean no bound. */
static bool take_size(PyObject *const *args, Py_ssize_t nargs, const char *name, Py_ssize_t *size) {
    *size = -1;
    if (nargs > 1) {
        PyErr_Format(PyExc_TypeError, "%s() takes at most 1 argument", name);
        return false;
    }
    if (nargs && args[0] != Py_None) {
        *size = PyNumber_AsSsize_t(args[0], PyExc_OverflowError);
        if (*size == -1 && PyErr_Occurred())
            return false;
    }
    return true;
}

static PyObject *input_read(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
    Py_ssize_t size;
    return take_size(args, nargs, "read", &size) ? read_bytes((struct input *)self, size) : NULL;
}

static PyObject *input_readline(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
    Py_ssize_t size;
    return take_size(args, nargs, "readline", &size) ? read_line((struct input *)self, size) : NULL;
}

static PyObject *input_readlines(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
    Py_ssize_t hint, total = 0;
    if (!take_size(args, nargs, "readlines", &hint))
        return NULL;
    PyObject *lines = PyList_New(0), *line;
    while (lines && (line = read_line((struct input *)self, -1))) {
        Py_ssize_t len = PyBytes_GET_SIZE(line);
        int failed = len ? PyList_Append(lines, line) : 0;
        Py_DECREF(line);
        total += len;
        if (failed)
            break;
        if (!len || (hint > 0 && total >= hint))
            return lines;
    }
    Py_XDECREF(lines);
    return NULL;
}

static PyObject *input_next(PyObject *self) {
    PyObject *line = read_line((struct input *)self, -1);
    if (line && !PyBytes_GET_SIZE(line))
        Py_CLEAR(line); /* without an exception this ends the iteration */
    return line;
}

static PyMethodDef input_methods[] = {
    {"read", (PyCFunction)(void (*)(void))input_read, METH_FASTCALL, NULL},
    {"readline", (PyCFunction)(void (*)(void))input_readline, METH_FASTCALL, NULL},
    {"readlines", (PyCFunction)(void (*)(void))input_readlines, METH_FASTCALL, NULL},
    {0},
};

int input_init(void) {
    PyType_Slot slots[] = {
        COMPAT_SLOT(Py_tp_dealloc, input_dealloc),
        {Py_tp_methods, input_methods},
        COMPAT_SLOT(Py_tp_iter, PyObject_SelfIter),
        COMPAT_SLOT(Py_tp_iternext, input_next),
        {0, NULL},
    };
    PyType_Spec spec = {
        .name = "wsgi_fcgi.input",
        .basicsize = sizeof(struct input),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
        .slots = slots,
    };
    input_type = (PyTypeObject *)PyType_FromSpec(&spec);
    return input_type ? 0 : -1;
}
