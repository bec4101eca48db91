#include "config.h"

#include <Python.h>

#include "python/app/frozen.h"

#include "base/log.h"
#include "python/app/text.h"

#include <string.h>

/* Made by the build, each with a NUL at its end. */
extern const unsigned char frozen_finding_text[], frozen_diagnosis_text[];

enum { ESCAPED_MAX = 700 };

PyObject *frozen_decode(void *text) {
    const char *bytes = text;
    return PyUnicode_DecodeUTF8(bytes, (Py_ssize_t)strlen(bytes), "surrogateescape");
}

PyObject *frozen_encode(PyObject *text) {
    return PyUnicode_AsEncodedString(text, "utf-8", "surrogateescape");
}

/* What the files call. */

static PyObject *escape(PyObject *self, PyObject *args) {
    (void)self;
    char out[ESCAPED_MAX];
    PyObject *text;
    int size = sizeof out;
    if (!PyArg_ParseTuple(args, "O|i", &text, &size))
        return NULL;
    if (size <= 0 || size > ESCAPED_MAX)
        size = ESCAPED_MAX;
    if (PyBytes_Check(text))
        log_escape(out, (size_t)size, PyBytes_AS_STRING(text), (size_t)PyBytes_GET_SIZE(text));
    else
        text_of(text, out, (size_t)size);
    return frozen_decode(out);
}

static PyObject *print_line(enum log_level level, PyObject *text) {
    PyObject *bytes = frozen_encode(text);
    if (!bytes)
        return NULL;
    log_printf(level, "%s", PyBytes_AS_STRING(bytes));
    Py_DECREF(bytes);
    Py_RETURN_NONE;
}

static PyObject *error(PyObject *self, PyObject *text) {
    (void)self;
    return print_line(LOG_LEVEL_ERROR, text);
}

static PyObject *warning(PyObject *self, PyObject *text) {
    (void)self;
    return print_line(LOG_LEVEL_WARNING, text);
}

static PyObject *lines(PyObject *self, PyObject *text) {
    (void)self;
    PyObject *bytes = frozen_encode(text);
    if (!bytes)
        return NULL;
    log_text(LOG_LEVEL_ERROR, PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes));
    Py_DECREF(bytes);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"escape", escape, METH_VARARGS, NULL}, {"error", error, METH_O, NULL}, {"warning", warning, METH_O, NULL},
    {"lines", lines, METH_O, NULL},         {NULL, NULL, 0, NULL},
};

/* Returns 0, or -1 with an exception. */
static int run_next(struct frozen *f) {
    static const struct {
        const char *name;
        const unsigned char *text;
    } files[FROZEN_FILES] = {
        [FROZEN_FINDING] = {"<wsgi-fcgi finding.py>", frozen_finding_text},
        [FROZEN_DIAGNOSIS] = {"<wsgi-fcgi diagnosis.py>", frozen_diagnosis_text},
    };
    PyObject *dict = PyModule_GetDict(f->module); /* borrowed */
    PyObject *code = Py_CompileString((const char *)files[f->run].text, files[f->run].name, Py_file_input);
    PyObject *result = code ? PyEval_EvalCode(code, dict, dict) : NULL;
    int failed = !result;
    f->run += !failed;
    Py_XDECREF(code);
    Py_XDECREF(result);
    return failed ? -1 : 0;
}

/* Runs the files up to this one. Returns 0, or -1 with an exception. */
static int run(struct frozen *f, enum frozen_file file) {
    if (!f->module) {
        PyObject *module = PyModule_New("wsgi_fcgi");
        if (!module || PyModule_AddFunctions(module, methods) ||
            PyObject_SetAttrString(module, "__builtins__", PyEval_GetBuiltins())) {
            Py_XDECREF(module);
            return -1;
        }
        f->module = module;
    }
    while (f->run <= (int)file)
        if (run_next(f))
            return -1;
    return 0;
}

PyObject *frozen_call(struct frozen *f, enum frozen_file file, const char *function, PyObject *names, PyObject *args) {
    PyObject *callable = NULL, *result = NULL;
    if (names && args && !run(f, file) && !PyDict_Update(PyModule_GetDict(f->module), names))
        callable = PyObject_GetAttrString(f->module, function);
    if (callable)
        result = PyObject_CallObject(callable, args);
    Py_XDECREF(callable);
    return result;
}

void frozen_fini(struct frozen *f) {
    if (f->module)
        PyDict_Clear(PyModule_GetDict(f->module)); /* its functions refer to it */
    Py_CLEAR(f->module);
    f->run = 0;
}
