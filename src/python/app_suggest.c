#include "config.h"

#include <Python.h>

#include "python/app_impl.h"

#include "python/text.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { CANDIDATES_MAX = 6 };

/* Does `value` belong to the module, rather than being imported into it? Instances (Flask's application, say) do;
 * functions and classes do when they say so. */
static bool is_own(PyObject *value, const char *module) {
    char name[APP_NAME_SIZE];
    if (!PyType_Check(value) && !PyCFunction_Check(value) && !PyFunction_Check(value))
        return true;
    return text_of_attr(value, "__module__", name, sizeof name) && !strcmp(name, module);
}

void app_candidates(char *out, size_t size, const char *module_name, PyObject *module) {
    char prefix[APP_NAME_SIZE], signature[APP_NAME_SIZE];
    PyObject *dict = PyModule_Check(module) ? PyModule_GetDict(module) : NULL; /* borrowed */
    PyObject *items = dict ? PyDict_Items(dict) : NULL;
    int found = 0;
    out[0] = '\0';
    snprintf(prefix, sizeof prefix, "%s:", module_name);
    for (Py_ssize_t i = 0; items && i < PyList_GET_SIZE(items) && found < CANDIDATES_MAX; i++) {
        PyObject *value = PyTuple_GET_ITEM(PyList_GET_ITEM(items, i), 1);
        char name[APP_NAME_SIZE];
        text_of(PyTuple_GET_ITEM(PyList_GET_ITEM(items, i), 0), name, sizeof name);
        if (name[0] == '_' || !is_own(value, module_name))
            continue;
        bool factory = !strcmp(name, "create_app") || !strcmp(name, "make_app") || !strcmp(name, "get_app");
        if (!(factory && PyCallable_Check(value)) && app_fit(value, signature, sizeof signature) != FIT_WSGI)
            continue;
        text_add(out, size, ", ", prefix, name, factory ? "()" : "");
        found++;
    }
    Py_XDECREF(items);
    PyErr_Clear();
}
