#include "config.h"

#include <Python.h>

#include "python/child.h"

#include "python/compat.h"
#include "python/errors.h"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

/* What is not zero in the server. The system wipes it in every child (Linux 4.14), also in one that was made by a system
 * call of somebody's own, where no handler of pthread_atfork(3) runs. */
static volatile char plain_mark = 1;
static volatile char *mark = &plain_mark;
const volatile char *child_mark = &plain_mark;

static char program[16];

/* The thread that has forked is the only one of a child, whose name is therefore that of its process. */
static void forked_cb(void) {
    *mark = 0;
    (void)prctl(PR_SET_NAME, program);
}

int child_init(void) {
    (void)prctl(PR_GET_NAME, program);
    size_t size = (size_t)sysconf(_SC_PAGESIZE);
    void *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page != MAP_FAILED && !madvise(page, size, MADV_WIPEONFORK)) {
        mark = page;
        *mark = 1;
        child_mark = mark;
    } else if (page != MAP_FAILED)
        munmap(page, size);
    return pthread_atfork(NULL, NULL, forked_cb) ? -1 : 0;
}

static int exit_status(PyObject *exc) {
    PyObject *code = NULL;
    int status = 1;
    if (!PyErr_GivenExceptionMatches(exc, PyExc_SystemExit)) {
        compat_err_display(exc);
        return status;
    }
    (void)compat_getattr_optional(exc, "code", &code);
    if (!code || code == Py_None)
        status = 0;
    else if (PyLong_Check(code))
        status = (int)PyLong_AsLong(code);
    else
        PySys_FormatStderr("%S\n", code);
    Py_XDECREF(code);
    PyErr_Clear();
    return status;
}

static void flush(const char *name) {
    PyObject *file = compat_sys_get(name);
    PyObject *none = file && file != Py_None ? PyObject_CallMethod(file, "flush", NULL) : NULL;
    Py_XDECREF(none);
    Py_XDECREF(file);
    PyErr_Clear();
}

/* By _exit: what atexit functions and finalizers of the server's process would do is for that process to do. */
_Noreturn void child_end(void) {
    PyObject *exc = compat_err_take();
    int status = exc ? exit_status(exc) : 0;
    flush("stdout");
    flush("stderr");
    errors_end_request();
    _exit(status);
}
