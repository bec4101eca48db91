#include "config.h"

#define PY_SSIZE_T_CLEAN /* for "s#", until 3.12 */
#include <Python.h>

#include "python/app/ask.h"

#include "base/log.h"
#include "python/app/loaded_files.h"
#include "python/compat.h"
#include "python/interp.h"
#include "python/load_interrupt.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

enum { STATUS_INTERRUPTED = 130, VERSION_SIZE = 256, WHAT_SIZE = 700 };

PyObject *ask_python(struct spec *s, enum frozen_file file, const char *function, const char *format, ...) {
    va_list values;
    PyObject *names = Py_BuildValue("{s:O&,s:y,s:O&,s:y,s:z,s:O}", "MODULE", frozen_decode, s->module, "PATH",
                                    s->module, "SHOWN", frozen_decode, s->shown, "START", s->start, "NAME", s->name,
                                    "FACTORY", s->factory ? Py_True : Py_False);
    va_start(values, format);
    PyObject *args = names ? Py_VaBuildValue(format, values) : NULL;
    va_end(values);
    PyObject *answer = frozen_call(&s->frozen, file, function, names, args);
    Py_XDECREF(names);
    Py_XDECREF(args);
    return answer;
}

int ask_status(PyObject *answer) {
    int status = answer && PyLong_Check(answer) ? (int)PyLong_AsLong(answer) : -1;
    Py_XDECREF(answer);
    PyErr_Clear();
    return status;
}

int ask_refusal(const struct spec *s, PyObject *answer, int plain, const char *text) {
    int status = ask_status(answer);
    if (status > 0)
        return status;
    log_error("the application \"%s\" %s", s->shown, text);
    return plain;
}

int report_interrupted(const char *doing) {
    log_error("interrupted while %s (SIG%s)", doing, sigabbrev_np(load_interrupt_number()));
    return 128 + load_interrupt_number();
}

int report_exception(struct spec *s, const char *doing) {
    char what[WHAT_SIZE], python[VERSION_SIZE];
    if (load_interrupt_number()) {
        PyErr_Clear(); /* of what the application made of it */
        return report_interrupted(doing);
    }
    if (PyErr_ExceptionMatches(PyExc_KeyboardInterrupt)) {
        PyErr_Clear();
        log_error("interrupted while %s", doing);
        return STATUS_INTERRUPTED;
    }
    PyObject *exc = compat_err_take();
    loaded_files_keep(exc);
    interp_describe(python, sizeof python);
    PyObject *text =
        ask_python(s, FROZEN_DIAGNOSIS, "describe_raised", "(OO&O&)", exc, frozen_decode, doing, frozen_decode, python);
    PyObject *bytes = text ? frozen_encode(text) : NULL;
    PyErr_Clear();
    snprintf(what, sizeof what, "%s%s", bytes ? PyBytes_AS_STRING(bytes) : doing, bytes ? "" : " failed");
    Py_XDECREF(text);
    Py_XDECREF(bytes);
    compat_err_restore(exc);
    interp_print_error(what);
    return EX_SOFTWARE;
}

int report_no_memory(void) {
    log_error("out of memory");
    return EX_OSERR;
}
