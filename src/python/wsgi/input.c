#include "config.h"

#include "python/wsgi/input.h"

#include "python/child.h"
#include "python/compat.h"
#include "python/wsgi/stream.h"

#include <errno.h>

/* wsgi.input (PEP 3333, "Input and Error Streams"): read, readline, readlines and iteration, all ending at the end of
 * the body. And what else a stream of the io module has, in the form of io.BufferedIOBase, so that its classes can be put
 * over it: it can be read, but neither written nor positioned. */
struct input {
    PyObject_HEAD
    struct wsgi_call *call;
    struct buf ahead; /* read for the sake of a line, not given out yet */
    unsigned takes;   /* how often something was taken from it */
    bool closed;      /* by the application: its own business */
};

/* Mutable input_type: CPython, GIL held. */
static PyTypeObject input_type;

enum {
    LINE_BYTES = 8192, /* read ahead at a time when looking for the end of a line */
    GROW_BYTES = 65536 /* first size of a result whose length is not known; doubled while it is too small */
};

PyObject *input_new(struct wsgi_call *call) {
    struct input *in = (struct input *)spare_new(&call->lane->inputs, &input_type);
    if (!in)
        return NULL;
    in->call = (struct wsgi_call *)Py_NewRef((PyObject *)call);
    in->ahead = (struct buf){0};
    in->takes = 0;
    in->closed = false;
    return (PyObject *)in;
}

static void input_dealloc(PyObject *self) {
    struct input *in = (struct input *)self;
    struct spare *spare = &in->call->lane->inputs;
    buf_fini(&in->ahead);
    Py_DECREF((PyObject *)in->call);
    spare_free(spare, self);
}

/* At least one byte of the body into `out`; 0 at its end or after the request, -1 with an exception. Releases the GIL
 * only when it has to wait. */
static Py_ssize_t fill(struct input *in, char *out, size_t len) {
    struct request *r = in->call->r;
    if (!r || !len)
        return 0;
    ssize_t n = body_read(&r->body, out, len);
    if (n < 0 && errno == EAGAIN) {
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

/* What is there, up to `len` bytes; waits for the first of them only. 0 at the end, -1 with an exception. */
static Py_ssize_t take_some(struct input *in, char *out, size_t len) {
    size_t have = take_ahead(in, out, len);
    if (!have) {
        Py_ssize_t n = fill(in, out, len);
        if (n <= 0)
            return n;
        have = (size_t)n;
    }
    struct request *r = in->call->r;
    ssize_t n;
    while (r && have < len && (n = body_read(&r->body, out + have, len - have)) > 0)
        have += (size_t)n; /* an error is that of the next call */
    return (Py_ssize_t)have;
}

/* The next `len` bytes, fewer only at the end; -1 with an exception. */
static Py_ssize_t take_all(struct input *in, char *out, size_t len) {
    size_t have = 0;
    while (have < len) {
        Py_ssize_t n = take_some(in, out + have, len - have);
        if (n < 0)
            return -1;
        if (!n)
            break;
        have += (size_t)n;
    }
    return (Py_ssize_t)have;
}

static bool is_open(const struct input *in) {
    if (in->closed)
        PyErr_SetString(PyExc_ValueError, "I/O operation on closed file.");
    return !in->closed;
}

/* Also whether this process may read: in a child the body is the parent's. Its lock may be held by a thread that is not
 * there, and its file has one length for both. */
static bool may_read(const struct input *in) {
    if (!is_open(in))
        return false;
    if (!child_is())
        return true;
    errno = ECONNRESET;
    PyErr_SetFromErrno(PyExc_OSError);
    return false;
}

/* The optional size argument of the methods that read: absent, None and negative mean no bound. */
static bool take_size(struct input *in, PyObject *const *args, Py_ssize_t nargs, const char *name, Py_ssize_t *size) {
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
    return may_read(in);
}

static PyObject *input_read(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
    Py_ssize_t size;
    struct input *in = (struct input *)self;
    return take_size(in, args, nargs, "read", &size) ? read_bytes(in, size) : NULL;
}

static PyObject *input_read1(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
    Py_ssize_t size;
    struct input *in = (struct input *)self;
    if (!take_size(in, args, nargs, "read1", &size))
        return NULL;
    if (size < 0 || size > GROW_BYTES)
        size = GROW_BYTES;
    PyObject *result = PyBytes_FromStringAndSize(NULL, size);
    if (!result || !size)
        return result;
    Py_ssize_t n = take_some(in, PyBytes_AS_STRING(result), (size_t)size);
    if (n < 0)
        Py_CLEAR(result);
    else if (n != size)
        _PyBytes_Resize(&result, n);
    return result;
}

/* The buffer is held while the body is waited for, so that nothing can take its memory away. */
static PyObject *read_into(PyObject *self, PyObject *arg, const char *form,
                           Py_ssize_t (*take)(struct input *, char *, size_t)) {
    Py_buffer view;
    struct input *in = (struct input *)self;
    if (!PyArg_Parse(arg, form, &view))
        return NULL;
    Py_ssize_t n = !may_read(in) ? -1 : view.len ? take(in, view.buf, (size_t)view.len) : 0;
    PyBuffer_Release(&view);
    return n < 0 ? NULL : PyLong_FromSsize_t(n);
}

static PyObject *input_readinto(PyObject *self, PyObject *arg) {
    return read_into(self, arg, "w*:readinto", take_all);
}

static PyObject *input_readinto1(PyObject *self, PyObject *arg) {
    return read_into(self, arg, "w*:readinto1", take_some);
}

static PyObject *input_readline(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
    Py_ssize_t size;
    struct input *in = (struct input *)self;
    return take_size(in, args, nargs, "readline", &size) ? read_line(in, size) : NULL;
}

static PyObject *input_readlines(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
    Py_ssize_t hint, total = 0;
    if (!take_size((struct input *)self, args, nargs, "readlines", &hint))
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
    PyObject *line = may_read((struct input *)self) ? read_line((struct input *)self, -1) : NULL;
    if (line && !PyBytes_GET_SIZE(line))
        Py_CLEAR(line); /* without an exception this ends the iteration */
    return line;
}

/* What it is asked about itself. */

static PyObject *input_readable(PyObject *self, PyObject *unused) {
    (void)unused;
    return is_open((struct input *)self) ? Py_NewRef(Py_True) : NULL;
}

/* isatty, seekable, writable. */
static PyObject *input_no(PyObject *self, PyObject *unused) {
    (void)unused;
    return is_open((struct input *)self) ? Py_NewRef(Py_False) : NULL;
}

static PyObject *input_flush(PyObject *self, PyObject *unused) {
    (void)unused;
    return is_open((struct input *)self) ? Py_NewRef(Py_None) : NULL;
}

static PyObject *input_closed(PyObject *self, void *unused) {
    (void)unused;
    return PyBool_FromLong(((struct input *)self)->closed);
}

static PyObject *input_close(PyObject *self, PyObject *unused) {
    (void)unused;
    ((struct input *)self)->closed = true;
    Py_RETURN_NONE;
}

static PyObject *input_enter(PyObject *self, PyObject *unused) {
    (void)unused;
    return is_open((struct input *)self) ? Py_NewRef(self) : NULL;
}

static PyObject *input_exit(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
    (void)args;
    (void)nargs;
    return input_close(self, NULL);
}

/* seek, tell, truncate. */
static PyObject *input_position(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
    (void)args;
    (void)nargs;
    return is_open((struct input *)self) ? stream_unsupported("wsgi.input has no position: it can be read once") : NULL;
}

/* write, writelines. */
static PyObject *input_write(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
    (void)args;
    (void)nargs;
    return is_open((struct input *)self) ? stream_unsupported("wsgi.input can be read only") : NULL;
}

static PyObject *input_fileno(PyObject *self, PyObject *unused) {
    (void)self;
    (void)unused;
    return stream_unsupported("wsgi.input is no file of the system");
}

static PyObject *input_detach(PyObject *self, PyObject *unused) {
    (void)self;
    (void)unused;
    return stream_unsupported("there is no stream below wsgi.input");
}

#define FAST(function) (PyCFunction)(void (*)(void))(function), METH_FASTCALL, NULL

static PyMethodDef input_methods[] = {
    {"read", FAST(input_read)},
    {"read1", FAST(input_read1)},
    {"readinto", input_readinto, METH_O, NULL},
    {"readinto1", input_readinto1, METH_O, NULL},
    {"readline", FAST(input_readline)},
    {"readlines", FAST(input_readlines)},
    {"readable", input_readable, METH_NOARGS, NULL},
    {"writable", input_no, METH_NOARGS, NULL},
    {"seekable", input_no, METH_NOARGS, NULL},
    {"isatty", input_no, METH_NOARGS, NULL},
    {"flush", input_flush, METH_NOARGS, NULL},
    {"close", input_close, METH_NOARGS, NULL},
    {"__enter__", input_enter, METH_NOARGS, NULL},
    {"__exit__", FAST(input_exit)},
    {"seek", FAST(input_position)},
    {"tell", FAST(input_position)},
    {"truncate", FAST(input_position)},
    {"write", FAST(input_write)},
    {"writelines", FAST(input_write)},
    {"fileno", input_fileno, METH_NOARGS, NULL},
    {"detach", input_detach, METH_NOARGS, NULL},
    {0},
};

static PyGetSetDef input_getset[] = {{"closed", input_closed, NULL, NULL, NULL}, {0}};

static PyTypeObject input_type = {
    .ob_base = COMPAT_TYPE_HEAD,
    .tp_name = "wsgi_fcgi.input",
    .tp_basicsize = sizeof(struct input),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_dealloc = input_dealloc,
    .tp_methods = input_methods,
    .tp_getset = input_getset,
    .tp_iter = PyObject_SelfIter,
    .tp_iternext = input_next,
};

int input_init(void) {
    return stream_type_ready(&input_type, "BufferedIOBase");
}
