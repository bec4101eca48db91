#include "config.h"

#include <Python.h>

#include "python/interp_start.h"

#include "base/log.h"
#include "python/compat.h"
#include "python/interp.h"
#include "python/module.h"
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

/* Finds the program that belongs to the shared library this process runs, LIBDIR/../bin/python3.X; of an archive, the
 * build knows it. Without it Python searches PATH, may find another installation there and take its standard library.
 * False when there is none. */
#ifdef STATIC_PYTHON
static bool find_python(char *out, size_t size) {
    int n = snprintf(out, size, "%s", STATIC_PYTHON);
    return n > 0 && (size_t)n < size && !access(out, X_OK);
}
#else
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
#endif

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

static PyStatus initialize(const struct interp_config *c, const char *program_name) {
    PyConfig config;
    PyConfig_InitPythonConfig(&config);
    config.parse_argv = 0;
    config.install_signal_handlers = 1;
    config.faulthandler = interp_wants_faulthandler();
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

/* Returns 0, or -1 with an exception. */
static int describe_main(const char *argv0) {
    char path[PATH_SIZE];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path);
    PyObject *file =
        n > 0 && (size_t)n < sizeof path ? PyUnicode_DecodeFSDefaultAndSize(path, n) : PyUnicode_DecodeFSDefault(argv0);
    int failed = !file || interp_describe_main(file);
    Py_XDECREF(file);
    return failed ? -1 : 0;
}

int interp_start(const struct interp_config *c) {
    char python[PATH_SIZE], program[PATH_SIZE];
    if (!find_python(python, sizeof python))
        snprintf(python, sizeof python, COMPAT_PYTHON_NAME);
    const char *program_name = python;
    if (interp_gil_is_unwanted())
        return EX_CONFIG;
    if (c->venv) {
        int failed = venv_find_python(c->venv, c->venv_source, python, program, sizeof program);
        if (failed)
            return failed;
        /* getpath and site look for pyvenv.cfg beside and above the program's name. */
        program_name = program;
    }
    if (module_add()) {
        log_error("out of memory");
        return EX_OSERR;
    }
    PyStatus status = initialize(c, program_name);
    if (PyStatus_Exception(status))
        return report_status(status, python);
    /* Before the application's directories are searched: the module is that of Python. */
    if (thread_init() || describe_main(c->argv[0]) || interp_prepare(c->pythonpath, c->npythonpath, c->chdir)) {
        interp_print_error("cannot set up threading, __main__, sys.path and sys.stdout");
        return EX_SOFTWARE;
    }
    return 0;
}

static int end(int status, void (*last)(void *arg), void *arg) {
    int ended = interp_stop();
    last(arg);
    return status ? status : ended;
}

const struct interp_life interp_embedded = {.begin = interp_start, .end = end};
