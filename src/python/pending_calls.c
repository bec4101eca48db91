#include "config.h"

#include <Python.h>

#include "python/pending_calls.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

typedef int pending_add(int (*function)(void *), void *arg);

#if WSGI_FCGI_EXTENSION
static pending_add *find_python_add(void) {
    return Py_AddPendingCall;
}
#elif defined STATIC_PYTHON
/* Python's own, as the build names it in its copy of the archive. */
pending_add WsgiFcgi_AddPendingCall;

static pending_add *find_python_add(void) {
    return WsgiFcgi_AddPendingCall;
}
#else
static pending_add *find_python_add(void) {
    /* Mutable python: whoever comes first; all find the same function. */
    static _Atomic(pending_add *) python;
    pending_add *add = atomic_load(&python);
    if (!add) {
        void *symbol = dlsym(RTLD_NEXT, "Py_AddPendingCall");
        if (!symbol)
            return NULL;
        memcpy(&add, &symbol, sizeof add);
        atomic_store(&python, add);
    }
    return add;
}
#endif

/* Static, as whoever adds a function hands over nothing of ours.
 *
 * Mutable wakeup_fd: the main thread, and a child; read by any thread. */
static atomic_int wakeup_fd = -1;

void pending_calls_set_wakeup(int fd) {
    atomic_store(&wakeup_fd, fd);
}

void pending_calls_wake(void) {
    int fd = atomic_load(&wakeup_fd), error = errno;
    if (fd >= 0) {
        ssize_t n = write(fd, &(unsigned char){PENDING_CALLS_BYTE}, 1);
        (void)n; /* a full pipe wakes the main thread as well */
    }
    errno = error;
}

int pending_calls_add(int (*function)(void *), void *arg) {
    pending_add *add = find_python_add();
    if (!add || add(function, arg))
        return -1; /* as if there was no room */
    pending_calls_wake();
    return 0;
}

#if !WSGI_FCGI_EXTENSION
__attribute__((visibility("default"))) int Py_AddPendingCall(int (*function)(void *), void *arg) {
    return pending_calls_add(function, arg);
}
#endif
