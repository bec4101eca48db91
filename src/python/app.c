#include "config.h"

#include <Python.h>

#include "python/app.h"

#include "base/log.h"
#include "python/compat.h"
#include "python/interp.h"
#include "python/interrupt.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

enum { STATUS_INTERRUPTED = 130, NAME_SIZE = 256, LIST_SIZE = 700, CANDIDATES_MAX = 6 };

/* MODULE, MODULE:NAME or MODULE:NAME(), cut into its parts. */
struct spec {
    char *module;
    const char *name; /* inside the memory of `module`; NULL until one of the default names was found */
    bool factory;
};

/* Why an object is no WSGI application. */
enum fit {
    FIT_WSGI,
    FIT_NOT_CALLABLE,
    FIT_ASGI,
    FIT_FACTORY,   /* takes no arguments, but could be called without */
    FIT_ARGUMENTS, /* takes other arguments */
};

static const char *const default_names[] = {"application", "app"};

/* A printable copy of a str or bytes-like name of the application; never fails. `str` may be NULL, as a call that
 * failed returns it: its exception is cleared. */
static const char *text_of(PyObject *str, char *out, size_t size) {
    PyObject *bytes = str && PyUnicode_Check(str) ? PyUnicode_AsEncodedString(str, "utf-8", "backslashreplace") : NULL;
    if (bytes)
        log_escape(out, size, PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes));
    else
        snprintf(out, size, "?");
    Py_XDECREF(bytes);
    PyErr_Clear();
    return out;
}

/* The same for an attribute of `obj`. False and "" when it has none, or none that is a str. */
static bool text_of_attr(PyObject *obj, const char *name, char *out, size_t size) {
    PyObject *value;
    out[0] = '\0';
    if (compat_getattr_optional(obj, name, &value) < 0)
        PyErr_Clear();
    bool found = value && PyUnicode_Check(value);
    if (found)
        text_of(value, out, size);
    Py_XDECREF(value);
    return found;
}

/* Dotted name without empty parts, and without what the syntax of a spec is made of? */
static bool is_dotted(const char *s) {
    if (strpbrk(s, " \t\r\n:()"))
        return false;
    for (;;) {
        size_t n = strcspn(s, ".");
        if (!n)
            return false;
        if (!s[n])
            return true;
        s += n + 1;
    }
}

/* Returns 0, or a status after printing. */
static int spec_parse(struct spec *s, const char *text) {
    s->module = strdup(text);
    if (!s->module) {
        log_error("out of memory");
        return EX_OSERR;
    }
    char *colon = strchr(s->module, ':');
    if (colon) {
        *colon = '\0';
        s->name = colon + 1;
        char *paren = strchr(colon + 1, '(');
        if (paren && strcmp(paren, "()")) {
            log_error(
                "the application \"%s\": a factory is called without arguments: write MODULE:NAME(), or write a module "
                "that calls it with arguments and names the result \"application\"",
                text);
            return EX_USAGE;
        }
        if (paren)
            *paren = '\0';
        s->factory = paren;
    }
    if (strchr(s->module, '/')) {
        log_error("the application \"%s\": write the module's name, not a path: --chdir DIRECTORY MODULE:NAME", text);
        return EX_USAGE;
    }
    if (!is_dotted(s->module) || (s->name && !is_dotted(s->name))) {
        log_error("cannot read the application \"%s\": write MODULE:NAME, MODULE:FACTORY() or MODULE, such as "
                  "mysite.wsgi:application",
                  text);
        return EX_USAGE;
    }
    return 0;
}

/* Prints which signal ended the start, and returns the status it means. */
static int report_interrupted(const char *doing) {
    log_error("interrupted while %s (SIG%s)", doing, sigabbrev_np(interrupt_number()));
    return 128 + interrupt_number();
}

/* Prints the pending exception, which came while `doing` ("importing hello"), and returns the status it means. */
static int report_exception(const char *doing) {
    char what[LIST_SIZE], missing[NAME_SIZE];
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
        char python[NAME_SIZE];
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

/* No frame but those of the import system, which PYTHONVERBOSE leaves in. */
static bool raised_by_import_itself(PyObject *exc) {
    PyObject *traceback = compat_err_traceback(exc);
    bool itself = true;
    for (PyTracebackObject *tb = (PyTracebackObject *)traceback; tb; tb = tb->tb_next) {
        PyCodeObject *code = PyFrame_GetCode(tb->tb_frame);
        char file[NAME_SIZE];
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
    char name[NAME_SIZE];
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

/* Appends what fits to a list in text form. */
static void list_add(char *list, size_t size, const char *separator, const char *prefix, const char *item,
                     const char *suffix) {
    size_t n = strlen(list);
    if (n + strlen(separator) + strlen(prefix) + strlen(item) + strlen(suffix) + 1 <= size)
        snprintf(list + n, size - n, "%s%s%s%s", n ? separator : "", prefix, item, suffix);
}

/* The names in `names` (any iterable) that look like `name`, as "PREFIXa or PREFIXb". Empty when there is none. */
static void list_similar(char *out, size_t size, const char *prefix, const char *name, PyObject *names) {
    out[0] = '\0';
    PyObject *difflib = names ? PyImport_ImportModule("difflib") : NULL;
    PyObject *matches = difflib ? PyObject_CallMethod(difflib, "get_close_matches", "sO", name, names) : NULL;
    for (Py_ssize_t i = 0; matches && PyList_Check(matches) && i < PyList_GET_SIZE(matches); i++) {
        char text[NAME_SIZE];
        list_add(out, size, " or ", prefix, text_of(PyList_GET_ITEM(matches, i), text, sizeof text), "");
    }
    Py_XDECREF(matches);
    Py_XDECREF(difflib);
    PyErr_Clear();
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

/* Prints that there is no such module, and where it was looked for. */
static void report_not_found(const struct spec *s, size_t parent) {
    const char *name = s->name ? s->name : default_names[0];
    size_t n = strlen(s->module);
    if (n > 3 && !strcmp(s->module + n - 3, ".py")) {
        log_error("there is no module \"%s\": write the module's name, not the file's: %.*s:%s", s->module, (int)n - 3,
                  s->module, name);
        return;
    }
    if (parent) {
        log_error("there is no module \"%s\" in \"%.*s\": is it misspelt? An attribute is named after a colon: %.*s:%s",
                  s->module, (int)parent, s->module, (int)parent, s->module, s->module + parent + 1);
        return;
    }
    PyObject *path = compat_sys_get("path");
    PyObject *modules = modules_here();
    char similar[LIST_SIZE], dir[LIST_SIZE], text[LIST_SIZE + 32];
    list_similar(similar, sizeof similar, "", s->module, modules);
    Py_XDECREF(modules);
    log_error(
        "there is no module \"%.*s\"%s%s%s: name the directory it is in with --chdir DIR or --pythonpath DIR; these "
        "were searched:",
        (int)strcspn(s->module, "."), s->module, similar[0] ? " (did you mean " : "", similar, similar[0] ? "?)" : "");
    for (Py_ssize_t i = 0; path && PyList_Check(path) && i < PyList_GET_SIZE(path); i++) {
        PyObject *item = Py_NewRef(PyList_GET_ITEM(path, i));
        int len = snprintf(text, sizeof text, "  %s\n", text_of(item, dir, sizeof dir));
        log_text(text, (size_t)len);
        Py_DECREF(item);
    }
    Py_XDECREF(path);
}

/* New reference, or NULL with *status after printing. */
static PyObject *import_module(const struct spec *s, int *status) {
    PyObject *name = PyUnicode_DecodeFSDefault(s->module);
    /* Through the C import system: it leaves the frames of importlib out of the traceback. */
    PyObject *module = name ? PyImport_Import(name) : NULL;
    Py_XDECREF(name);
    char doing[LIST_SIZE];
    snprintf(doing, sizeof doing, "importing \"%s\"", s->module);
    if (module && interrupt_number()) {
        *status = report_interrupted(doing); /* it has swallowed the exception */
        Py_CLEAR(module);
        return NULL;
    }
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
    *status = report_exception(doing);
    return NULL;
}

/* The function that a call of `obj` runs: itself, a method's, or its class's __call__. *bound becomes the number of
 * arguments (0 or 1) that the call binds. New reference, or NULL without an exception. */
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

/* Can it be seen without the inspect module, which costs two megabytes, that two arguments fit? */
static bool fits_plainly(PyObject *obj) {
    int bound;
    PyObject *function = function_of(obj, &bound);
    if (!function)
        return false;
    const PyCodeObject *code = (PyCodeObject *)PyFunction_GET_CODE(function);
    PyObject *defaults = PyFunction_GET_DEFAULTS(function);
    int most = code->co_argcount - bound;
    int least = most - (defaults ? (int)PyTuple_GET_SIZE(defaults) : 0);
    bool fits = least <= 2 && (most >= 2 || code->co_flags & CO_VARARGS) && !code->co_kwonlyargcount &&
                !(code->co_flags & (CO_COROUTINE | CO_ASYNC_GENERATOR));
    Py_DECREF(function);
    return fits;
}

/* Truth of inspect.NAME(obj); false when it raises. */
static bool inspect_says(PyObject *inspect, const char *name, PyObject *obj) {
    PyObject *answer = obj ? PyObject_CallMethod(inspect, name, "O", obj) : NULL;
    bool yes = answer && PyObject_IsTrue(answer) == 1;
    Py_XDECREF(answer);
    PyErr_Clear();
    return yes;
}

static bool is_async(PyObject *inspect, PyObject *obj) {
    PyObject *call = PyObject_GetAttrString((PyObject *)Py_TYPE(obj), "__call__");
    PyErr_Clear();
    bool yes = inspect_says(inspect, "iscoroutinefunction", obj) || inspect_says(inspect, "isasyncgenfunction", obj) ||
               inspect_says(inspect, "iscoroutinefunction", call);
    Py_XDECREF(call);
    return yes;
}

/* Is it certain that `signature` does not take `n` arguments? */
static bool refuses(PyObject *signature, int n) {
    PyObject *bound = n ? PyObject_CallMethod(signature, "bind", "OO", Py_None, Py_None)
                        : PyObject_CallMethod(signature, "bind", NULL);
    bool refused = !bound && PyErr_ExceptionMatches(PyExc_TypeError);
    Py_XDECREF(bound);
    PyErr_Clear();
    return refused;
}

/* inspect.signature(obj, follow_wrapped=False): a decorator's own parameters count, not those of what it wraps. New
 * reference, or NULL without an exception. */
static PyObject *signature_of(PyObject *inspect, PyObject *obj) {
    PyObject *signature = NULL, *method = PyObject_GetAttrString(inspect, "signature");
    PyObject *args = PyTuple_Pack(1, obj), *options = Py_BuildValue("{s:O}", "follow_wrapped", Py_False);
    if (method && args && options)
        signature = PyObject_Call(method, args, options);
    Py_XDECREF(method);
    Py_XDECREF(args);
    Py_XDECREF(options);
    PyErr_Clear();
    return signature;
}

/* Could `obj` be called as a WSGI application? `text` becomes its signature where that is the reason why not, and is
 * empty otherwise. */
static enum fit app_fit(PyObject *obj, char *text, size_t size) {
    text[0] = '\0';
    if (!PyCallable_Check(obj))
        return FIT_NOT_CALLABLE;
    if (fits_plainly(obj))
        return FIT_WSGI;
    PyObject *inspect = PyImport_ImportModule("inspect");
    if (!inspect) {
        PyErr_Clear();
        return FIT_WSGI;
    }
    enum fit fit = FIT_WSGI;
    PyObject *signature = signature_of(inspect, obj);
    if (is_async(inspect, obj)) {
        fit = FIT_ASGI;
    } else if (signature && refuses(signature, 2)) {
        PyObject *str = PyObject_Str(signature);
        text_of(str, text, size);
        Py_XDECREF(str);
        static const char asgi[] = "(scope, receive, send";
        if (!strncmp(text, asgi, sizeof asgi - 1))
            fit = FIT_ASGI;
        else
            fit = refuses(signature, 0) ? FIT_ARGUMENTS : FIT_FACTORY;
    }
    Py_XDECREF(signature);
    Py_DECREF(inspect);
    return fit;
}

static void report_not_callable(const struct spec *s, const char *label, PyObject *obj) {
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
        log_error(
            "%s is not callable, it is of type %.200s: a WSGI application is called with (environ, start_response)",
            label, Py_TYPE(obj)->tp_name);
    }
}

/* Prints why `obj` is no WSGI application. Returns 0 when it is one, else a status. */
static int app_check(const struct spec *s, PyObject *obj) {
    char label[LIST_SIZE], signature[NAME_SIZE];
    snprintf(label, sizeof label, s->factory ? "the result of %s:%s()" : "%s:%s", s->module, s->name);
    enum fit fit = app_fit(obj, signature, sizeof signature);
    if (fit == FIT_FACTORY && s->factory)
        fit = FIT_ARGUMENTS;
    switch (fit) {
    case FIT_WSGI:
        return 0;
    case FIT_NOT_CALLABLE:
        report_not_callable(s, label, obj);
        break;
    case FIT_ASGI:
        log_error(
            "%s is an ASGI application (async), wsgi-fcgi serves WSGI: name the framework's WSGI application (Django: "
            "get_wsgi_application()), wrap it (a2wsgi.ASGIMiddleware), or use an ASGI server",
            label);
        break;
    case FIT_FACTORY:
    case FIT_ARGUMENTS:
        log_error(
            "%s cannot be called with (environ, start_response) as a WSGI application is, its signature is %s%s%s%s",
            label, signature,
            fit == FIT_FACTORY ? ": if it makes the application, did you mean " : ": is it the application?",
            fit == FIT_FACTORY ? label : "", fit == FIT_FACTORY ? "()?" : "");
        break;
    }
    return EX_CONFIG;
}

/* Does `value` belong to the module, rather than being imported into it? Instances (Flask's application, say) do;
 * functions and classes do when they say so. */
static bool is_own(PyObject *value, const char *module) {
    char name[NAME_SIZE];
    if (!PyType_Check(value) && !PyCFunction_Check(value) && !PyFunction_Check(value))
        return true;
    return text_of_attr(value, "__module__", name, sizeof name) && !strcmp(name, module);
}

/* What in the module could have been meant, as "hello:a, hello:create_app()". Empty when nothing could. */
static void list_candidates(char *out, size_t size, const char *module_name, PyObject *module) {
    char prefix[NAME_SIZE], signature[NAME_SIZE];
    PyObject *dict = PyModule_Check(module) ? PyModule_GetDict(module) : NULL; /* borrowed */
    PyObject *items = dict ? PyDict_Items(dict) : NULL;
    int found = 0;
    out[0] = '\0';
    snprintf(prefix, sizeof prefix, "%s:", module_name);
    for (Py_ssize_t i = 0; items && i < PyList_GET_SIZE(items) && found < CANDIDATES_MAX; i++) {
        PyObject *value = PyTuple_GET_ITEM(PyList_GET_ITEM(items, i), 1);
        char name[NAME_SIZE];
        text_of(PyTuple_GET_ITEM(PyList_GET_ITEM(items, i), 0), name, sizeof name);
        if (name[0] == '_' || !is_own(value, module_name))
            continue;
        bool factory = !strcmp(name, "create_app") || !strcmp(name, "make_app") || !strcmp(name, "get_app");
        if (!(factory && PyCallable_Check(value)) && app_fit(value, signature, sizeof signature) != FIT_WSGI)
            continue;
        list_add(out, size, ", ", prefix, name, factory ? "()" : "");
        found++;
    }
    Py_XDECREF(items);
    PyErr_Clear();
}

/* Prints that `obj` (the module, or what `path`, the part of the name before it, led to) has no attribute `name`. */
static void report_no_attribute(const struct spec *s, PyObject *obj, const char *path, const char *name) {
    char prefix[LIST_SIZE], file[LIST_SIZE], list[LIST_SIZE];
    snprintf(prefix, sizeof prefix, "%s:%s%s", s->module, path, path[0] ? "." : "");
    PyObject *names = PyObject_Dir(obj);
    list_similar(list, sizeof list, prefix, name, names);
    Py_XDECREF(names);
    PyErr_Clear();
    const char *question = "did you mean";
    if (!list[0] && !path[0]) {
        list_candidates(list, sizeof list, s->module, obj);
        question = "an application could be";
    }
    char where[LIST_SIZE + 8] = "";
    if (!path[0] && text_of_attr(obj, "__file__", file, sizeof file))
        snprintf(where, sizeof where, " (%s)", file);
    log_error("%s%s%s%s has no attribute \"%s\"; %s%s%s?", s->module, path[0] ? ":" : "", path, where, name,
              list[0] ? question : "which name has the application", list[0] ? " " : "", list);
}

static void report_no_default(const struct spec *s, PyObject *module) {
    char list[LIST_SIZE], file[LIST_SIZE];
    list_candidates(list, sizeof list, s->module, module);
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
static PyObject *find_default(struct spec *s, PyObject *module, int *status) {
    PyObject *found;
    for (size_t i = 0; i < sizeof default_names / sizeof default_names[0]; i++) {
        int has = compat_getattr_optional(module, default_names[i], &found);
        if (has < 0)
            *status = report_exception("looking for the application");
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
static PyObject *find_named(const struct spec *s, PyObject *module, int *status) {
    PyObject *obj = Py_NewRef(module);
    char path[LIST_SIZE] = "", part[LIST_SIZE];
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
            *status = report_exception("looking for the application");
        }
        Py_SETREF(obj, next);
    }
    return obj;
}

/* Calls the factory `found`. New reference, or NULL with *status after printing. */
static PyObject *call_factory(const char *label, PyObject *found, int *status) {
    if (!PyCallable_Check(found)) {
        log_error(
            "%s: this is of type %.200s and cannot be called: is it the application itself? Then leave out the ()",
            label, Py_TYPE(found)->tp_name);
        *status = EX_CONFIG;
        return NULL;
    }
    PyObject *app = PyObject_CallNoArgs(found);
    if (app)
        return app;
    PyObject *exc = compat_err_take();
    PyObject *traceback = compat_err_traceback(exc);
    char doing[LIST_SIZE];
    /* A TypeError without any frame comes from the call, not from the factory. */
    bool needs_arguments = !traceback && PyErr_GivenExceptionMatches(exc, PyExc_TypeError);
    Py_XDECREF(traceback);
    compat_err_restore(exc);
    if (needs_arguments) {
        interp_print_error("the factory cannot be called without arguments: write a module that calls it with them and "
                           "names the result \"application\"");
        *status = EX_CONFIG;
    } else {
        snprintf(doing, sizeof doing, "calling the factory %s", label);
        *status = report_exception(doing);
    }
    return NULL;
}

PyObject *app_load(const char *text, int *status) {
    struct spec s = {0};
    PyObject *module = NULL, *found = NULL, *app = NULL;
    *status = spec_parse(&s, text);
    if (*status)
        goto out;
    module = import_module(&s, status);
    if (!module)
        goto out;
    found = s.name ? find_named(&s, module, status) : find_default(&s, module, status);
    if (!found)
        goto out;
    app = s.factory ? call_factory(text, found, status) : Py_NewRef(found);
    if (!app)
        goto out;
    if (!interrupt_number())
        *status = app_check(&s, app);
    if (interrupt_close())
        *status = report_interrupted(s.factory ? "calling the factory" : "looking for the application");
    if (*status)
        Py_CLEAR(app);
out:
    interrupt_close();
    Py_XDECREF(module);
    Py_XDECREF(found);
    free(s.module);
    return app;
}

void app_describe(PyObject *app, char *out, size_t size) {
    char module[NAME_SIZE], name[NAME_SIZE], file[LIST_SIZE];
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
