#include "config.h"

#include <Python.h>

#include "python/app/app_impl.h"

#include "python/compat.h"
#include "python/app/text.h"

#include <stdio.h>
#include <string.h>

enum { CANDIDATES_MAX = 6 };

/* How likely something is what was meant; the least first. */
enum rank {
    RANK_SIMILAR,   /* to what was written */
    RANK_NAME,      /* the first of the usual names, and those behind it */
    RANK_CALL = 64, /* has the parameters of an application, by their names */
    RANK_FITS,      /* can be called with two arguments */
    RANK_NONE
};

struct candidate {
    int rank;
    char text[APP_NAME_SIZE];
};

static int name_rank(const char *name, bool *factory) {
    static const char *const usual[] = {"application", "app",     "",    "wsgi", "wsgi_app",
                                        "server",      "handler", "api", "main"};
    static const char *const makers[] = {"create_", "make_", "build_", "get_"};
    enum { MAKERS_AT = 2 };
    *factory = false;
    for (size_t i = 0; i < sizeof makers / sizeof makers[0]; i++)
        *factory |= !strncmp(name, makers[i], strlen(makers[i])) && strstr(name, "app");
    if (*factory)
        return RANK_NAME + MAKERS_AT;
    for (int i = 0; i < (int)(sizeof usual / sizeof usual[0]); i++)
        if (!strcmp(name, usual[i]))
            return RANK_NAME + i;
    return RANK_NONE;
}

static bool is_in_stdlib(const char *module) {
    PyObject *names = compat_sys_get("stdlib_module_names");
    PyObject *top = PyUnicode_FromStringAndSize(module, (Py_ssize_t)strcspn(module, "."));
    bool in = names && top && PySequence_Contains(names, top) == 1;
    Py_XDECREF(names);
    Py_XDECREF(top);
    PyErr_Clear();
    return in;
}

/* Does `value` belong to the module, rather than being imported into it? Functions and classes do when they say so.
 * Instances do (Flask's application, say) but for those that stand for something else, such as flask.request: asking
 * these anything raises an exception, so that their type is asked. Of the standard library only `expected` ones do: things
 * of typing can be called as well. */
static bool is_own(PyObject *value, const char *module, bool expected) {
    char text[APP_NAME_SIZE];
    PyObject *type = (PyObject *)Py_TYPE(value);
    if (PyType_Check(value) || PyCFunction_Check(value) || PyFunction_Check(value))
        return text_of_attr(value, "__module__", text, sizeof text) && !strcmp(text, module);
    static const char proxy[] = "Proxy";
    size_t n = text_of_attr(type, "__name__", text, sizeof text) ? strlen(text) : 0;
    if (n >= sizeof proxy - 1 && !strcmp(text + n - (sizeof proxy - 1), proxy))
        return false;
    return expected || !text_of_attr(type, "__module__", text, sizeof text) || !is_in_stdlib(text);
}

bool app_takes_start_response(PyObject *obj) {
    int bound;
    PyObject *function = NULL;
    if (PyType_Check(obj)) {
        if (compat_getattr_optional(obj, "__init__", &function) < 0)
            PyErr_Clear();
    } else {
        function = app_function_of(obj, &bound);
    }
    bool takes = false;
    if (function && PyFunction_Check(function)) {
        PyCodeObject *code = (PyCodeObject *)PyFunction_GET_CODE(function);
        PyObject *names = PyCode_GetVarnames(code);
        for (Py_ssize_t i = 0; names && i < code->co_argcount && !takes; i++)
            takes = PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, i), "start_response") == 0;
        Py_XDECREF(names);
        PyErr_Clear();
    }
    Py_XDECREF(function);
    return takes;
}

static bool is_similar(const char *name, const char *wanted) {
    char text[APP_NAME_SIZE];
    PyObject *names = wanted ? Py_BuildValue("(s)", name) : NULL;
    text[0] = '\0';
    if (names)
        text_similar(text, sizeof text, "", wanted, names);
    PyErr_Clear();
    Py_XDECREF(names);
    return text[0];
}

/* Fills `c` for what the module `module` calls `name`. False when it cannot be meant. */
static bool judge(struct candidate *c, const char *name, PyObject *value, const char *module, const char *wanted) {
    char signature[APP_NAME_SIZE];
    bool factory;
    c->rank = name_rank(name, &factory);
    if (name[0] == '_' || !PyCallable_Check(value) || !is_own(value, module, c->rank < RANK_NONE))
        return false;
    enum app_fit fit = app_fit(value, signature, sizeof signature);
    if (is_similar(name, wanted))
        c->rank = RANK_SIMILAR;
    else if (factory ? fit == FIT_ASGI : fit != FIT_WSGI)
        return false;
    else if (c->rank == RANK_NONE && app_takes_start_response(value))
        c->rank = RANK_CALL;
    else if (c->rank == RANK_NONE && !PyType_Check(value))
        c->rank = RANK_FITS;
    if (factory && fit == FIT_WSGI)
        fit = FIT_FACTORY;
    snprintf(c->text, sizeof c->text, "%s%s", name, fit == FIT_FACTORY ? "()" : fit == FIT_ARGUMENTS ? signature : "");
    return c->rank < RANK_NONE;
}

/* Keeps the best in their order. Returns how many there are now. */
static size_t insert(struct candidate *list, size_t count, const struct candidate *c) {
    size_t at = count;
    while (at && list[at - 1].rank > c->rank)
        at--;
    if (at == CANDIDATES_MAX)
        return count;
    count -= count == CANDIDATES_MAX;
    memmove(&list[at + 1], &list[at], (count - at) * sizeof *list);
    list[at] = *c;
    return count + 1;
}

bool app_candidates(char *out, size_t size, const struct app_spec *s, PyObject *module, const char *wanted) {
    struct candidate list[CANDIDATES_MAX], next;
    char module_name[APP_NAME_SIZE], prefix[APP_NAME_SIZE], name[APP_NAME_SIZE];
    PyObject *dict = PyModule_Check(module) ? PyModule_GetDict(module) : NULL; /* borrowed */
    PyObject *items = dict ? PyDict_Items(dict) : NULL;
    size_t count = 0;
    text_of_attr(module, "__name__", module_name, sizeof module_name);
    for (Py_ssize_t i = 0; items && i < PyList_GET_SIZE(items); i++) {
        PyObject *item = PyList_GET_ITEM(items, i);
        text_of(PyTuple_GET_ITEM(item, 0), name, sizeof name);
        if (judge(&next, name, PyTuple_GET_ITEM(item, 1), module_name, wanted))
            count = insert(list, count, &next);
    }
    Py_XDECREF(items);
    PyErr_Clear();
    snprintf(prefix, sizeof prefix, "%s:", s->module);
    bool similar = count && list[0].rank == RANK_SIMILAR;
    out[0] = '\0';
    /* The best kind alone: where there is one that looks like it, others are noise. */
    for (size_t i = 0; i < count; i++) {
        bool worse = similar ? list[i].rank != RANK_SIMILAR : list[i].rank == RANK_FITS && list[0].rank != RANK_FITS;
        if (!worse)
            text_add(out, size, similar ? " or " : ", ", prefix, list[i].text, "");
    }
    return similar;
}
