#include "config.h"

#include <Python.h>

#include "python/app/spec.h"

#include "base/log.h"
#include "python/app/ask.h"

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

bool spec_is_dotted(const char *s) {
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

static bool ends_in(const char *s, const char *suffix) {
    size_t n = strlen(s), m = strlen(suffix);
    return n > m && !strcmp(s + n - m, suffix);
}

bool spec_names_file(const char *module) {
    return strchr(module, '/') || ends_in(module, ".py") || ends_in(module, ".wsgi");
}

/* The module's name is part of messages, each of which is one line. */
static bool is_printable(const char *s) {
    for (; *s; s++)
        if ((unsigned char)*s < ' ' || *s == 0x7f)
            return false;
    return true;
}

/* Reads what stands behind the colon where that is more than a name or NAME(). Returns 0, or a status after
 * printing. */
static int read_expression(struct spec *s, const char *text) {
    const char *name;
    PyObject *args, *kwargs, *source = PyUnicode_DecodeFSDefault(text);
    PyObject *answer = source ? ask_python(s, FROZEN_FINDING, "read", "(O)", source) : NULL;
    Py_XDECREF(source);
    if (answer && PyLong_Check(answer))
        return ask_status(answer);
    int status = 0;
    if (!answer || !PyArg_ParseTuple(answer, "sOO", &name, &args, &kwargs)) {
        status = report_exception(s, "reading the name of the application");
    } else if (!(s->name = strdup(name))) {
        status = report_no_memory();
    } else if (args != Py_None) {
        s->factory = true;
        s->args = Py_NewRef(args);
        s->kwargs = Py_NewRef(kwargs);
    }
    Py_XDECREF(answer);
    return status;
}

/* Reads what stands behind the colon. Returns 0, or a status after printing. */
static int read_behind(struct spec *s, const char *text) {
    bool factory = ends_in(text, "()");
    char *name = strndup(text, strlen(text) - (factory ? 2 : 0));
    if (!name)
        return report_no_memory();
    /* What needs no parser spares the process the memory for Python's. */
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.";
    if (spec_is_dotted(name) && !name[strspn(name, plain)]) {
        s->name = name;
        s->factory = factory;
        return 0;
    }
    free(name);
    return read_expression(s, text);
}

int spec_init(struct spec *s, const char *text, const char *start) {
    size_t n = strcspn(text, ":");
    *s = (struct spec){.module = strndup(text, n), .start = start};
    log_escape(s->shown, sizeof s->shown, text, strlen(text));
    if (!s->module)
        return report_no_memory();
    if (!is_printable(s->module) || (!spec_names_file(s->module) && !spec_is_dotted(s->module))) {
        PyObject *answer = ask_python(s, FROZEN_FINDING, "report_form", "()");
        return ask_refusal(s, answer, EX_USAGE, "cannot be read");
    }
    return text[n] ? read_behind(s, text + n + 1) : 0;
}

void spec_fini(struct spec *s) {
    frozen_fini(&s->frozen);
    free(s->module);
    free(s->name);
    Py_XDECREF(s->args);
    Py_XDECREF(s->kwargs);
}
