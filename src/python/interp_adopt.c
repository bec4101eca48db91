#include "config.h"

#include <Python.h>

#include "python/interp_start.h"

#include "base/log.h"
#include "python/compat.h"
#include "python/error_lines.h"
#include "python/interp.h"
#include "python/thread.h"
#include "python/venv.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

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

/* Sets what os.environ has otherwise, or not at all. `variable`: NAME=VALUE. Returns 0, or -1 with an exception. */
static int learn_variable(PyObject *variables, const char *variable) {
    const char *equals = strchr(variable, '=');
    if (!equals)
        return 0;
    PyObject *key = PyBytes_FromStringAndSize(variable, equals - variable), *value = PyBytes_FromString(equals + 1);
    if (key && getenv(PyBytes_AS_STRING(key)) != equals + 1) { /* another one of the name counts */
        Py_XDECREF(value);
        Py_DECREF(key);
        return 0;
    }
    PyObject *known = key && value ? PyObject_GetItem(variables, key) : NULL;
    if (!known && PyErr_ExceptionMatches(PyExc_KeyError))
        PyErr_Clear();
    int same = known ? PyObject_RichCompareBool(known, value, Py_EQ) : 0;
    int failed = PyErr_Occurred() || (!same && PyObject_SetItem(variables, key, value)) ? -1 : 0;
    Py_XDECREF(known);
    Py_XDECREF(value);
    Py_XDECREF(key);
    return failed;
}

static int forget_variables(PyObject *variables) {
    PyObject *keys = PyMapping_Keys(variables);
    int failed = !keys;
    for (Py_ssize_t i = 0; !failed && i < PyList_GET_SIZE(keys); i++) {
        PyObject *key = PyList_GET_ITEM(keys, i);
        if (PyBytes_Check(key) && !getenv(PyBytes_AS_STRING(key)))
            failed = PyObject_DelItem(variables, key);
    }
    Py_XDECREF(keys);
    return failed ? -1 : 0;
}

/* os.environ is a copy that Python has made as it began. Since then the server has taken what is for itself, and has set
 * what --env and --user say. */
static int renew_environment(void) {
    PyObject *os = PyImport_ImportModule("os");
    PyObject *variables = os ? PyObject_GetAttrString(os, "environb") : NULL;
    int failed = !variables || forget_variables(variables);
    /* It is set again to what it is, which moves nothing in the array. */
    for (char **variable = environ; !failed && *variable; variable++)
        failed = learn_variable(variables, *variable);
    Py_XDECREF(variables);
    Py_XDECREF(os);
    return failed ? -1 : 0;
}

/* Descriptors that were closed when Python began have no stream; meanwhile the server has opened /dev/null in their place.
 * Returns 0, or -1 with an exception. */
static int open_streams(void) {
    static const char *const names[][2] = {{"stdin", "__stdin__"}, {"stdout", "__stdout__"}, {"stderr", "__stderr__"}};
    int failed = 0;
    for (int fd = 0; fd < 3 && !failed; fd++) {
        PyObject *now = compat_sys_get(names[fd][1]), *stream = NULL;
        if (now == Py_None)
            stream =
                PyFile_FromFd(fd, "/dev/null", fd ? "w" : "r", -1, NULL, fd == 2 ? "backslashreplace" : NULL, NULL, 0);
        if (now == Py_None)
            failed = !stream || PySys_SetObject(names[fd][0], stream) || PySys_SetObject(names[fd][1], stream);
        Py_XDECREF(stream);
        Py_XDECREF(now);
    }
    return failed ? -1 : 0;
}

static int set_faulthandler(void) {
    const bool wanted = interp_wants_faulthandler();
    PyObject *module = PyImport_ImportModule("faulthandler");
    PyObject *err = compat_sys_get("stderr"); /* None: somebody's wish */
    PyObject *enabled = module ? PyObject_CallMethod(module, "is_enabled", NULL) : NULL;
    PyObject *result = Py_XNewRef(enabled);
    if (enabled && err != Py_None && (enabled == Py_True) != wanted)
        Py_XSETREF(result, PyObject_CallMethod(module, wanted ? "enable" : "disable", NULL));
    int failed = !result;
    Py_XDECREF(result);
    Py_XDECREF(err);
    Py_XDECREF(module);
    Py_XDECREF(enabled);
    return failed ? -1 : 0;
}

/* Writes what a variable of sys says, or "". */
static void get_text(const char *name, char *out, size_t size) {
    PyObject *value = compat_sys_get(name), *bytes = NULL;
    if (!value || !PyUnicode_FSConverter(value, &bytes))
        PyErr_Clear();
    snprintf(out, size, "%s", bytes ? PyBytes_AS_STRING(bytes) : "");
    Py_XDECREF(bytes);
    Py_XDECREF(value);
}

/* Whether the program is that of the Python which runs, in the environment that it runs in. */
static bool is_here(const char *program) {
    char prefix[PATH_MAX], dir[PATH_MAX];
    struct stat a, b;
    get_text("prefix", prefix, sizeof prefix);
    snprintf(dir, sizeof dir, "%.*s", (int)(strlen(program) - strlen("/bin/python")), program);
    return !stat(prefix, &a) && !stat(dir, &b) && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* Returns a status after printing, or 0: `out` is the program of the environment then, or "" if that is the one which
 * runs. */
static int find_elsewhere(const char *venv, const char *source, char *out, size_t size) {
    char python[PATH_MAX];
    out[0] = '\0';
    if (!venv)
        return 0;
    get_text("executable", python, sizeof python);
    int status = venv_find_python(venv, source, python, out, size);
    if (!status && is_here(out))
        out[0] = '\0';
    return status;
}

/* Python knows which options it was given, and the package where it is. */
static int settle(const char *venv, const char *source, char *const *argv) {
    char program[PATH_MAX];
    int status = find_elsewhere(venv, source, program, sizeof program);
    if (status || !program[0])
        return status;
    PyObject *words = PyList_New(0), *word = NULL, *package = NULL;
    int failed = !words;
    for (char *const *arg = argv + 1; !failed && *arg; arg++) {
        word = PyUnicode_DecodeFSDefault(*arg);
        failed = !word || PyList_Append(words, word);
        Py_XDECREF(word);
    }
    package = failed ? NULL : PyImport_ImportModule("wsgi_fcgi._elsewhere");
    if (package)
        Py_XDECREF(PyObject_CallMethod(package, "execute", "yO", program, words));
    Py_XDECREF(package);
    Py_XDECREF(words);
    char what[PATH_MAX + 64];
    snprintf(what, sizeof what, "%s: cannot execute %s", source ? source : "VIRTUAL_ENV", program);
    interp_print_error(what);
    return EX_CONFIG;
}

/* A free-threaded Python switches its GIL on when it imports the module, which does not say that it can do without, unless
 * it was told to leave it off. Since 3.13 it says how it is. Returns 0, or a status of sysexits.h, and has said why. */
static int require_gil(void) {
    if (interp_gil_is_unwanted())
        return EX_CONFIG;
    PyObject *ask = compat_sys_get("_is_gil_enabled");
    PyObject *answer = ask ? PyObject_CallNoArgs(ask) : Py_NewRef(Py_True);
    int is_on = answer ? PyObject_IsTrue(answer) : -1;
    Py_XDECREF(answer);
    Py_XDECREF(ask);
    if (is_on < 0) {
        interp_print_error("cannot find out whether Python has its GIL on");
        return EX_SOFTWARE;
    }
    if (!is_on)
        log_error("this Python runs without its GIL (-X gil=0), but wsgi-fcgi runs every Python with its GIL, "
                  "free-threaded ones too: leave that out");
    return is_on ? 0 : EX_CONFIG;
}

int interp_adopt(const struct interp_config *c) {
    char program[PATH_MAX];
    int status = find_elsewhere(c->venv, c->venv_source, program, sizeof program);
    if (status)
        return status;
    if (program[0]) {
        log_error("%s: a reload cannot change to another virtual environment, for it does not execute another Python: "
                  "restart the server",
                  c->venv_source ? c->venv_source : "VIRTUAL_ENV");
        return EX_CONFIG;
    }
    status = require_gil();
    if (status)
        return status;
    if (thread_init() || drop_first_path() || set_argv(c->argv[0]) || replace_main(c->argv[0]) || renew_environment() ||
        open_streams() || set_faulthandler() || interp_prepare(c->pythonpath, c->npythonpath, c->chdir)) {
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

const struct interp_life interp_adopted = {.settle = settle, .begin = interp_adopt, .end = end};
