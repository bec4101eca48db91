#include "config.h"

#include <Python.h>

#include "python/app/app_impl.h"

#include "base/log.h"
#include "python/compat.h"
#include "python/app/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#define FORMS                                                                                                          \
    "write MODULE, MODULE:NAME or MODULE:FACTORY(ARGUMENTS), or a file's path in place of MODULE, such as "            \
    "mysite.wsgi:application, site.wsgi or \"app:create_app('production')\""

static int out_of_memory(void) {
    log_error("out of memory");
    return EX_OSERR;
}

bool app_is_dotted(const char *s) {
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

/* Is `node` of this class of the ast module? */
static bool is_node(PyObject *node, const char *class) {
    return !strcmp(Py_TYPE(node)->tp_name, class);
}

/* A name, or attributes of one? -1 with an exception. */
static int is_name(PyObject *node) {
    Py_INCREF(node);
    while (node && is_node(node, "Attribute"))
        Py_SETREF(node, PyObject_GetAttrString(node, "value"));
    int yes = node ? is_node(node, "Name") : -1;
    Py_XDECREF(node);
    return yes;
}

/* What is read, and what it is read with; all borrowed. */
struct reader {
    struct app_spec *s;
    PyObject *ast;    /* the module */
    PyObject *source; /* what stands behind the colon, a str */
};

/* Prints the pending exception, with which Python's parser ended: a SyntaxError, or another for what is no text or too
 * deeply nested. */
static int report_unreadable(const struct reader *r) {
    char why[APP_NAME_SIZE], source[APP_TEXT_SIZE], place[APP_TEXT_SIZE + 32] = "";
    PyObject *exc = compat_err_take(), *offset = NULL;
    if (compat_getattr_optional(exc, "offset", &offset) < 0)
        PyErr_Clear();
    long at = offset && PyLong_Check(offset) ? PyLong_AsLong(offset) : 0;
    if (at > 0)
        snprintf(place, sizeof place, ", at character %ld of \"%s\"", at, text_of(r->source, source, sizeof source));
    log_error("cannot read the application \"%s\": %s%s: " FORMS, r->s->shown,
              text_of_attr(exc, "msg", why, sizeof why) ? why : Py_TYPE(exc)->tp_name, place);
    Py_XDECREF(offset);
    Py_DECREF(exc);
    PyErr_Clear();
    return EX_USAGE;
}

/* The value of an argument: new reference, or NULL after printing. */
static PyObject *read_literal(const struct reader *r, PyObject *node) {
    char text[APP_NAME_SIZE];
    PyObject *value = PyObject_CallMethod(r->ast, "literal_eval", "O", node);
    if (value)
        return value;
    PyErr_Clear();
    PyObject *segment = PyObject_CallMethod(r->ast, "get_source_segment", "OO", r->source, node);
    text_of(segment, text, sizeof text);
    Py_XDECREF(segment);
    log_error("the application \"%s\": the argument %s is no literal: strings, numbers, True, False, None, and lists, "
              "tuples, sets and dicts of these can be passed; a string has quotes of its own inside those for the "
              "shell: \"app:make('x')\"",
              r->s->shown, text);
    return NULL;
}

/* Adds one argument, `node` of the list of positional ones or of the keywords. Returns 0, a status after printing, or -1
 * with an exception. */
static int read_positional(const struct reader *r, PyObject *node, PyObject *list) {
    PyObject *value = read_literal(r, node);
    int status = value ? PyList_Append(list, value) : EX_USAGE;
    Py_XDECREF(value);
    return status;
}

static int read_keyword(const struct reader *r, PyObject *keyword, PyObject *dict) {
    char text[APP_NAME_SIZE];
    PyObject *name = PyObject_GetAttrString(keyword, "arg"), *node = PyObject_GetAttrString(keyword, "value");
    PyObject *value = NULL;
    int status = -1, has = name && node ? PyDict_Contains(dict, name) : -1;
    if (has == 0 && name == Py_None) {
        log_error("the application \"%s\": ** is not possible here: write each argument as NAME=VALUE", r->s->shown);
        status = EX_USAGE;
    } else if (has > 0) {
        log_error("the application \"%s\": the argument %s is given twice", r->s->shown,
                  text_of(name, text, sizeof text));
        status = EX_USAGE;
    } else if (has == 0) {
        value = read_literal(r, node);
        status = value ? PyDict_SetItem(dict, name, value) : EX_USAGE;
    }
    Py_XDECREF(name);
    Py_XDECREF(node);
    Py_XDECREF(value);
    return status;
}

/* Feeds every node of `node`'s list `name` to `read`. */
static int read_each(const struct reader *r, PyObject *node, const char *name,
                     int (*read)(const struct reader *, PyObject *, PyObject *), PyObject *into) {
    PyObject *list = PyObject_GetAttrString(node, name);
    int status = list ? 0 : -1;
    for (Py_ssize_t i = 0; !status && i < PyList_GET_SIZE(list); i++)
        status = read(r, PyList_GET_ITEM(list, i), into);
    Py_XDECREF(list);
    return status;
}

static int read_arguments(const struct reader *r, PyObject *call) {
    PyObject *list = PyList_New(0), *dict = PyDict_New();
    int status = list && dict ? read_each(r, call, "args", read_positional, list) : -1;
    if (!status)
        status = read_each(r, call, "keywords", read_keyword, dict);
    if (!status) {
        r->s->args = PyList_AsTuple(list);
        r->s->kwargs = Py_NewRef(dict);
        status = r->s->args ? 0 : -1;
    }
    Py_XDECREF(list);
    Py_XDECREF(dict);
    return status;
}

/* The name that is called or stands alone. */
static int read_name(const struct reader *r, PyObject *node) {
    int named = is_name(node);
    if (named <= 0)
        return named;
    PyObject *text = PyObject_CallMethod(r->ast, "unparse", "O", node);
    const char *utf8 = text ? PyUnicode_AsUTF8(text) : NULL;
    r->s->name = r->s->name_memory = utf8 ? strdup(utf8) : NULL;
    if (utf8 && !r->s->name)
        PyErr_NoMemory();
    Py_XDECREF(text);
    return r->s->name ? 1 : -1;
}

/* Reads an expression as Python does: "make('x', debug=True)". Returns 0, or a status after printing. */
static int read_expression(struct app_spec *s, const char *text) {
    int status = -1, named = -1;
    PyObject *tree = NULL, *body = NULL, *func = NULL;
    PyObject *ast = PyImport_ImportModule("ast"), *source = PyUnicode_DecodeFSDefault(text);
    struct reader r = {.s = s, .ast = ast, .source = source};
    if (ast && source)
        tree = PyObject_CallMethod(ast, "parse", "Oss", source, "<application>", "eval");
    if (!tree && ast && source && PyErr_ExceptionMatches(PyExc_Exception))
        status = report_unreadable(&r);
    if (tree)
        body = PyObject_GetAttrString(tree, "body");
    s->factory = body && is_node(body, "Call");
    if (body)
        func = s->factory ? PyObject_GetAttrString(body, "func") : Py_NewRef(body);
    if (func)
        named = read_name(&r, func);
    if (!named) {
        log_error("cannot read the application \"%s\": " FORMS, s->shown);
        status = EX_USAGE;
    } else if (named > 0) {
        status = s->factory ? read_arguments(&r, body) : 0;
    }
    Py_XDECREF(ast);
    Py_XDECREF(source);
    Py_XDECREF(tree);
    Py_XDECREF(body);
    Py_XDECREF(func);
    return status < 0 ? app_report_exception("reading the name of the application") : status;
}

/* Reads what stands behind the colon. Returns 0, or a status after printing. */
static int read_behind(struct app_spec *s, const char *text) {
    size_t n = strlen(text);
    s->factory = n > 2 && !strcmp(text + n - 2, "()");
    char *name = strndup(text, s->factory ? n - 2 : n);
    if (!name)
        return out_of_memory();
    /* What needs no parser spares the process the memory for Python's. */
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.";
    if (app_is_dotted(name) && !name[strspn(name, plain)]) {
        s->name = s->name_memory = name;
        return 0;
    }
    free(name);
    return read_expression(s, text);
}

/* The module's name is part of messages, each of which is one line. */
static bool is_printable(const char *s) {
    for (; *s; s++)
        if ((unsigned char)*s < ' ' || *s == 0x7f)
            return false;
    return true;
}

int app_spec_init(struct app_spec *s, const char *text, const char *start) {
    size_t n = strcspn(text, ":");
    *s = (struct app_spec){.module = strndup(text, n), .start = start};
    log_escape(s->shown, sizeof s->shown, text, strlen(text));
    if (!s->module)
        return out_of_memory();
    if (!is_printable(s->module) || (!app_names_file(s->module) && !app_is_dotted(s->module))) {
        log_error("cannot read the application \"%s\": " FORMS, s->shown);
        return EX_USAGE;
    }
    return text[n] ? read_behind(s, text + n + 1) : 0;
}

void app_spec_fini(struct app_spec *s) {
    free(s->module);
    free(s->file);
    free(s->name_memory);
    Py_XDECREF(s->args);
    Py_XDECREF(s->kwargs);
}
