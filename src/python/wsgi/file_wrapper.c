#include "config.h"

#include "python/wsgi/file_wrapper.h"

#include "base/descriptors.h"
#include "base/fdtable.h"
#include "python/compat.h"

#include <stddef.h>
#include <sys/stat.h>

struct file_wrapper {
    PyObject_HEAD
    PyObject *filelike;
    PyObject *block_size;
};

enum { BLOCK_DEFAULT = 8192 };

/* Mutable wrapper_type: CPython, GIL held. */
static PyTypeObject wrapper_type;

static PyObject *wrapper_new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
    /* Mutable filelike_name, block_size_name, names: nobody; for CPython, whose types have no const. */
    static char filelike_name[] = "filelike", block_size_name[] = "block_size";
    static char *names[] = {filelike_name, block_size_name, NULL};
    PyObject *filelike;
    Py_ssize_t block_size = BLOCK_DEFAULT;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O|n:file_wrapper", names, &filelike, &block_size))
        return NULL;
    /* A suggestion: none that reads nothing, and none that reads everything at once. */
    if (block_size <= 0)
        block_size = BLOCK_DEFAULT;
    struct file_wrapper *w = (struct file_wrapper *)type->tp_alloc(type, 0);
    if (!w)
        return NULL;
    w->filelike = Py_NewRef(filelike);
    w->block_size = PyLong_FromSsize_t(block_size);
    if (!w->block_size)
        Py_CLEAR(w);
    return (PyObject *)w;
}

static int wrapper_traverse(PyObject *self, visitproc visit, void *arg) {
    struct file_wrapper *w = (struct file_wrapper *)self;
    Py_VISIT(w->filelike);
    return 0;
}

static int wrapper_clear(PyObject *self) {
    Py_CLEAR(((struct file_wrapper *)self)->filelike);
    return 0;
}

static void wrapper_dealloc(PyObject *self) {
    PyObject_GC_UnTrack(self);
    wrapper_clear(self);
    Py_CLEAR(((struct file_wrapper *)self)->block_size);
    Py_TYPE(self)->tp_free(self);
}

static PyObject *wrapper_next(PyObject *self) {
    struct file_wrapper *w = (struct file_wrapper *)self;
    PyObject *data = PyObject_CallMethod(w->filelike, "read", "O", w->block_size);
    if (!data)
        return NULL;
    int more = PyObject_IsTrue(data);
    if (more <= 0)
        Py_CLEAR(data); /* without an exception this ends the iteration */
    return data;
}

static PyObject *wrapper_close(PyObject *self, PyObject *unused) {
    (void)unused;
    PyObject *close;
    PyObject *filelike = ((struct file_wrapper *)self)->filelike;
    if (!filelike) /* taken by the garbage collector */
        Py_RETURN_NONE;
    int found = compat_getattr_optional(filelike, "close", &close);
    if (found < 0)
        return NULL;
    if (!found)
        Py_RETURN_NONE;
    PyObject *result = PyObject_CallNoArgs(close);
    Py_DECREF(close);
    return result;
}

static PyMethodDef wrapper_methods[] = {{"close", wrapper_close, METH_NOARGS, NULL}, {0}};
static PyMemberDef wrapper_members[] = {
    {"filelike", Py_T_OBJECT_EX, offsetof(struct file_wrapper, filelike), Py_READONLY, NULL},
    {"block_size", Py_T_OBJECT_EX, offsetof(struct file_wrapper, block_size), Py_READONLY, NULL},
    {0},
};

static PyTypeObject wrapper_type = {
    .ob_base = COMPAT_TYPE_HEAD,
    .tp_name = "wsgi_fcgi.file_wrapper",
    .tp_basicsize = sizeof(struct file_wrapper),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = wrapper_new,
    .tp_traverse = wrapper_traverse,
    .tp_clear = wrapper_clear,
    .tp_dealloc = wrapper_dealloc,
    .tp_iter = PyObject_SelfIter,
    .tp_iternext = wrapper_next,
    .tp_methods = wrapper_methods,
    .tp_members = wrapper_members,
};

static PyTypeObject *io_type(PyObject *io, const char *name) {
    PyObject *type = io ? PyObject_GetAttrString(io, name) : NULL;
    return (PyTypeObject *)type;
}

PyObject *file_wrapper_init(struct pyapp *app) {
    PyObject *io = PyImport_ImportModule("io");
    app->file_io = io_type(io, "FileIO");
    app->buffered_reader = io_type(io, "BufferedReader");
    app->buffered_random = io_type(io, "BufferedRandom");
    Py_XDECREF(io);
    if (!app->file_io || !app->buffered_reader || !app->buffered_random)
        return NULL;
    return compat_type_ready(&wrapper_type) ? NULL : Py_NewRef((PyObject *)&wrapper_type);
}

/* The result of obj.name() as a non-negative number; -1 without an exception when there is none. */
static long long call_number(PyObject *obj, const char *name) {
    PyObject *value = PyObject_CallMethod(obj, name, NULL);
    long long number = value ? PyLong_AsLongLong(value) : -1;
    Py_XDECREF(value);
    if (PyErr_Occurred())
        PyErr_Clear();
    return number;
}

/* Whether read() of this object gives the bytes behind its descriptor, and nothing else: files of the io module. Text,
 * compressed and other files have a descriptor too, whose bytes are not those that they give. */
static bool is_plain_file(const struct pyapp *app, PyObject *file) {
    if (Py_IS_TYPE(file, app->file_io))
        return true;
    if (!Py_IS_TYPE(file, app->buffered_reader) && !Py_IS_TYPE(file, app->buffered_random))
        return false;
    PyObject *raw = PyObject_GetAttrString(file, "raw");
    bool plain = raw && Py_IS_TYPE(raw, app->file_io);
    Py_XDECREF(raw);
    PyErr_Clear();
    return plain;
}

/* What was written to a file that is open for both may still be in its object, in front of or behind the position. */
static bool flush_written(const struct pyapp *app, PyObject *file) {
    if (!Py_IS_TYPE(file, app->buffered_random))
        return true;
    PyObject *none = PyObject_CallMethod(file, "flush", NULL);
    PyErr_Clear();
    Py_XDECREF(none);
    return none != NULL;
}

/* The server's own descriptor of what a plain file is open on, or -1. Whether it is plain is asked again, as code of the
 * application may have run since; none does from there to the copy. The object's own number may become that of another
 * file at any time later. */
static int duplicate(const struct pyapp *app, PyObject *file) {
    long long fd = is_plain_file(app, file) ? call_number(file, "fileno") : -1;
    if (fd < 0 || fd > INT_MAX)
        return -1;
    descriptors_lock();
    int copy = descriptors_adopt(fdtable_duplicate((int)fd));
    descriptors_unlock();
    return copy;
}

bool file_wrapper_is(PyObject *iterable) {
    return Py_IS_TYPE(iterable, &wrapper_type);
}

bool file_wrapper_range(const struct pyapp *app, PyObject *iterable, struct file_range *range) {
    if (!file_wrapper_is(iterable))
        return false;
    PyObject *file = ((struct file_wrapper *)iterable)->filelike;
    struct stat st;
    if (!is_plain_file(app, file) || !flush_written(app, file))
        return false;
    /* tell() is the object's own notion of its position: it may have read ahead of it. */
    long long position = call_number(file, "tell");
    range->fd = position < 0 ? -1 : duplicate(app, file);
    if (range->fd < 0)
        return false;
    if (fstat(range->fd, &st) || !S_ISREG(st.st_mode)) {
        file_range_close(range);
        return false;
    }
    range->start = position;
    range->end = st.st_size > position ? st.st_size : position;
    return true;
}

void file_range_close(struct file_range *range) {
    descriptors_close(range->fd);
}
