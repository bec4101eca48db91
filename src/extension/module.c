#include "config.h"

#include <Python.h>

#include "process/program.h"
#include "process/supervise.h"
#include "process/title.h"
#include "python/interp_start.h"
#include "python/module.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Its words stay as long as the process: options refer to them. */
static char **copy_words(PyObject *list) {
    Py_ssize_t n = PyList_GET_SIZE(list);
    char **words = calloc((size_t)n + 1, sizeof *words);
    if (!words)
        PyErr_NoMemory();
    for (Py_ssize_t i = 0; words && i < n; i++) {
        PyObject *bytes = NULL;
        if (!PyUnicode_FSConverter(PyList_GET_ITEM(list, i), &bytes))
            return NULL;
        words[i] = strdup(PyBytes_AS_STRING(bytes));
        Py_DECREF(bytes);
        if (!words[i]) {
            PyErr_NoMemory();
            return NULL;
        }
    }
    return words;
}

/* The server is that of the process, of whose threads the first one ends it. Returns whether it cannot run here, with an
 * exception. */
static bool refuses(void) {
    /* Mutable ran: the main thread. */
    static bool ran;
    if (gettid() != getpid())
        PyErr_SetString(PyExc_RuntimeError, "main() has to be called by the main thread of the process");
    else if (PyInterpreterState_Get() != PyInterpreterState_Main())
        PyErr_SetString(PyExc_RuntimeError, "main() does not run in a subinterpreter");
    else if (ran)
        PyErr_SetString(PyExc_RuntimeError, "main() was called before, and runs once in a process");
    else {
        ran = true;
        return false;
    }
    return true;
}

/* Python's fault handler passes a signal on to the handler that was there before, which is to be the server's
 * (process/ends.h): interp_adopt switches it on behind that. Returns 0, or -1 with an exception. */
static int stop_faulthandler(void) {
    PyObject *module = PyImport_ImportModule("faulthandler");
    PyObject *result = module ? PyObject_CallMethod(module, "disable", NULL) : NULL;
    int failed = result ? 0 : -1;
    Py_XDECREF(result);
    Py_XDECREF(module);
    return failed;
}

static PyObject *run(PyObject *self, PyObject *args) {
    PyObject *argv, *command;
    (void)self;
    if (!PyArg_ParseTuple(args, "O!O!:main", &PyList_Type, &argv, &PyList_Type, &command))
        return NULL;
    if (!PyList_GET_SIZE(argv) || PyList_GET_SIZE(command) < 2) {
        PyErr_SetString(PyExc_ValueError, "argv has the name of the program, and command an interpreter and a file");
        return NULL;
    }
    char **words = refuses() ? NULL : copy_words(argv), **before = words ? copy_words(command) : NULL;
    if (!before || stop_faulthandler())
        return NULL;
    supervise_by(before);
    title_find(words[0]);
    return PyLong_FromLong(program_main((int)PyList_GET_SIZE(argv), words, &interp_adopted));
}

PyDoc_STRVAR(module_doc, "wsgi-fcgi, and what the package wsgi_fcgi has of it.");
PyDoc_STRVAR(main_doc, "main($module, argv, command, /)\n--\n\n"
                       "Do what the program wsgi-fcgi does with the command line argv, a list of strings whose first\n"
                       "one is the name, and return the status to exit with. Workers are executed by command, which\n"
                       "begins with an interpreter and ends with a file, and the options of argv.\n\n"
                       "Once in a process, in its main thread.");

static PyMethodDef methods[] = {
    {"main", run, METH_VARARGS, main_doc},
    {NULL, NULL, 0, NULL},
};

/* ISO C has no conversion of a function's address to a void *, POSIX has. */
static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, __extension__(void *) module_fill},
#if PY_VERSION_HEX >= 0x030c0000
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
    {0, NULL},
};

/* Mutable definition: Python. */
static PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "_server", .m_doc = module_doc, .m_methods = methods,
                                 .m_slots = slots};

PyMODINIT_FUNC PyInit__server(void);
PyMODINIT_FUNC PyInit__server(void) {
    return PyModuleDef_Init(&definition);
}
