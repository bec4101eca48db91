#include "config.h"

#include <Python.h>

#include "python/interp.h"

#include "base/log.h"
#include "python/compat.h"
#include "python/error_lines.h"
#include "python/thread.h"
#include "python/venv.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

enum { PATH_SIZE = PATH_MAX };

/* Finds the program that belongs to the shared library this process runs, LIBDIR/../bin/python3.X. Without it Python
 * searches PATH, may find another installation there and take its standard library. False when there is none. */
static bool find_python(char *out, size_t size) {
    char path[PATH_SIZE];
    Dl_info info;
    void *symbol = dlsym(RTLD_DEFAULT, "Py_GetVersion");
    if (!symbol || !dladdr(symbol, &info) || !info.dli_fname || !strstr(info.dli_fname, ".so"))
        return false;
    if (!realpath(info.dli_fname, path))
        return false;
    /* lib, lib64, lib/x86_64-linux-gnu: the prefix is one or two directories up. */
    for (int up = 0; up < 3; up++) {
        char *slash = strrchr(path, '/');
        if (!slash)
            return false;
        *slash = '\0';
        int n = snprintf(out, size, "%s/bin/" COMPAT_PYTHON_NAME, path);
        if (n > 0 && (size_t)n < size && !access(out, X_OK))
            return true;
    }
    return false;
}

static int report_status(PyStatus status, const char *python) {
    /* An exception is pending when Python came far enough to have a thread state. */
    if (compat_thread_state() && PyErr_Occurred())
        interp_print_error("Python raised an exception while it started");
    const char *home = getenv("PYTHONHOME");
    if (home && *home)
        log_error("cannot start Python: %s; PYTHONHOME is set to %s: unset it, or set it to the prefix of Python %d.%d",
                  status.err_msg ? status.err_msg : "unknown error", home, PY_MAJOR_VERSION, PY_MINOR_VERSION);
    else
        log_error("cannot start Python: %s; is its standard library installed? Try %s -c 'import encodings, site'",
                  status.err_msg ? status.err_msg : "unknown error", python);
    return EX_CONFIG;
}

/* Puts the directories of the command line at the front of sys.path. Returns 0, or -1 with an exception. */
static int prepend_paths(const struct interp_config *c) {
    PyObject *path = compat_sys_get("path");
    int failed = !path || !PyList_Check(path);
    if (failed)
        PyErr_SetString(PyExc_RuntimeError, "sys.path is no list");
    Py_ssize_t at = 0;
    for (size_t i = 0; !failed && i <= c->npythonpath; i++) {
        const char *dir = i < c->npythonpath ? c->pythonpath[i] : c->chdir;
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

/* sys.orig_argv, when Python knows how to decode it (PyConfig_SetBytesArgv was called). */
static PyStatus set_command_line(PyConfig *config, char *const *argv) {
    PyStatus status = PyStatus_Ok();
    for (; !PyStatus_Exception(status) && *argv; argv++) {
        wchar_t *word = Py_DecodeLocale(*argv, NULL);
        status = word ? PyWideStringList_Append(&config->orig_argv, word) : PyStatus_NoMemory();
        PyMem_RawFree(word);
    }
    return status;
}

/* Python takes every value but an empty one for a yes; here that is the default, and "0" the way to say no. */
static bool wants_faulthandler(void) {
    const char *word = getenv("PYTHONFAULTHANDLER");
    return !word || strcmp(word, "0");
}

static PyStatus initialize(const struct interp_config *c, const char *program_name) {
    PyConfig config;
    PyConfig_InitPythonConfig(&config);
    config.parse_argv = 0;
    config.install_signal_handlers = 1;
    config.faulthandler = wants_faulthandler();
    compat_config_gil(&config);
    PyStatus status = PyConfig_SetBytesArgv(&config, 1, c->argv);
    if (!PyStatus_Exception(status))
        status = set_command_line(&config, c->argv);
    if (!PyStatus_Exception(status))
        status = PyConfig_SetBytesString(&config, &config.program_name, program_name);
    if (!PyStatus_Exception(status))
        status = Py_InitializeFromConfig(&config);
    PyConfig_Clear(&config);
    return status;
}

/* __main__ is like that of a program which consists of a directory: it has a file, and its own name stands in its
 * __spec__, by which a spawned child of multiprocessing knows that there is nothing to import again. Without a file it would
 * be taken for an interactive session (python-dotenv). Returns 0, or -1 with an exception. */
static int describe_main(const char *argv0) {
    char path[PATH_SIZE];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path);
    PyObject *file =
        n > 0 && (size_t)n < sizeof path ? PyUnicode_DecodeFSDefaultAndSize(path, n) : PyUnicode_DecodeFSDefault(argv0);
    PyObject *main = PyImport_AddModule("__main__"); /* borrowed */
    PyObject *machinery = main && file ? PyImport_ImportModule("importlib.machinery") : NULL;
    PyObject *spec = machinery ? PyObject_CallMethod(machinery, "ModuleSpec", "sO", "__main__", Py_None) : NULL;
    int failed = !spec || PyObject_SetAttrString(spec, "origin", file) ||
                 PyObject_SetAttrString(main, "__file__", file) || PyObject_SetAttrString(main, "__spec__", spec);
    Py_XDECREF(spec);
    Py_XDECREF(machinery);
    Py_XDECREF(file);
    return failed ? -1 : 0;
}

int interp_start(const struct interp_config *c) {
    char python[PATH_SIZE], program[PATH_SIZE];
    if (!find_python(python, sizeof python))
        snprintf(python, sizeof python, COMPAT_PYTHON_NAME);
    const char *program_name = python;
    if (compat_gil_unwanted()) {
        log_error(
            "PYTHON_GIL=0 is set, but wsgi-fcgi runs every Python with its GIL, free-threaded ones too: unset it");
        return EX_CONFIG;
    }
    if (c->venv) {
        int failed = venv_find_python(c->venv, c->venv_from_env, python, program, sizeof program);
        if (failed)
            return failed;
        /* getpath and site look for pyvenv.cfg beside and above the program's name. */
        program_name = program;
    }
    PyStatus status = initialize(c, program_name);
    if (PyStatus_Exception(status))
        return report_status(status, python);
    /* Before the application's directories are searched: the module is that of Python. */
    if (thread_init() || describe_main(c->argv[0]) || prepend_paths(c) || line_buffer_stdout()) {
        interp_print_error("cannot set up threading, __main__, sys.path and sys.stdout");
        return EX_SOFTWARE;
    }
    return 0;
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
        log_text(text, len);
        Py_END_ALLOW_THREADS
    } else {
        char line[256];
        int n = snprintf(line, sizeof line, "%.200s (its traceback could not be formatted)\n", Py_TYPE(exc)->tp_name);
        Py_BEGIN_ALLOW_THREADS
        log_text(line, (size_t)n);
        Py_END_ALLOW_THREADS
        compat_err_display(exc);
    }
    Py_XDECREF(bytes);
    Py_DECREF(exc);
    PyErr_Clear();
}
