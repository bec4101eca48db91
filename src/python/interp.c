#include "config.h"

#include <Python.h>

#include "python/interp.h"

#include "base/log.h"
#include "python/compat.h"
#include "python/error_lines.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

bool interp_gil_is_unwanted(void) {
    if (!compat_gil_unwanted())
        return false;
    log_error("PYTHON_GIL=0 is set, but wsgi-fcgi runs every Python with its GIL, free-threaded ones too: unset it");
    return true;
}

bool interp_wants_faulthandler(void) {
    const char *word = getenv("PYTHONFAULTHANDLER");
    return !word || strcmp(word, "0");
}

int interp_describe_main(PyObject *file) {
    PyObject *main = PyImport_AddModule("__main__"); /* borrowed */
    PyObject *machinery = main ? PyImport_ImportModule("importlib.machinery") : NULL;
    PyObject *spec = machinery ? PyObject_CallMethod(machinery, "ModuleSpec", "sO", "__main__", Py_None) : NULL;
    int failed = !spec || PyObject_SetAttrString(spec, "origin", file) ||
                 PyObject_SetAttrString(main, "__file__", file) || PyObject_SetAttrString(main, "__spec__", spec);
    Py_XDECREF(spec);
    Py_XDECREF(machinery);
    return failed ? -1 : 0;
}

/* Puts the directories of the command line at the front of sys.path. Returns 0, or -1 with an exception. */
static int prepend_paths(const char *const *directories, size_t n, const char *last) {
    PyObject *path = compat_sys_get("path");
    int failed = !path || !PyList_Check(path);
    if (failed)
        PyErr_SetString(PyExc_RuntimeError, "sys.path is no list");
    Py_ssize_t at = 0;
    for (size_t i = 0; !failed && i <= n; i++) {
        const char *dir = i < n ? directories[i] : last;
        if (!dir)
            continue;
        PyObject *item = PyUnicode_DecodeFSDefault(dir);
        failed = !item || PyList_Insert(path, at++, item);
        Py_XDECREF(item);
    }
    Py_XDECREF(path);
    return failed ? -1 : 0;
}

/* Returns 0, or -1 with an exception. Leaves a stream alone that is none (descriptor 1 is closed) or no TextIOWrapper
 * (sitecustomize replaced it). */
static int line_buffer_stdout(void) {
    PyObject *out = compat_sys_get("stdout");
    PyObject *method = NULL, *none = NULL, *options = NULL, *result = NULL;
    int has = out ? compat_getattr_optional(out, "reconfigure", &method) : 0;
    Py_XDECREF(out);
    if (has <= 0)
        return has;
    none = PyTuple_New(0);
    options = Py_BuildValue("{s:O}", "line_buffering", Py_True);
    if (none && options)
        result = PyObject_Call(method, none, options);
    Py_XDECREF(method);
    Py_XDECREF(none);
    Py_XDECREF(options);
    Py_XDECREF(result);
    return result ? 0 : -1;
}

int interp_prepare(const char *const *directories, size_t n, const char *last) {
    return prepend_paths(directories, n, last) || line_buffer_stdout() ? -1 : 0;
}

void interp_describe(char *out, size_t size) {
    const char *version = Py_GetVersion();
    int n = snprintf(out, size, "Python %.*s%s", (int)strcspn(version, " "), version, COMPAT_BUILD_NAME);
    if (!Py_IsInitialized() || n < 0 || (size_t)n >= size)
        return;
    PyObject *executable = compat_sys_get("executable");
    bool named = executable && PyUnicode_Check(executable) && PyUnicode_GetLength(executable);
    PyObject *bytes = named ? PyUnicode_EncodeFSDefault(executable) : NULL;
    Py_XDECREF(executable);
    char text[512];
    if (bytes)
        snprintf(out + n, size - (size_t)n, " (%s)",
                 log_escape(text, sizeof text, PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes)));
    else
        PyErr_Clear();
    Py_XDECREF(bytes);
}

int interp_stop(void) {
    error_lines_flush();
    return Py_FinalizeEx() ? EX_SOFTWARE : 0;
}

static void flush_stream(const char *name) {
    PyObject *stream = compat_sys_get(name);
    PyObject *result = stream && stream != Py_None ? PyObject_CallMethod(stream, "flush", NULL) : NULL;
    PyErr_Clear();
    Py_XDECREF(result);
    Py_XDECREF(stream);
}

void interp_flush(void) {
    flush_stream("stdout");
    flush_stream("stderr");
    error_lines_flush();
}

void interp_run_atexit(void) {
    PyObject *atexit = PyImport_ImportModule("atexit");
    PyObject *result = atexit ? PyObject_CallMethod(atexit, "_run_exitfuncs", NULL) : NULL;
    if (!result)
        interp_print_error("cannot run the functions that were registered with atexit");
    Py_XDECREF(result);
    Py_XDECREF(atexit);
    interp_flush();
}

int interp_take_exit_status(void) {
    PyObject *exc = compat_err_take(), *code = NULL;
    int status = exc ? 1 : 0;
    if (exc && !PyErr_GivenExceptionMatches(exc, PyExc_SystemExit)) {
        compat_err_display(exc);
        Py_DECREF(exc);
        return status;
    }
    if (exc)
        (void)compat_getattr_optional(exc, "code", &code);
    if (!code || code == Py_None)
        status = 0;
    else if (PyLong_Check(code))
        status = (int)PyLong_AsLong(code);
    else
        PySys_FormatStderr("%S\n", code);
    Py_XDECREF(code);
    Py_XDECREF(exc);
    PyErr_Clear();
    return status;
}

/* The text of `exc` as the traceback module formats it: bytes, new reference, or NULL without an exception. */
static PyObject *format_exception(PyObject *exc) {
    PyObject *bytes = NULL, *text = NULL, *lines = NULL, *empty = NULL;
    PyObject *module = PyImport_ImportModule("traceback");
    if (module)
        lines = PyObject_CallMethod(module, "format_exception", "O", exc);
    if (lines)
        empty = PyUnicode_FromString("");
    if (empty)
        text = PyUnicode_Join(empty, lines);
    if (text)
        bytes = PyUnicode_AsEncodedString(text, "utf-8", "backslashreplace");
    if (!bytes)
        PyErr_Clear();
    Py_XDECREF(module);
    Py_XDECREF(lines);
    Py_XDECREF(empty);
    Py_XDECREF(text);
    return bytes;
}

void interp_print_error(const char *what) {
    PyObject *exc = compat_err_take();
    /* Whoever reads the log may be slow. */
    Py_BEGIN_ALLOW_THREADS
    log_error("%s", what);
    Py_END_ALLOW_THREADS
    if (!exc)
        return;
    PyObject *bytes = format_exception(exc);
    if (bytes) {
        const char *text = PyBytes_AS_STRING(bytes);
        size_t len = (size_t)PyBytes_GET_SIZE(bytes);
        Py_BEGIN_ALLOW_THREADS
        log_text(LOG_LEVEL_ERROR, text, len);
        Py_END_ALLOW_THREADS
    } else {
        char line[256];
        int n = snprintf(line, sizeof line, "%.200s (its traceback could not be formatted)\n", Py_TYPE(exc)->tp_name);
        Py_BEGIN_ALLOW_THREADS
        log_text(LOG_LEVEL_ERROR, line, (size_t)n);
        Py_END_ALLOW_THREADS
        compat_err_display(exc);
    }
    Py_XDECREF(bytes);
    Py_DECREF(exc);
    PyErr_Clear();
}
