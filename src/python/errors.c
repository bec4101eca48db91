#include "config.h"

#include <Python.h>

#include "python/errors.h"

#include "base/buf.h"
#include "base/log.h"
#include "python/child.h"
#include "python/compat.h"
#include "python/wsgi.h"

#include <pthread.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 8192, LINE_KEEP_BYTES = 1024 };

/* The calling thread's incomplete line. A thread's own, so neither a lock nor the GIL guards it. In a child that is
 * forked, what was begun before is the parent's to end. */
static _Thread_local struct buf line;
static _Thread_local bool line_in_child;
static pthread_key_t line_key;
static bool line_key_valid;
static pthread_once_t line_key_once = PTHREAD_ONCE_INIT;

/* Where text goes, and the request that the calling thread runs. */
static unsigned destinations = WSGI_ERRORS_LOG;
static _Thread_local struct request *current;

static void emit(const char *p, size_t n) {
    bool passed_on = false;
    if (current && destinations & WSGI_ERRORS_PEER && !child_is())
        passed_on = !request_error(current, p, n);
    if (destinations & WSGI_ERRORS_LOG || !passed_on)
        log_text(p, n);
}

static void line_write(struct buf *b) {
    emit(buf_head(b), buf_len(b));
    buf_reset(b, LINE_KEEP_BYTES);
}

/* A thread ends: what it left is written, whoever started it. */
static void line_destroy_cb(void *arg) {
    struct buf *b = arg;
    if (buf_len(b))
        line_write(b);
    buf_fini(b);
}

static void line_key_create(void) {
    /* Without a key (a process may run out of them) only an ended thread's incomplete line is lost. */
    line_key_valid = !pthread_key_create(&line_key, line_destroy_cb);
}

/* No memory to keep the text: a torn line is better than a lost one. */
static void line_append(const char *p, size_t n) {
    if (!line.data && line_key_valid)
        (void)pthread_setspecific(line_key, &line);
    if (!buf_append(&line, p, n))
        return;
    if (buf_len(&line))
        line_write(&line);
    emit(p, n);
}

static void line_forget_parents(void) {
    if (child_is() && !line_in_child) {
        line_in_child = true;
        buf_reset(&line, LINE_KEEP_BYTES);
    }
}

/* Passes complete lines on and keeps the rest. */
static void text_write(const char *p, size_t n) {
    line_forget_parents();
    const char *lf = memrchr(p, '\n', n);
    size_t complete = lf ? (size_t)(lf - p) + 1 : 0;
    if (complete && !buf_len(&line)) {
        emit(p, complete);
    } else if (complete) {
        line_append(p, complete);
        if (buf_len(&line))
            line_write(&line);
    }
    if (n > complete)
        line_append(p + complete, n - complete);
    if (buf_len(&line) > LINE_MAX_BYTES)
        line_write(&line);
}

void errors_set_destinations(unsigned set) {
    destinations = set;
}

void errors_begin_request(struct request *r) {
    current = r;
}

void errors_end_request(void) {
    line_forget_parents();
    if (buf_len(&line)) {
        Py_BEGIN_ALLOW_THREADS
        line_write(&line);
        Py_END_ALLOW_THREADS
    }
    current = NULL;
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
    text_write(p, (size_t)n);
    Py_END_ALLOW_THREADS
    Py_XDECREF(bytes);
    return PyLong_FromSsize_t(PyUnicode_GET_LENGTH(text));
}

static PyObject *errors_writelines(PyObject *self, PyObject *lines) {
    PyObject *iterator = PyObject_GetIter(lines);
    if (!iterator)
        return NULL;
    PyObject *item;
    while ((item = PyIter_Next(iterator))) {
        PyObject *result = errors_write(self, item);
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

static PyObject *errors_flush(PyObject *self, PyObject *unused) {
    (void)self;
    (void)unused;
    line_forget_parents();
    if (buf_len(&line)) {
        Py_BEGIN_ALLOW_THREADS
        line_write(&line);
        Py_END_ALLOW_THREADS
    }
    Py_RETURN_NONE;
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

static void errors_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    type->tp_free(self);
    Py_DECREF(type);
}

/* write, writelines and flush are what PEP 3333 asks for; the rest is what users of a text stream look at. */
static PyMethodDef errors_methods[] = {
    {"write", errors_write, METH_O, NULL},
    {"writelines", errors_writelines, METH_O, NULL},
    {"flush", errors_flush, METH_NOARGS, NULL},
    {"fileno", errors_fileno, METH_NOARGS, NULL},
    {"isatty", errors_false, METH_NOARGS, NULL},
    {"readable", errors_false, METH_NOARGS, NULL},
    {"seekable", errors_false, METH_NOARGS, NULL},
    {"writable", errors_true, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static char utf8_text[] = "utf-8", backslashreplace_text[] = "backslashreplace", name_text[] = "<wsgi.errors>",
            mode_text[] = "w";

static PyGetSetDef errors_getset[] = {
    {"encoding", errors_get_str, NULL, NULL, utf8_text},
    {"errors", errors_get_str, NULL, NULL, backslashreplace_text},
    {"name", errors_get_str, NULL, NULL, name_text},
    {"mode", errors_get_str, NULL, NULL, mode_text},
    {"closed", errors_get_bool, NULL, NULL, NULL},
    {"line_buffering", errors_get_bool, NULL, NULL, mode_text},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot errors_slots[] = {
    COMPAT_SLOT(Py_tp_dealloc, errors_dealloc),
    COMPAT_SLOT(Py_tp_repr, errors_repr),
    {Py_tp_methods, errors_methods},
    {Py_tp_getset, errors_getset},
    {0, NULL},
};

static PyType_Spec errors_spec = {
    .name = "wsgi_fcgi.ErrorStream",
    .basicsize = sizeof(PyObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = errors_slots,
};

PyObject *errors_new(void) {
    (void)pthread_once(&line_key_once, line_key_create);
    PyObject *type = PyType_FromSpec(&errors_spec);
    if (!type)
        return NULL;
    PyTypeObject *t = (PyTypeObject *)type;
    PyObject *self = t->tp_alloc(t, 0);
    Py_DECREF(type);
    return self;
}
