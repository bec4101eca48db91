#include "config.h"

#include <Python.h>

#include "python/bytecode.h"

#include <stdbool.h>
#include <sys/stat.h>
#include <time.h>

enum { SETTLED_S = 3 };

static bool is_settled(PyObject *source) {
    struct stat st;
    PyObject *bytes = NULL;
    if (!PyUnicode_FSConverter(source, &bytes)) {
        PyErr_Clear();
        return true;
    }
    const int failed = stat(PyBytes_AS_STRING(bytes), &st);
    Py_DECREF(bytes);
    return failed || st.st_mtime + SETTLED_S < time(NULL);
}

/* In the place of SourceFileLoader._cache_bytecode(self, source_path, bytecode_path, data), which `before` is. */
static PyObject *cache_bytecode(PyObject *before, PyObject *args, PyObject *kwargs) {
    if (PyTuple_GET_SIZE(args) < 2 || is_settled(PyTuple_GET_ITEM(args, 1)))
        return PyObject_Call(before, args, kwargs);
    Py_RETURN_NONE;
}

int bytecode_write_late(void) {
    static PyMethodDef method = {"_cache_bytecode", (PyCFunction)(void (*)(void))cache_bytecode,
                                 METH_VARARGS | METH_KEYWORDS, NULL};
    PyObject *machinery = PyImport_ImportModule("importlib.machinery");
    PyObject *loader = machinery ? PyObject_GetAttrString(machinery, "SourceFileLoader") : NULL;
    PyObject *before = loader ? PyObject_GetAttrString(loader, "_cache_bytecode") : NULL;
    PyObject *function = before ? PyCFunction_New(&method, before) : NULL;
    PyObject *bound = function ? PyInstanceMethod_New(function) : NULL; /* one that gets `self` */
    const int failed = !bound || PyObject_SetAttrString(loader, "_cache_bytecode", bound);
    Py_XDECREF(bound);
    Py_XDECREF(function);
    Py_XDECREF(before);
    Py_XDECREF(loader);
    Py_XDECREF(machinery);
    return failed ? -1 : 0;
}
