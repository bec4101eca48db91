#include "config.h"

#include <Python.h>

#include "python/app/loaded_files.h"

#include "base/buf.h"
#include "python/app/spec.h"
#include "python/compat.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHAIN_MAX = 64, FRAMES_MAX = 2000 /* of one load that has failed */ };

/* Mutable begun: the main thread. */
static struct {
    const char *spec, *start;
    PyObject *failed; /* what a load has ended with; NULL: nothing */
} begun;

void loaded_files_begin(const char *spec, const char *start) {
    begun.spec = spec;
    begun.start = start;
}

void loaded_files_keep(PyObject *exc) {
    if (begun.spec)
        Py_XSETREF(begun.failed, Py_NewRef(exc));
}

long loaded_files_modules(void) {
    PyObject *modules = PyImport_GetModuleDict(); /* borrowed */
    return PyDict_Check(modules) ? (long)PyDict_Size(modules) : 0;
}

/* Where paths go. */

struct put {
    struct buf *out;
    size_t size, count; /* what there is still room for */
    char here[PATH_MAX], library[PATH_MAX];
    bool installed; /* those of installed packages are wanted now, else the others */
    bool failed;
};

static bool is_installed(const char *path) {
    return strstr(path, "/site-packages/") || strstr(path, "/dist-packages/");
}

static void put_bytes(struct put *p, const char *path, size_t len) {
    if (!p->count || len + 1 > p->size)
        return;
    p->failed = p->failed || buf_append(p->out, path, len) || buf_append(p->out, "", 1);
    p->size -= len + 1;
    p->count--;
}

/* A link leads to another file, which changes too. */
static void put_target(struct put *p, const char *path) {
    char target[PATH_MAX];
    struct stat st;
    if (!lstat(path, &st) && S_ISLNK(st.st_mode) && realpath(path, target))
        put_bytes(p, target, strlen(target));
}

static void put_path(struct put *p, const char *path) {
    char whole[PATH_MAX];
    const int n = snprintf(whole, sizeof whole, "%s%s%s", *path == '/' ? "" : p->here, *path == '/' ? "" : "/", path);
    if (!*path || *path == '<' || n >= (int)sizeof whole) /* "<string>" and the like are no files */
        return;
    const size_t library = strlen(p->library);
    const bool installed = is_installed(whole);
    if (installed != p->installed || (!installed && library && !strncmp(whole, p->library, library)))
        return;
    put_bytes(p, whole, (size_t)n);
    put_target(p, whole);
}

/* NULL and what is no str count for nothing. */
static void put_str(struct put *p, PyObject *text) {
    PyObject *bytes = text && PyUnicode_Check(text) ? PyUnicode_EncodeFSDefault(text) : NULL;
    if (bytes && strlen(PyBytes_AS_STRING(bytes)) == (size_t)PyBytes_GET_SIZE(bytes))
        put_path(p, PyBytes_AS_STRING(bytes));
    Py_XDECREF(bytes);
    PyErr_Clear();
}

static void put_attr(struct put *p, PyObject *obj, const char *name) {
    PyObject *value = NULL;
    (void)compat_getattr_optional(obj, name, &value);
    put_str(p, value);
    Py_XDECREF(value);
    PyErr_Clear();
}

/* Modules that are loaded. */

/* In the dict of a real module, so that no code of the application is run. Borrowed; NULL: there is none. */
static PyObject *get_of_module(PyObject *module, const char *name) {
    return module && PyModule_Check(module) ? PyDict_GetItemString(PyModule_GetDict(module), name) : NULL;
}

static void put_modules(struct put *p) {
    PyObject *modules = PyImport_GetModuleDict(), *name, *module; /* borrowed */
    for (Py_ssize_t at = 0; PyDict_Check(modules) && PyDict_Next(modules, &at, &name, &module);) {
        if (!PyUnicode_Check(name) || PyUnicode_CompareWithASCIIString(name, "__main__")) /* which is the server */
            put_str(p, get_of_module(module, "__file__"));
    }
}

/* The standard library, with a slash behind it. */
static void find_library(struct put *p) {
    PyObject *os = PyDict_GetItemString(PyImport_GetModuleDict(), "os"), *file = get_of_module(os, "__file__");
    PyObject *bytes = file && PyUnicode_Check(file) ? PyUnicode_EncodeFSDefault(file) : NULL;
    const char *slash = bytes ? strrchr(PyBytes_AS_STRING(bytes), '/') : NULL;
    if (slash && slash != PyBytes_AS_STRING(bytes))
        snprintf(p->library, sizeof p->library, "%.*s/", (int)(slash - PyBytes_AS_STRING(bytes)),
                 PyBytes_AS_STRING(bytes));
    Py_XDECREF(bytes);
    PyErr_Clear();
}

/* Modules that are missing. */

static void put_below(struct put *p, const char *directory, const char *name) {
    static const char *const forms[] = {"", ".py", "/__init__.py"};
    char path[PATH_MAX];
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        if (snprintf(path, sizeof path, "%s%s%s%s", directory, *directory ? "/" : "", name, forms[i]) <
            (int)sizeof path)
            put_path(p, path);
    }
}

/* `directories`: sys.path, or the __path__ of a package. */
static void put_candidates(struct put *p, PyObject *directories, const char *name) {
    PyObject *list = directories ? PySequence_List(directories) : NULL;
    for (Py_ssize_t i = 0; list && i < PyList_GET_SIZE(list); i++) {
        PyObject *item = PyList_GET_ITEM(list, i);
        PyObject *bytes = PyUnicode_Check(item) ? PyUnicode_EncodeFSDefault(item) : NULL;
        if (bytes)
            put_below(p, PyBytes_AS_STRING(bytes), name);
        Py_XDECREF(bytes);
    }
    Py_XDECREF(list);
    PyErr_Clear();
}

/* Where the module of this dotted name would be found; its packages that are loaded know that of what is in them. */
static void put_missing(struct put *p, const char *name) {
    PyObject *modules = PyImport_GetModuleDict(), *path = compat_sys_get("path");
    char part[PATH_MAX];
    for (size_t at = 0, n; name[at] && path; at += n + (name[at + n] == '.')) {
        n = strcspn(name + at, ".");
        snprintf(part, sizeof part, "%.*s", (int)(at + n), name);
        PyObject *module = PyDict_GetItemString(modules, part);
        PyObject *below = get_of_module(module, "__path__");
        if (!module) {
            snprintf(part, sizeof part, "%.*s", (int)n, name + at);
            put_candidates(p, path, part);
        }
        Py_SETREF(path, below ? Py_NewRef(below) : NULL);
    }
    Py_XDECREF(path);
    PyErr_Clear();
}

static void put_spec(struct put *p) {
    char path[PATH_MAX];
    const size_t n = strcspn(begun.spec, ":");
    snprintf(path, sizeof path, "%.*s", (int)n, begun.spec);
    if (spec_names_file(path)) {
        put_path(p, path);
        if (*path != '/' && begun.start) {
            snprintf(path, sizeof path, "%s/%.*s", begun.start, (int)n, begun.spec);
            put_path(p, path);
        }
    }
    snprintf(path, sizeof path, "%.*s", (int)n, begun.spec);
    if (spec_is_dotted(path))
        put_missing(p, path);
}

/* What a load has ended with. */

static void put_frames(struct put *p, PyObject *exc) {
    PyObject *traceback = compat_err_traceback(exc), *next;
    for (unsigned n = 0; traceback && PyTraceBack_Check(traceback) && n < FRAMES_MAX; n++) {
        PyObject *frame = PyObject_GetAttrString(traceback, "tb_frame");
        PyObject *code = frame ? PyObject_GetAttrString(frame, "f_code") : NULL;
        if (code)
            put_attr(p, code, "co_filename");
        next = PyObject_GetAttrString(traceback, "tb_next");
        Py_XDECREF(code);
        Py_XDECREF(frame);
        Py_SETREF(traceback, next);
        PyErr_Clear();
    }
    Py_XDECREF(traceback);
}

static void put_not_found(struct put *p, PyObject *exc) {
    PyObject *name = NULL;
    (void)compat_getattr_optional(exc, "name", &name);
    const char *text = name && PyUnicode_Check(name) ? PyUnicode_AsUTF8(name) : NULL;
    if (text && spec_is_dotted(text))
        put_missing(p, text);
    Py_XDECREF(name);
    PyErr_Clear();
}

/* It, and what has led to it. */
static void put_exception(struct put *p, PyObject *exc, unsigned *room) {
    static const char *const links[] = {"__cause__", "__context__"};
    if (!*room || !PyExceptionInstance_Check(exc))
        return;
    --*room;
    put_frames(p, exc);
    if (PyErr_GivenExceptionMatches(exc, PyExc_SyntaxError))
        put_attr(p, exc, "filename");
    if (PyErr_GivenExceptionMatches(exc, PyExc_ImportError)) {
        put_attr(p, exc, "path");
        put_not_found(p, exc);
    }
    for (size_t i = 0; i < sizeof links / sizeof *links; i++) {
        PyObject *other = NULL;
        (void)compat_getattr_optional(exc, links[i], &other);
        if (other && other != Py_None)
            put_exception(p, other, room);
        Py_XDECREF(other);
        PyErr_Clear();
    }
}

static int put(struct buf *out, size_t size, size_t count, bool all) {
    struct put *p = malloc(sizeof *p);
    if (!p)
        return -1;
    *p = (struct put){.out = out, .size = size, .count = count};
    if (!getcwd(p->here, sizeof p->here))
        p->here[0] = '\0';
    find_library(p);
    for (int installed = 0; installed <= 1; installed++) {
        unsigned room = CHAIN_MAX;
        p->installed = installed;
        put_spec(p);
        if (all && begun.failed)
            put_exception(p, begun.failed, &room);
        if (all)
            put_modules(p);
    }
    const int failed = p->failed ? -1 : 0;
    free(p);
    return failed;
}

int loaded_files_put_first(struct buf *out) {
    return put(out, SIZE_MAX, SIZE_MAX, false);
}

int loaded_files_put_all(struct buf *out, size_t size, size_t count) {
    const int failed = put(out, size, count, true);
    Py_CLEAR(begun.failed);
    return failed;
}
