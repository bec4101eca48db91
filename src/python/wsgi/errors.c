#include "config.h"

#include <Python.h>

#include "python/wsgi/errors.h"

#include "python/compat.h"
#include "python/error_lines.h"
#include "python/wsgi/stream.h"

#include <unistd.h>

/* What is written to `buffer`: bytes as they are. Another thread may change them meanwhile, not free them. */
static PyObject *buffer_write(PyObject *self, PyObject *data) {
    (void)self;
    Py_buffer view;
    if (PyUnicode_Check(data))
        return PyErr_Format(PyExc_TypeError, "a bytes-like object is required, not 'str'");
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE))
        return NULL;
    Py_ssize_t n = view.len;
    Py_BEGIN_ALLOW_THREADS
    error_lines_write(view.buf, (size_t)n);
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&view);
    return PyLong_FromSsize_t(n);
}

static PyObject *errors_write(PyObject *self, PyObject *text) {
    (void)self;
    if (!PyUnicode_Check(text))
        return PyErr_Format(PyExc_TypeError, "write() argument must be str, not %.200s", Py_TYPE(text)->tp_name);
    PyObject *bytes = NULL;
    const char *p;
    Py_ssize_t n;
    if (PyUnicode_IS_COMPACT_ASCII(text)) {
        p = PyUnicode_AsUTF8AndSize(text, &n);
    } else {
        bytes = PyUnicode_AsEncodedString(text, "utf-8", "backslashreplace");
        if (!bytes)
            return NULL;
        p = PyBytes_AS_STRING(bytes);
        n = PyBytes_GET_SIZE(bytes);
    }
    Py_BEGIN_ALLOW_THREADS
    error_lines_write(p, (size_t)n);
    Py_END_ALLOW_THREADS
    Py_XDECREF(bytes);
    return PyLong_FromSsize_t(PyUnicode_GET_LENGTH(text));
}

static PyObject *write_lines(PyObject *self, PyObject *lines, PyCFunction write_line) {
    PyObject *iterator = PyObject_GetIter(lines);
    if (!iterator)
        return NULL;
    PyObject *item;
    while ((item = PyIter_Next(iterator))) {
        PyObject *result = write_line(self, item);
        Py_DECREF(item);
        if (!result)
            break;
        Py_DECREF(result);
    }
    Py_DECREF(iterator);
    if (PyErr_Occurred())
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *errors_writelines(PyObject *self, PyObject *lines) {
    return write_lines(self, lines, errors_write);
}

static PyObject *buffer_writelines(PyObject *self, PyObject *lines) {
    return write_lines(self, lines, buffer_write);
}

static PyObject *errors_flush(PyObject *self, PyObject *unused) {
    (void)self;
    (void)unused;
    error_lines_flush();
    Py_RETURN_NONE;
}

/* All requests share the stream, so it stays open when one of them is done with it. */
static PyObject *errors_enter(PyObject *self, PyObject *unused) {
    (void)unused;
    return Py_NewRef(self);
}

/* There is nothing to choose, and the encoding is that of the log; what was written before is written out, as by others. */
static PyObject *errors_reconfigure(PyObject *self, PyObject *args, PyObject *keywords) {
    /* Mutable encoding, errors, newline, buffering, through, names: nobody; for CPython, whose types have no const. */
    static char encoding[] = "encoding", errors[] = "errors", newline[] = "newline", buffering[] = "line_buffering",
                through[] = "write_through", *names[] = {encoding, errors, newline, buffering, through, NULL};
    PyObject *value[5];
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "|$OOOOO:reconfigure", names, &value[0], &value[1], &value[2],
                                     &value[3], &value[4]))
        return NULL;
    return errors_flush(self, NULL);
}

static PyObject *errors_unsupported(PyObject *self, PyObject *args) {
    (void)self;
    (void)args;
    return stream_unsupported("wsgi.errors is for writing only, and belongs to the server");
}

/* Where the log goes, for what wants a descriptor (faulthandler, subprocess). */
static PyObject *errors_fileno(PyObject *self, PyObject *unused) {
    (void)self;
    (void)unused;
    return PyLong_FromLong(STDERR_FILENO);
}

static PyObject *errors_true(PyObject *self, PyObject *unused) {
    (void)self;
    (void)unused;
    Py_RETURN_TRUE;
}

static PyObject *errors_false(PyObject *self, PyObject *unused) {
    (void)self;
    (void)unused;
    Py_RETURN_FALSE;
}

static PyObject *errors_get_str(PyObject *self, void *text) {
    (void)self;
    return PyUnicode_FromString(text);
}

static PyObject *errors_get_bool(PyObject *self, void *is_true) {
    (void)self;
    return PyBool_FromLong(is_true != NULL);
}

static PyObject *errors_repr(PyObject *self) {
    (void)self;
    return PyUnicode_FromString("<wsgi.errors of wsgi-fcgi>");
}

static PyObject *errors_get_none(PyObject *self, void *unused) {
    (void)self;
    (void)unused;
    Py_RETURN_NONE;
}

struct stream {
    PyObject_HEAD
    PyObject *buffer; /* NULL in what is one itself */
};

static PyObject *errors_get_buffer(PyObject *self, void *unused) {
    (void)unused;
    return Py_NewRef(((struct stream *)self)->buffer);
}

static void errors_dealloc(PyObject *self) {
    Py_XDECREF(((struct stream *)self)->buffer);
    Py_TYPE(self)->tp_free(self);
}

#define SHARED_METHODS                                                                                                 \
    {"flush", errors_flush, METH_NOARGS, NULL}, {"close", errors_flush, METH_NOARGS, NULL},                            \
        {"fileno", errors_fileno, METH_NOARGS, NULL}, {"isatty", errors_false, METH_NOARGS, NULL},                     \
        {"readable", errors_false, METH_NOARGS, NULL}, {"seekable", errors_false, METH_NOARGS, NULL},                  \
        {"writable", errors_true, METH_NOARGS, NULL}, {"__enter__", errors_enter, METH_NOARGS, NULL},                  \
        {"__exit__", errors_flush, METH_VARARGS, NULL}, {"detach", errors_unsupported, METH_VARARGS, NULL},            \
        {"read", errors_unsupported, METH_VARARGS, NULL}, {"readline", errors_unsupported, METH_VARARGS, NULL},        \
        {"readlines", errors_unsupported, METH_VARARGS, NULL}, {"seek", errors_unsupported, METH_VARARGS, NULL},       \
        {"tell", errors_unsupported, METH_VARARGS, NULL}, {"truncate", errors_unsupported, METH_VARARGS, NULL}, {      \
        NULL, NULL, 0, NULL                                                                                            \
    }

/* write, writelines and flush are what PEP 3333 asks for; the rest is what users of a text stream look at. */
static PyMethodDef errors_methods[] = {
    {"write", errors_write, METH_O, NULL},
    {"writelines", errors_writelines, METH_O, NULL},
    {"reconfigure", (PyCFunction)(void (*)(void))errors_reconfigure, METH_VARARGS | METH_KEYWORDS, NULL},
    SHARED_METHODS,
};

static PyMethodDef buffer_methods[] = {
    {"write", buffer_write, METH_O, NULL},
    {"writelines", buffer_writelines, METH_O, NULL},
    SHARED_METHODS,
};

/* Mutable utf8_text, backslashreplace_text, name_text, mode_text, binary_text: nobody, as those above. */
static char utf8_text[] = "utf-8", backslashreplace_text[] = "backslashreplace", name_text[] = "<wsgi.errors>",
            mode_text[] = "w", binary_text[] = "wb";

static PyGetSetDef errors_getset[] = {
    {"encoding", errors_get_str, NULL, NULL, utf8_text},  {"errors", errors_get_str, NULL, NULL, backslashreplace_text},
    {"name", errors_get_str, NULL, NULL, name_text},      {"mode", errors_get_str, NULL, NULL, mode_text},
    {"closed", errors_get_bool, NULL, NULL, NULL},        {"line_buffering", errors_get_bool, NULL, NULL, mode_text},
    {"write_through", errors_get_bool, NULL, NULL, NULL}, {"newlines", errors_get_none, NULL, NULL, NULL},
    {"buffer", errors_get_buffer, NULL, NULL, NULL},      {NULL, NULL, NULL, NULL, NULL},
};

static PyGetSetDef buffer_getset[] = {
    {"name", errors_get_str, NULL, NULL, name_text},
    {"mode", errors_get_str, NULL, NULL, binary_text},
    {"closed", errors_get_bool, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

/* Mutable errors_type, buffer_type: CPython, GIL held. */
static PyTypeObject errors_type = {
    .ob_base = COMPAT_TYPE_HEAD,
    .tp_name = "wsgi_fcgi.ErrorStream",
    .tp_basicsize = sizeof(struct stream),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_dealloc = errors_dealloc,
    .tp_repr = errors_repr,
    .tp_methods = errors_methods,
    .tp_getset = errors_getset,
};

static PyTypeObject buffer_type = {
    .ob_base = COMPAT_TYPE_HEAD,
    .tp_name = "wsgi_fcgi.ErrorBuffer",
    .tp_basicsize = sizeof(struct stream),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_dealloc = errors_dealloc,
    .tp_repr = errors_repr,
    .tp_methods = buffer_methods,
    .tp_getset = buffer_getset,
};

static PyObject *stream_new(PyTypeObject *type, const char *base) {
    return stream_type_ready(type, base) ? NULL : type->tp_alloc(type, 0);
}

PyObject *errors_new(void) {
    PyObject *buffer = stream_new(&buffer_type, "BufferedIOBase");
    PyObject *self = buffer ? stream_new(&errors_type, "TextIOBase") : NULL;
    if (self)
        ((struct stream *)self)->buffer = buffer;
    else
        Py_XDECREF(buffer);
    return self;
}
