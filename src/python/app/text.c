#include "config.h"

#include <Python.h>

#include "python/app/text.h"

#include "base/log.h"
#include "python/compat.h"

#include <stdio.h>

const char *text_of(PyObject *str, char *out, size_t size) {
    PyObject *bytes = str && PyUnicode_Check(str) ? PyUnicode_AsEncodedString(str, "utf-8", "backslashreplace") : NULL;
    if (bytes)
        log_escape(out, size, PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes));
    else
        snprintf(out, size, "?");
    Py_XDECREF(bytes);
    PyErr_Clear();
    return out;
}

bool text_of_attr(PyObject *obj, const char *name, char *out, size_t size) {
    PyObject *value;
    out[0] = '\0';
    if (compat_getattr_optional(obj, name, &value) < 0)
        PyErr_Clear();
    bool found = value && PyUnicode_Check(value);
    if (found)
        text_of(value, out, size);
    Py_XDECREF(value);
    return found;
}
