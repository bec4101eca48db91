#include "config.h"

#define PY_SSIZE_T_CLEAN /* for "s#", until 3.12 */
#include <Python.h>

#include "python/app/app.h"

#include "base/log.h"
#include "python/app/ask.h"
#include "python/app/frozen.h"
#include "python/app/loaded_files.h"
#include "python/app/slow_load.h"
#include "python/app/spec.h"
#include "python/app/text.h"
#include "python/child.h"
#include "python/compat.h"
#include "python/load_interrupt.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

enum { NAME_SIZE = 256, TEXT_SIZE = SPEC_SHOWN_SIZE };

/* Imports the module. New reference, or NULL with *status after printing. */
static PyObject *import(struct spec *s, int *status) {
    char doing[TEXT_SIZE];
    PyObject *name = PyUnicode_DecodeFSDefault(s->module);
    /* Through the C import system: it leaves the frames of importlib out of the traceback. */
    PyObject *module = name ? PyImport_Import(name) : NULL;
    Py_XDECREF(name);
    if (module)
        return module;
    bool not_found = false;
    if (PyErr_ExceptionMatches(PyExc_ModuleNotFoundError)) {
        PyObject *exc = compat_err_take(), *traceback = compat_err_traceback(exc);
        loaded_files_keep(exc);
        *status = ask_status(ask_python(s, FROZEN_DIAGNOSIS, "report_not_found", "(O)", exc));
        not_found = *status < 0 && !traceback;
        Py_XDECREF(traceback);
        compat_err_restore(exc);
        if (*status > 0) {
            PyErr_Clear();
            return NULL;
        }
    }
    snprintf(doing, sizeof doing, "importing \"%s\"", s->module);
    *status = report_exception(s, doing);
    if (not_found && *status == EX_SOFTWARE)
        *status = EX_NOINPUT;
    return NULL;
}

/* Runs the code of a file as its module, which is in sys.modules. New reference, or NULL with an exception. */
static PyObject *run_code(PyObject *name, PyObject *code, PyObject *module) {
    PyObject *dict = PyModule_GetDict(module); /* borrowed */
    PyObject *result = NULL;
    if (!PyDict_SetItemString(dict, "__builtins__", PyEval_GetBuiltins()))
        result = PyEval_EvalCode(code, dict, dict);
    if (!result) {
        PyObject *exc = compat_err_take();
        if (PyObject_DelItem(PyImport_GetModuleDict(), name))
            PyErr_Clear();
        compat_err_restore(exc);
        return NULL;
    }
    Py_DECREF(result);
    return Py_NewRef(module);
}

/* What `open_file` of finding.py says about the file: new reference, or NULL with an exception, whose traceback
 * begins no earlier than the application. */
static PyObject *open_file(struct spec *s, PyObject *path) {
    PyObject *answer = ask_python(s, FROZEN_FINDING, "open_file", "(O)", path);
    if (!answer) {
        PyObject *exc = compat_err_take();
        (void)PyException_SetTraceback(exc, Py_None);
        compat_err_restore(exc);
    }
    return answer;
}

/* Loads the file. New reference to its module, or NULL with *status after printing. */
static PyObject *load_file(struct spec *s, PyObject *path, int *status) {
    char shown[TEXT_SIZE], doing[TEXT_SIZE + 32];
    PyObject *name, *code, *empty, *module = NULL, *answer = open_file(s, path);
    if (answer && PyArg_ParseTuple(answer, "OOO", &name, &code, &empty))
        module = code == Py_None ? PyImport_Import(name) : run_code(name, code, empty);
    Py_XDECREF(answer);
    if (module)
        return module;
    PyObject *exc = compat_err_take(), *bytes = PyUnicode_EncodeFSDefault(path);
    snprintf(doing, sizeof doing, "loading %s",
             bytes ? log_escape(shown, sizeof shown, PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes)) : "it");
    Py_XDECREF(bytes);
    PyErr_Clear();
    compat_err_restore(exc);
    *status = report_exception(s, doing);
    return NULL;
}

/* Loads what stands in front of the colon. New reference, or NULL with *status after printing. */
static PyObject *load_module(struct spec *s, int *status) {
    if (!spec_names_file(s->module))
        return import(s, status);
    bool certain = strchr(s->module, '/') || !spec_is_dotted(s->module);
    PyObject *module = NULL, *path = ask_python(s, FROZEN_FINDING, "find_file", "(O)", certain ? Py_True : Py_False);
    if (!path)
        *status = report_exception(s, "looking for the application");
    else if (PyLong_Check(path))
        *status = (int)PyLong_AsLong(path);
    else
        module = path == Py_None ? import(s, status) : load_file(s, path, status);
    Py_XDECREF(path);
    return module;
}

/* The application of a module named alone; s->name becomes its name. New reference, or NULL with *status after
 * printing. */
static PyObject *find_default(struct spec *s, PyObject *module, int *status) {
    static const char *const names[] = {"application", "app"};
    PyObject *found;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        int has = compat_getattr_optional(module, names[i], &found);
        if (has < 0)
            *status = report_exception(s, "looking for the application");
        else if (has && !(s->name = strdup(names[i]))) {
            *status = report_no_memory();
            Py_CLEAR(found);
        }
        if (has)
            return found;
    }
    PyObject *answer = ask_python(s, FROZEN_DIAGNOSIS, "report_no_default", "(O)", module);
    *status = ask_refusal(s, answer, EX_CONFIG, "has neither \"application\" nor \"app\"");
    return NULL;
}

/* Follows the dotted name from the module. New reference, or NULL with *status after printing. */
static PyObject *find_named(struct spec *s, PyObject *module, int *status) {
    PyObject *obj = Py_NewRef(module);
    for (size_t at = 0, n; obj && s->name[at]; at += n + (s->name[at + n] != '\0')) {
        n = strcspn(s->name + at, ".");
        PyObject *next = NULL, *part = PyUnicode_FromStringAndSize(s->name + at, (Py_ssize_t)n);
        if (part)
            PyUnicode_InternInPlace(&part);
        int has = part ? compat_getattr_optional_name(obj, part, &next) : -1;
        if (has < 0)
            *status = report_exception(s, "looking for the application");
        if (!has) {
            PyObject *answer = ask_python(s, FROZEN_DIAGNOSIS, "report_no_attribute", "(Os#O)", obj, s->name,
                                          (Py_ssize_t)(at ? at - 1 : 0), part);
            *status = ask_refusal(s, answer, EX_CONFIG, "names an attribute that is not there");
        }
        Py_XDECREF(part);
        Py_SETREF(obj, next);
    }
    return obj;
}

/* Calls the factory `found`. New reference, or NULL with *status after printing. */
static PyObject *call_factory(struct spec *s, PyObject *found, int *status) {
    char doing[TEXT_SIZE + 32];
    if (!PyCallable_Check(found)) {
        log_error("%s: %s is of type %.200s and cannot be called: is it the application itself? Then write %s:%s",
                  s->shown, s->name, Py_TYPE(found)->tp_name, s->module, s->name);
        *status = EX_CONFIG;
        return NULL;
    }
    PyObject *app = s->args ? PyObject_Call(found, s->args, s->kwargs) : PyObject_CallNoArgs(found);
    if (app)
        return app;
    PyObject *exc = compat_err_take(), *traceback = compat_err_traceback(exc);
    loaded_files_keep(exc);
    /* A TypeError without any frame comes from the call, not from the factory. */
    if (!traceback && PyErr_GivenExceptionMatches(exc, PyExc_TypeError)) {
        PyObject *answer = ask_python(s, FROZEN_DIAGNOSIS, "report_arguments", "(OO)", found, exc);
        *status = ask_refusal(s, answer, EX_CONFIG, "is not made: its factory does not take these arguments");
        Py_DECREF(exc);
        return NULL;
    }
    Py_XDECREF(traceback);
    compat_err_restore(exc);
    snprintf(doing, sizeof doing, "calling the factory %s", s->shown);
    *status = report_exception(s, doing);
    return NULL;
}

/* The function of Python's that a call of `obj` runs: itself, a method's, or its class's __call__. *bound becomes
 * the number of arguments (0 or 1) that the call binds. New reference, or NULL without an exception. */
static PyObject *function_of(PyObject *obj, int *bound) {
    *bound = 0;
    if (PyFunction_Check(obj))
        return Py_NewRef(obj);
    *bound = 1;
    if (PyMethod_Check(obj) && PyFunction_Check(PyMethod_GET_FUNCTION(obj)))
        return Py_NewRef(PyMethod_GET_FUNCTION(obj));
    if (PyType_Check(obj) || PyMethod_Check(obj))
        return NULL;
    PyObject *call;
    if (compat_getattr_optional((PyObject *)Py_TYPE(obj), "__call__", &call) < 0)
        PyErr_Clear();
    if (call && PyFunction_Check(call))
        return call;
    Py_XDECREF(call);
    return NULL;
}

/* Can it be seen at a glance that two arguments fit, and that none do not? diagnosis.py, which says the rest, takes
 * milliseconds, and the inspect module two megabytes. */
static bool fits_plainly(PyObject *app) {
    int bound;
    PyObject *function = function_of(app, &bound);
    if (!function)
        return false;
    const PyCodeObject *code = (PyCodeObject *)PyFunction_GET_CODE(function);
    PyObject *defaults = PyFunction_GET_DEFAULTS(function);
    int most = code->co_argcount - bound;
    int least = most - (defaults ? (int)PyTuple_GET_SIZE(defaults) : 0);
    bool fits = least <= 2 && (most >= 2 || code->co_flags & CO_VARARGS) && (least > 0 || most <= 0) &&
                !code->co_kwonlyargcount && !(code->co_flags & (CO_COROUTINE | CO_ASYNC_GENERATOR));
    Py_DECREF(function);
    return fits;
}

/* Prints why `app`, found in `module`, is no WSGI application. Returns 0 when it is one, else a status. */
static int check(struct spec *s, PyObject *module, PyObject *app) {
    char type[201];
    if (fits_plainly(app))
        return 0;
    snprintf(type, sizeof type, "%s", Py_TYPE(app)->tp_name);
    PyObject *answer = ask_python(s, FROZEN_DIAGNOSIS, "check", "(OO&O)", app, frozen_decode, type, module);
    if (!PyCallable_Check(app))
        return ask_refusal(s, answer, EX_CONFIG, "is not callable");
    int status = ask_status(answer);
    return status < 0 ? 0 : status;
}

/* The application, found and not yet checked. New reference, or NULL with *status after printing. */
static PyObject *find(struct spec *s, PyObject *module, int *status) {
    char doing[TEXT_SIZE];
    if (load_interrupt_number()) { /* the module has swallowed the exception */
        snprintf(doing, sizeof doing, "importing \"%s\"", s->module);
        *status = report_interrupted(doing);
        return NULL;
    }
    PyObject *found = s->name ? find_named(s, module, status) : find_default(s, module, status);
    if (!found || !s->factory)
        return found;
    PyObject *app = call_factory(s, found, status);
    Py_DECREF(found);
    return app;
}

/* Loads the application that `text` names, as app_load does. */
static PyObject *load(const char *text, const char *start, int *status) {
    struct spec s;
    *status = spec_init(&s, text, start);
    PyObject *module = *status ? NULL : load_module(&s, status);
    PyObject *app = module ? find(&s, module, status) : NULL;
    if (app && !load_interrupt_number())
        *status = check(&s, module, app);
    if (load_interrupt_close() && app)
        *status = report_interrupted(s.factory ? "calling the factory" : "looking for the application");
    if (*status)
        Py_CLEAR(app);
    Py_XDECREF(module);
    spec_fini(&s);
    return app;
}

PyObject *app_load(const char *spec, const char *start, int *status) {
    if (child_init()) {
        *status = report_no_memory();
        return NULL;
    }
    slow_load_begin(spec);
    PyObject *app = load(spec, start, status);
    if (child_is()) {
        log_error(
            "the application forked while it was loaded, and its child went on: it ends here; put wsgi-fcgi itself "
            "into the background instead");
        child_end();
    }
    slow_load_end();
    return app;
}

void app_describe(PyObject *app, char *out, size_t size) {
    char module[NAME_SIZE], name[NAME_SIZE], file[TEXT_SIZE];
    PyObject *named = app;
    const char *kind = PyType_Check(app) ? "class" : PyMethod_Check(app) ? "method" : "function";
    if (!PyType_Check(app) && !PyMethod_Check(app) && !PyFunction_Check(app)) {
        kind = "instance of";
        named = (PyObject *)Py_TYPE(app);
    }
    text_of_attr(named, "__module__", module, sizeof module);
    if (!text_of_attr(named, "__qualname__", name, sizeof name))
        snprintf(name, sizeof name, "?");
    int n = snprintf(out, size, "%s %s%s%s", kind, module, module[0] ? "." : "", name);
    int bound;
    PyObject *function = function_of(app, &bound);
    if (!function || n < 0 || (size_t)n >= size) {
        Py_XDECREF(function);
        return;
    }
    PyObject *code = PyFunction_GET_CODE(function);
    if (text_of_attr(code, "co_filename", file, sizeof file))
        snprintf(out + n, size - (size_t)n, " (%s:%d)", file, ((PyCodeObject *)code)->co_firstlineno);
    Py_DECREF(function);
}
