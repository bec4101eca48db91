#include "config.h"

#include <Python.h>

#include "python/child.h"

#include "python/compat.h"
#include "python/error_lines.h"
#include "python/interp.h"

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

static void flush(const char *name) {
    PyObject *file = compat_sys_get(name);
    PyObject *none = file && file != Py_None ? PyObject_CallMethod(file, "flush", NULL) : NULL;
    Py_XDECREF(none);
    Py_XDECREF(file);
    PyErr_Clear();
}

/* By _exit: what atexit functions and finalizers of the server's process would do is for that process to do. */
_Noreturn void child_end(void) {
    int status = interp_take_exit_status();
    flush("stdout");
    flush("stderr");
    error_lines_flush();
    _exit(status);
}
