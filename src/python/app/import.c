#include "config.h"

#include <Python.h>

#include "python/app/app_impl.h"

#include "base/log.h"
#include "python/compat.h"
#include "python/app/text.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

/* No frame but those of the import system, which PYTHONVERBOSE leaves in. */
static bool raised_by_import_itself(PyObject *exc) {
    PyObject *traceback = compat_err_traceback(exc);
    bool itself = true;
    for (PyTracebackObject *tb = (PyTracebackObject *)traceback; tb; tb = tb->tb_next) {
        PyCodeObject *code = PyFrame_GetCode(tb->tb_frame);
        char file[APP_NAME_SIZE];
        text_of_attr((PyObject *)code, "co_filename", file, sizeof file);
        itself = itself && !strncmp(file, "<frozen importlib", strlen("<frozen importlib"));
        Py_DECREF(code);
    }
    Py_XDECREF(traceback);
    return itself;
}

/* Is `exc` the news that the module itself, or a package it is in, does not exist? *parent becomes the length of the
 * part of its name that exists. */
static bool is_not_found(PyObject *exc, const char *module, size_t *parent) {
    char name[APP_NAME_SIZE];
    if (!PyErr_GivenExceptionMatches(exc, PyExc_ModuleNotFoundError) || !raised_by_import_itself(exc))
        return false;
    if (!text_of_attr(exc, "name", name, sizeof name))
        return false;
    size_t n = strlen(name);
    if (strncmp(module, name, n) || (module[n] && module[n] != '.'))
        return false;
    const char *dot = strrchr(name, '.');
    *parent = dot ? (size_t)(dot - name) : 0;
    return true;
}

/* The names of the modules in the current directory, which is that of --chdir: a list, or NULL without an exception. */
static PyObject *modules_here(void) {
    PyObject *names = PyList_New(0), *here = Py_BuildValue("[s]", "."), *iterator = NULL, *item;
    PyObject *pkgutil = PyImport_ImportModule("pkgutil");
    PyObject *found = pkgutil && here ? PyObject_CallMethod(pkgutil, "iter_modules", "O", here) : NULL;
    if (found)
        iterator = PyObject_GetIter(found);
    while (names && iterator && (item = PyIter_Next(iterator))) {
        PyObject *name = PyObject_GetAttrString(item, "name");
        if (!name || PyList_Append(names, name))
            PyErr_Clear();
        Py_XDECREF(name);
        Py_DECREF(item);
    }
    Py_XDECREF(iterator);
    Py_XDECREF(found);
    Py_XDECREF(pkgutil);
    Py_XDECREF(here);
    PyErr_Clear();
    return names;
}

/* Is `module` below a directory that has the name of its package, as in mysite/mysite/wsgi.py? django-admin lays a project
 * out like this, and it is the first of these directories that has to be on the path. Writes the file's path. */
static bool find_below(const char *module, char file[static APP_TEXT_SIZE]) {
    static const char *const endings[] = {".py", "/__init__.py"};
    size_t left = APP_TEXT_SIZE;
    int n = snprintf(file, left, "%.*s/%s", (int)strcspn(module, "."), module, module);
    if (n < 0 || (size_t)n >= left)
        return false;
    left -= (size_t)n;
    for (char *dot = file; (dot = strchr(dot, '.'));)
        *dot = '/';
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++)
        if ((size_t)snprintf(file + n, left, "%s", endings[i]) < left && !access(file, F_OK))
            return true;
    return false;
}

/* Prints that a package that exists has no such module; `parent` is the length of its name. */
static void report_not_in_package(const struct app_spec *s, int parent) {
    char file[APP_TEXT_SIZE], cwd[PATH_MAX], dir[APP_TEXT_SIZE] = "";
    if (!find_below(s->module, file)) {
        log_error("there is no module \"%s\" in \"%.*s\": is it misspelt? An attribute is named after a colon: %.*s:%s",
                  s->module, parent, s->module, parent, s->module, s->module + parent + 1);
        return;
    }
    /* --chdir counts from where the server was started, the file from where an earlier --chdir has led. */
    if (getcwd(cwd, sizeof cwd) && !(s->start && !strcmp(cwd, s->start)))
        log_escape(dir, sizeof dir, cwd, strlen(cwd));
    const char *slash = dir[0] && dir[1] ? "/" : "";
    log_error("there is no module \"%s\" in \"%.*s\", but there is %s%s%s: did you mean --chdir %s%s%.*s?", s->module,
              parent, s->module, dir, slash, file, dir, slash, (int)strcspn(s->module, "."), s->module);
}

/* Prints that there is no such module, and where it was looked for. */
static void report_not_found(const struct app_spec *s, size_t parent) {
    size_t n = strlen(s->module);
    if (n > 3 && !strcmp(s->module + n - 3, ".py")) {
        app_report_no_file(s);
        return;
    }
    if (parent) {
        report_not_in_package(s, (int)parent);
        return;
    }
    PyObject *path = compat_sys_get("path");
    PyObject *modules = modules_here();
    char similar[APP_TEXT_SIZE], dir[APP_TEXT_SIZE], text[APP_TEXT_SIZE + 32];
    text_similar(similar, sizeof similar, "", s->module, modules);
    bool file = app_names_file(s->module);
    Py_XDECREF(modules);
    log_error("there is no module \"%.*s\"%s%s%s%s%s: name the directory it is in with --chdir DIR or --pythonpath "
              "DIR; these were searched:",
              (int)strcspn(s->module, "."), s->module, file ? ", and no file " : "", file ? s->module : "",
              similar[0] ? " (did you mean " : "", similar, similar[0] ? "?)" : "");
    for (Py_ssize_t i = 0; path && PyList_Check(path) && i < PyList_GET_SIZE(path); i++) {
        PyObject *item = Py_NewRef(PyList_GET_ITEM(path, i));
        int len = snprintf(text, sizeof text, "  %s\n", text_of(item, dir, sizeof dir));
        log_text(text, (size_t)len);
        Py_DECREF(item);
    }
    Py_XDECREF(path);
}

PyObject *app_import(const struct app_spec *s, int *status) {
    PyObject *name = PyUnicode_DecodeFSDefault(s->module);
    /* Through the C import system: it leaves the frames of importlib out of the traceback. */
    PyObject *module = name ? PyImport_Import(name) : NULL;
    Py_XDECREF(name);
    if (module)
        return module;
    size_t parent;
    PyObject *exc = compat_err_take();
    if (is_not_found(exc, s->module, &parent)) {
        report_not_found(s, parent);
        *status = EX_NOINPUT;
        Py_DECREF(exc);
        return NULL;
    }
    compat_err_restore(exc);
    char doing[APP_TEXT_SIZE];
    snprintf(doing, sizeof doing, "importing \"%s\"", s->module);
    *status = app_report_exception(doing);
    return NULL;
}
