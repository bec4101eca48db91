#include "config.h"

#include <Python.h>

#include "python/child.h"

#include "python/interp.h"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

/* What is not zero in the server. The system wipes it in every child (Linux 4.14), also in one that was made by a
 * system call of somebody's own, where no handler of pthread_atfork(3) runs. It is static, as handlers of forks are
 * called with no argument.
 *
 * Mutable mark, child_mark: child_init, before there is a second thread.
 * Mutable plain_mark: the only thread of a child, as it begins; child_serves. */
static volatile char plain_mark = 1;
static volatile char *mark = &plain_mark;
const volatile char *child_mark = &plain_mark;

/* The name of the process. Mutable program: child_init, before there is a second thread. */
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

void child_serves(void) {
    *mark = 1;
}

int child_register(struct PyMethodDef *def) {
    PyObject *function = PyCFunction_New(def, NULL), *os = PyImport_ImportModule("os"), *result = NULL;
    PyObject *none = PyTuple_New(0), *keywords = function ? Py_BuildValue("{s:O}", "after_in_child", function) : NULL;
    PyObject *at_fork = os ? PyObject_GetAttrString(os, "register_at_fork") : NULL;
    if (at_fork && none && keywords)
        result = PyObject_Call(at_fork, none, keywords);
    Py_XDECREF(at_fork);
    Py_XDECREF(keywords);
    Py_XDECREF(none);
    Py_XDECREF(os);
    Py_XDECREF(function);
    Py_XDECREF(result);
    return result ? 0 : -1;
}

/* By _exit: what atexit functions and finalizers of the server's process would do is for that process to do. */
_Noreturn void child_end(void) {
    int status = interp_take_exit_status();
    interp_flush();
    _exit(status);
}
