#include "config.h"

#include <Python.h>

#include "python/app/app.h"

#include "base/log.h"
#include "python/app/app_impl.h"
#include "python/compat.h"
#include "python/interp.h"
#include "python/interrupt.h"
#include "python/app/text.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

enum { STATUS_INTERRUPTED = 130 };

static const char *const default_names[] = {"application", "app"};

/* Prints which signal ended the start, and returns the status it means. */
static int report_interrupted(const char *doing) {
    log_error("interrupted while %s (SIG%s)", doing, sigabbrev_np(interrupt_number()));
    return 128 + interrupt_number();
}

int app_report_exception(const char *doing) {
    char what[APP_TEXT_SIZE], missing[APP_NAME_SIZE];
    if (interrupt_number()) {
        PyErr_Clear(); /* of what the application made of it */
        return report_interrupted(doing);
    }
    if (PyErr_ExceptionMatches(PyExc_KeyboardInterrupt)) {
        PyErr_Clear();
        log_error("interrupted while %s", doing);
        return STATUS_INTERRUPTED;
    }
    if (PyErr_ExceptionMatches(PyExc_SystemExit)) {
        snprintf(what, sizeof what,
                 "%s ended in SystemExit, which asks the whole program to end: put what only a script does behind "
                 "if __name__ == \"__main__\":",
                 doing);
    } else if (PyErr_ExceptionMatches(PyExc_ModuleNotFoundError)) {
        PyObject *exc = compat_err_take();
        char python[APP_NAME_SIZE];
        interp_describe(python, sizeof python);
        if (text_of_attr(exc, "name", missing, sizeof missing))
            snprintf(what, sizeof what,
                     "%s needs the module \"%s\", which %s does not find: install it there, name the virtual "
                     "environment that has it with --venv DIR, or its directory with --pythonpath DIR",
                     doing, missing, python);
        else
            snprintf(what, sizeof what, "%s failed", doing);
        compat_err_restore(exc);
    } else {
        snprintf(what, sizeof what, "%s failed, the application has to be corrected:", doing);
    }
    interp_print_error(what);
    return EX_SOFTWARE;
}

static void report_not_callable(const struct app_spec *s, const char *label, PyObject *module, PyObject *obj) {
    char list[APP_TEXT_SIZE] = "";
    if (PyModule_Check(obj)) {
        log_error("%s is a module: name the application in it, such as %s.%s:application", label, s->module, s->name);
    } else if (PyCoro_CheckExact(obj)) {
        log_error("%s is a coroutine: a factory of a WSGI application must not be async", label);
        /* Else Python warns that it was never awaited. */
        Py_XDECREF(PyObject_CallMethod(obj, "close", NULL));
        PyErr_Clear();
    } else if (obj == Py_None && s->factory) {
        log_error("%s is None: the factory has to return the application; does it lack a return?", label);
    } else {
        if (!s->factory)
            app_candidates(list, sizeof list, s, module, NULL);
        log_error("%s is not callable, it is of type %.200s: a WSGI application is called with (environ, "
                  "start_response)%s%s%s",
                  label, Py_TYPE(obj)->tp_name, list[0] ? "; it could be " : "", list, list[0] ? "?" : "");
    }
}

static void report_instances(const struct app_spec *s, const char *label, PyObject *module) {
    char list[APP_TEXT_SIZE] = "";
    if (!s->factory)
        app_candidates(list, sizeof list, s, module, NULL);
    log_error("%s is a class and its instances are not iterable, as what an application returns must be (PEP 3333): if "
              "an instance is the application, name that%s%s%s",
              label, list[0] ? "; it could be " : "", list, list[0] ? "?" : "");
}

#define NOT_LIKE_WSGI "%s cannot be called with (environ, start_response) as a WSGI application is, its signature is %s"

/* Prints why `obj`, found in `module`, is no WSGI application. Returns 0 when it is one, else a status. */
static int app_check(const struct app_spec *s, PyObject *module, PyObject *obj) {
    char label[APP_TEXT_SIZE], signature[APP_NAME_SIZE];
    if (s->factory)
        snprintf(label, sizeof label, "the result of %s", s->shown);
    else
        snprintf(label, sizeof label, "%s:%s", s->module, s->name);
    enum app_fit fit = app_fit(obj, signature, sizeof signature);
    if (fit == FIT_FACTORY && s->factory)
        fit = FIT_ARGUMENTS;
    switch (fit) {
    case FIT_WSGI:
        if (!s->factory && app_may_be_factory(obj))
            log_warning("%s can be called without arguments: if it returns the application, write %s()", label, label);
        return 0;
    case FIT_NOT_CALLABLE:
        report_not_callable(s, label, module, obj);
        break;
    case FIT_ASGI:
        log_error(
            "%s is an ASGI application (async), wsgi-fcgi serves WSGI: name the framework's WSGI application (Django: "
            "get_wsgi_application()), wrap it (a2wsgi.ASGIMiddleware), or use an ASGI server",
            label);
        break;
    case FIT_FACTORY:
        log_error(NOT_LIKE_WSGI ": if it makes the application, did you mean %s()?", label, signature, label);
        break;
    case FIT_ARGUMENTS:
        log_error(NOT_LIKE_WSGI ": is it the application?%s", label, signature,
                  s->factory ? "" : " If it makes it, call it as in \"app:make('x', debug=True)\"");
        break;
    case FIT_INSTANCES:
        report_instances(s, label, module);
        break;
    }
    return EX_CONFIG;
}

/* Prints that `obj` (the module, or what `path`, the part of the name before it, led to) has no attribute `name`. */
static void report_no_attribute(const struct app_spec *s, PyObject *obj, const char *path, const char *name) {
    char prefix[APP_TEXT_SIZE], file[APP_TEXT_SIZE], list[APP_TEXT_SIZE];
    const char *question = "did you mean";
    /* A module is asked for applications, all else for whatever looks alike. */
    if (!path[0] && !strchr(s->name, '.')) {
        if (!app_candidates(list, sizeof list, s, obj, name))
            question = "an application could be";
    } else {
        snprintf(prefix, sizeof prefix, "%s:%s%s", s->module, path, path[0] ? "." : "");
        PyObject *names = PyObject_Dir(obj);
        text_similar(list, sizeof list, prefix, name, names);
        Py_XDECREF(names);
        PyErr_Clear();
    }
    char where[APP_TEXT_SIZE + 8] = "";
    if (!path[0] && text_of_attr(obj, "__file__", file, sizeof file))
        snprintf(where, sizeof where, " (%s)", file);
    log_error("%s%s%s%s has no attribute \"%s\"; %s%s%s?", s->module, path[0] ? ":" : "", path, where, name,
              list[0] ? question : "which name has the application", list[0] ? " " : "", list);
}

static void report_no_default(const struct app_spec *s, PyObject *module) {
    char list[APP_TEXT_SIZE], file[APP_TEXT_SIZE];
    app_candidates(list, sizeof list, s, module, NULL);
    text_of_attr(module, "__file__", file, sizeof file);
    const char *hint = "name the application, such as ";
    if (!list[0] && PyObject_HasAttrString(module, "__path__")) {
        hint = "this is a package, name the module in it that has the application, such as ";
        snprintf(list, sizeof list, "%s.wsgi", s->module);
    } else if (!list[0]) {
        hint = "nothing in it could be a WSGI application, is it the right module?";
    }
    log_error("the module \"%s\"%s%s%s has neither \"application\" nor \"app\": %s%s", s->module, file[0] ? " (" : "",
              file, file[0] ? ")" : "", hint, list);
}

/* The application of a module named alone; s->name becomes its name. New reference, or NULL with *status after
 * printing. */
static PyObject *find_default(struct app_spec *s, PyObject *module, int *status) {
    PyObject *found;
    for (size_t i = 0; i < sizeof default_names / sizeof default_names[0]; i++) {
        int has = compat_getattr_optional(module, default_names[i], &found);
        if (has < 0)
            *status = app_report_exception("looking for the application");
        if (has > 0)
            s->name = default_names[i];
        if (has)
            return found;
    }
    report_no_default(s, module);
    *status = EX_CONFIG;
    return NULL;
}

/* Follows the dotted name from the module. New reference, or NULL with *status after printing. */
static PyObject *find_named(const struct app_spec *s, PyObject *module, int *status) {
    PyObject *obj = Py_NewRef(module);
    char path[APP_TEXT_SIZE] = "", part[APP_TEXT_SIZE];
    for (const char *p = s->name; obj && *p;) {
        size_t n = strcspn(p, ".");
        snprintf(part, sizeof part, "%.*s", (int)n, p);
        snprintf(path, sizeof path, "%.*s", p == s->name ? 0 : (int)(p - s->name - 1), s->name);
        p += n + (p[n] != '\0');
        PyObject *next;
        int has = compat_getattr_optional(obj, part, &next);
        if (!has) {
            report_no_attribute(s, obj, path, part);
            *status = EX_CONFIG;
        } else if (has < 0) {
            *status = app_report_exception("looking for the application");
        }
        Py_SETREF(obj, next);
    }
    return obj;
}

/* Prints that the factory does not take its arguments, which the pending TypeError says. */
static int report_arguments(const struct app_spec *s, PyObject *found) {
    char why[APP_TEXT_SIZE], signature[APP_NAME_SIZE];
    PyObject *exc = compat_err_take(), *str = PyObject_Str(exc);
    text_of(str, why, sizeof why);
    Py_XDECREF(str);
    Py_DECREF(exc);
    app_signature(found, signature, sizeof signature);
    log_error("cannot call the factory %s: %s%s%s: write its arguments as in \"app:make('x', debug=True)\"", s->shown,
              why, signature[0] ? "; its signature is " : "", signature);
    return EX_CONFIG;
}

/* Calls the factory `found`. New reference, or NULL with *status after printing. */
static PyObject *call_factory(const struct app_spec *s, PyObject *found, int *status) {
    if (!PyCallable_Check(found)) {
        log_error("%s: %s is of type %.200s and cannot be called: is it the application itself? Then write %s:%s",
                  s->shown, s->name, Py_TYPE(found)->tp_name, s->module, s->name);
        *status = EX_CONFIG;
        return NULL;
    }
    PyObject *app = s->args ? PyObject_Call(found, s->args, s->kwargs) : PyObject_CallNoArgs(found);
    if (app)
        return app;
    PyObject *exc = compat_err_take();
    PyObject *traceback = compat_err_traceback(exc);
    /* A TypeError without any frame comes from the call, not from the factory. */
    bool refused = !traceback && PyErr_GivenExceptionMatches(exc, PyExc_TypeError);
    Py_XDECREF(traceback);
    compat_err_restore(exc);
    if (refused) {
        *status = report_arguments(s, found);
    } else {
        char doing[APP_TEXT_SIZE + 32];
        snprintf(doing, sizeof doing, "calling the factory %s", s->shown);
        *status = app_report_exception(doing);
    }
    return NULL;
}

PyObject *app_load(const char *text, const char *start, int *status) {
    struct app_spec s;
    PyObject *module = NULL, *found = NULL, *app = NULL;
    *status = app_spec_init(&s, text, start);
    if (!*status)
        *status = app_find_file(&s);
    if (*status)
        goto out;
    module = s.file ? app_load_file(&s, status) : app_import(&s, status);
    if (!module)
        goto out;
    if (interrupt_number()) { /* the module has swallowed the exception */
        char doing[APP_TEXT_SIZE];
        snprintf(doing, sizeof doing, "importing \"%s\"", s.module);
        *status = report_interrupted(doing);
        goto out;
    }
    found = s.name ? find_named(&s, module, status) : find_default(&s, module, status);
    if (!found)
        goto out;
    app = s.factory ? call_factory(&s, found, status) : Py_NewRef(found);
    if (!app)
        goto out;
    if (!interrupt_number())
        *status = app_check(&s, module, app);
    if (interrupt_close())
        *status = report_interrupted(s.factory ? "calling the factory" : "looking for the application");
    if (*status)
        Py_CLEAR(app);
out:
    interrupt_close();
    Py_XDECREF(module);
    Py_XDECREF(found);
    app_spec_fini(&s);
    return app;
}

void app_describe(PyObject *app, char *out, size_t size) {
    char module[APP_NAME_SIZE], name[APP_NAME_SIZE], file[APP_TEXT_SIZE];
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
    PyObject *function = app_function_of(app, &bound);
    if (!function || n < 0 || (size_t)n >= size) {
        Py_XDECREF(function);
        return;
    }
    PyObject *code = PyFunction_GET_CODE(function);
    if (text_of_attr(code, "co_filename", file, sizeof file))
        snprintf(out + n, size - (size_t)n, " (%s:%d)", file, ((PyCodeObject *)code)->co_firstlineno);
    Py_DECREF(function);
}
