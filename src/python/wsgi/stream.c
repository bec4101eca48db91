#include "config.h"

#include "python/wsgi/stream.h"

#include "python/compat.h"

/* New reference, or NULL with an exception. */
static PyObject *io_class(const char *name) {
    PyObject *io = PyImport_ImportModule("io");
    PyObject *class = io ? PyObject_GetAttrString(io, name) : NULL;
    Py_XDECREF(io);
    return class;
}

int stream_type_ready(PyTypeObject *type, const char *base) {
    PyObject *class = compat_type_ready(type) ? NULL : io_class(base);
    PyObject *registered = class ? PyObject_CallMethod(class, "register", "O", (PyObject *)type) : NULL;
    Py_XDECREF(registered);
    Py_XDECREF(class);
    return registered ? 0 : -1;
}

PyObject *stream_unsupported(const char *why) {
    PyObject *type = io_class("UnsupportedOperation");
    if (type)
        PyErr_SetString(type, why);
    Py_XDECREF(type);
    return NULL;
}
