#include "config.h"

#include <Python.h>

#include "python/app/text.h"

#include "base/log.h"
#include "python/compat.h"

#include <stdio.h>
#include <string.h>

enum { NAME_SIZE = 256 };

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

void text_add(char *list, size_t size, const char *separator, const char *prefix, const char *item,
              const char *suffix) {
    size_t n = strlen(list);
    if (n + strlen(separator) + strlen(prefix) + strlen(item) + strlen(suffix) + 1 <= size)
        snprintf(list + n, size - n, "%s%s%s%s", n ? separator : "", prefix, item, suffix);
}

void text_similar(char *out, size_t size, const char *prefix, const char *name, PyObject *names) {
    out[0] = '\0';
    PyObject *difflib = names ? PyImport_ImportModule("difflib") : NULL;
    PyObject *matches = difflib ? PyObject_CallMethod(difflib, "get_close_matches", "sO", name, names) : NULL;
    for (Py_ssize_t i = 0; matches && PyList_Check(matches) && i < PyList_GET_SIZE(matches); i++) {
        char text[NAME_SIZE];
        text_add(out, size, " or ", prefix, text_of(PyList_GET_ITEM(matches, i), text, sizeof text), "");
    }
    Py_XDECREF(matches);
    Py_XDECREF(difflib);
    PyErr_Clear();
}
