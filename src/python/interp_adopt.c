#include "config.h"

#include <Python.h>

#include "python/interp_start.h"

#include "base/log.h"
#include "python/compat.h"
#include "python/error_lines.h"
#include "python/interp.h"
#include "python/thread.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

/* What is left to do when Python ends: Py_AtExit takes no argument.
 * Mutable last: the main thread, GIL held until Python has ended. */
static struct {
    void (*call)(void *arg);
    void *arg;
} last;

static void ended_cb(void) {
    if (last.call)
        last.call(last.arg);
}

/* Python's own command line puts a directory first: that of the script, or the current one. Returns 0, or -1 with an
 * exception. */
static int drop_first_path(void) {
    PyObject *flags = compat_sys_get("flags"), *path = compat_sys_get("path");
    PyObject *safe = flags ? PyObject_GetAttrString(flags, "safe_path") : NULL;
    int keeps = safe ? PyObject_IsTrue(safe) : -1;
    int failed = keeps < 0 || !path;
    if (!failed && !keeps && PyList_Check(path) && PyList_GET_SIZE(path))
        failed = PyList_SetSlice(path, 0, 1, NULL);
    Py_XDECREF(safe);
    Py_XDECREF(path);
    Py_XDECREF(flags);
    return failed ? -1 : 0;
}

static int set_argv(const char *name) {
    PyObject *word = PyUnicode_DecodeFSDefault(name), *argv = word ? PyList_New(1) : NULL;
    if (argv)
        PyList_SET_ITEM(argv, 0, Py_NewRef(word));
    int failed = argv ? PySys_SetObject("argv", argv) : -1;
    Py_XDECREF(argv);
    Py_XDECREF(word);
    return failed;
}

/* In the place of the module that has called the server: a child of multiprocessing would run that again. */
static int replace_main(const char *argv0) {
    PyObject *old = PyImport_AddModule("__main__"), *file = NULL; /* borrowed */
    if (!old || compat_getattr_optional(old, "__file__", &file) < 0)
        return -1;
    if (!file && !(file = PyUnicode_DecodeFSDefault(argv0)))
        return -1;
    PyObject *modules = PyImport_GetModuleDict(), *main = PyModule_New("__main__"); /* borrowed; new */
    PyObject *builtins = main ? PyImport_ImportModule("builtins") : NULL;
    int failed = !builtins || PyModule_AddObjectRef(main, "__builtins__", builtins) ||
                 PyDict_SetItemString(modules, "__main__", main) || interp_describe_main(file);
    Py_XDECREF(builtins);
    Py_XDECREF(main);
    Py_DECREF(file);
    return failed ? -1 : 0;
}

/* What the server has taken for itself; os.environ is a copy that Python has made as it began. */
static int forget_variables(void) {
    PyObject *os = PyImport_ImportModule("os");
    PyObject *environ = os ? PyObject_GetAttrString(os, "environb") : NULL;
    PyObject *keys = environ ? PyMapping_Keys(environ) : NULL;
    int failed = !keys;
    for (Py_ssize_t i = 0; !failed && i < PyList_GET_SIZE(keys); i++) {
        PyObject *key = PyList_GET_ITEM(keys, i);
        if (PyBytes_Check(key) && !getenv(PyBytes_AS_STRING(key)))
            failed = PyObject_DelItem(environ, key);
    }
    Py_XDECREF(keys);
    Py_XDECREF(environ);
    Py_XDECREF(os);
    return failed ? -1 : 0;
}

static int enable_faulthandler(void) {
    const char *word = getenv("PYTHONFAULTHANDLER");
    if (word && !strcmp(word, "0"))
        return 0;
    PyObject *module = PyImport_ImportModule("faulthandler");
    PyObject *enabled = module ? PyObject_CallMethod(module, "is_enabled", NULL) : NULL;
    PyObject *result = enabled == Py_False ? PyObject_CallMethod(module, "enable", NULL) : Py_XNewRef(enabled);
    Py_XDECREF(module);
    Py_XDECREF(enabled);
    Py_XDECREF(result);
    return result ? 0 : -1;
}

int interp_adopt(const struct interp_config *c) {
    if (compat_gil_unwanted()) {
        log_error(
            "PYTHON_GIL=0 is set, but wsgi-fcgi runs every Python with its GIL, free-threaded ones too: unset it");
        return EX_CONFIG;
    }
    if (thread_init() || drop_first_path() || set_argv(c->argv[0]) || replace_main(c->argv[0]) || forget_variables() ||
        enable_faulthandler() || interp_prepare(c->pythonpath, c->npythonpath, c->chdir)) {
        interp_print_error("cannot set up threading, __main__, sys.argv, sys.path, os.environ and sys.stdout");
        return EX_SOFTWARE;
    }
    if (Py_AtExit(ended_cb)) {
        log_error("Python has no room for a function that is called when it has ended (Py_AtExit)");
        return EX_SOFTWARE;
    }
    return 0;
}

static int end(int status, void (*call)(void *arg), void *arg) {
    last.call = call;
    last.arg = arg;
    error_lines_flush();
    return status;
}

const struct interp_life interp_adopted = {.begin = interp_adopt, .end = end};
