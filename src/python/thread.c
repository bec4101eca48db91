#include "config.h"

#include <Python.h>

#include "python/thread.h"

#include "python/child.h"
#include "python/compat.h"
#include "python/interp.h"
#include "sched/sched.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <unistd.h>

enum { ALTERNATE_SIZE = 1 << 16 }; /* of which faulthandler takes a few KiB, and the system what its registers need */

/* The module. Static, as what runs in a child is handed nothing that could hold it.
 *
 * Mutable threading: thread_init, before any other thread runs Python code. */
static PyObject *threading;

/* Mutable main_state, main_thread: thread_init, before any other thread runs Python code. */
static PyThreadState *main_state;
static pthread_t main_thread;

/* The scheduler's thread that this one is, since its first call; NULL on a thread of the application.
 *
 * Mutable own: the thread. */
static _Thread_local struct sched_thread *own;

/* This thread has kept the GIL since its last call. Mutable attached: the thread. */
static _Thread_local bool attached;

/* The stack for handlers of signals that take one of their own, below which there is a page that nobody may touch.
 *
 * Mutable alternate, alternate_size: the thread. */
static _Thread_local char *alternate;
static _Thread_local size_t alternate_size;

#if COMPAT_FORK_LEAVES_DUMMY
/* In a child, after what threading does itself. A thread that Python did not start is a _DummyThread to it, and so would be
 * the main thread of the child, whose end then fails: multiprocessing gives the exit status 1. As Python 3.13 does. */
static PyObject *make_main_thread(PyObject *self, PyObject *unused) {
    (void)self;
    (void)unused;
    PyObject *main = PyObject_CallMethod(threading, "main_thread", NULL);
    PyObject *dummy = PyObject_GetAttrString(threading, "_DummyThread");
    PyObject *type = PyObject_GetAttrString(threading, "_MainThread"), *name = PyUnicode_FromString("MainThread");
    if (main && dummy && type && name && (PyObject *)Py_TYPE(main) == dummy &&
        !PyObject_SetAttrString(main, "__class__", type) && !PyObject_SetAttrString(main, "_name", name) &&
        !PyObject_SetAttrString(main, "_daemonic", Py_False))
        Py_XDECREF(PyObject_CallMethod(main, "_set_tstate_lock", NULL));
    Py_XDECREF(main);
    Py_XDECREF(dummy);
    Py_XDECREF(type);
    Py_XDECREF(name);
    PyErr_Clear(); /* of a threading that is not Python's own: then it is not known what to do */
    Py_RETURN_NONE;
}
#endif

int thread_init(void) {
    main_state = PyThreadState_Get();
    main_thread = pthread_self();
    threading = PyImport_ImportModule("threading");
#if COMPAT_FORK_LEAVES_DUMMY
    static PyMethodDef method = {"make_main_thread", make_main_thread, METH_NOARGS, NULL};
    /* Behind that of threading itself, as functions for children run in the order in which they were registered. */
    if (threading && child_register(&method))
        return -1;
#endif
    return threading ? 0 : -1;
}

/* By the public way: current_thread() makes the object of a thread that Python did not start. It would be a daemon, and
 * those that a request starts take after it: then nobody waited for their work at the end, as everybody does where requests
 * are run by threads of Python's own. There is no public way to say so; where that fails they are daemons. */
static int set_up(const struct sched_thread *thread) {
    char text[SCHED_NAME_SIZE];
    sched_thread_name(thread, text);
    PyObject *self = PyObject_CallMethod(threading, "current_thread", NULL), *name = PyUnicode_FromString(text);
    int failed = self && name ? PyObject_SetAttrString(self, "name", name) : -1;
    if (!failed && PyObject_SetAttrString(self, "_daemonic", Py_False))
        PyErr_Clear();
    Py_XDECREF(self);
    Py_XDECREF(name);
    return failed;
}

/* What threading calls in a thread that it starts. Consumes `hook`. */
static int apply(const char *function, PyObject *hook) {
    PyObject *sys = hook != Py_None ? PyImport_ImportModule("sys") : NULL;
    PyObject *result = sys ? PyObject_CallMethod(sys, function, "(O)", hook) : NULL;
    bool failed = hook != Py_None && !result;
    Py_XDECREF(sys);
    Py_XDECREF(result);
    Py_DECREF(hook);
    return failed ? -1 : 0;
}

/* Both are asked for before either applies, lest it sees that. */
static int set_hooks(void) {
    PyObject *trace = PyObject_CallMethod(threading, "gettrace", NULL);
    PyObject *profile = trace ? PyObject_CallMethod(threading, "getprofile", NULL) : NULL;
    if (!profile) {
        Py_XDECREF(trace);
        return -1;
    }
    int failed = apply("settrace", trace);
    return apply("setprofile", profile) || failed ? -1 : 0;
}

/* faulthandler gives such a stack to the main thread only: on others it could not say that the stack has run over. A
 * sanitizer's, or another's, is left in its place. */
static void set_alternate_stack(void) {
    stack_t stack;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    long least = sysconf(_SC_SIGSTKSZ);
    if (sigaltstack(NULL, &stack) || !(stack.ss_flags & SS_DISABLE))
        return;
    size_t size = least > ALTERNATE_SIZE ? ((size_t)least + page - 1) / page * page : ALTERNATE_SIZE;
    char *area = mmap(NULL, page + size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (area == MAP_FAILED)
        return;
    stack = (stack_t){.ss_sp = area + page, .ss_size = size};
    if (mprotect(area, page, PROT_NONE) || sigaltstack(&stack, NULL)) {
        munmap(area, page + size);
        return;
    }
    alternate = area;
    alternate_size = page + size;
}

/* Frees what set_alternate_stack has taken. */
static void drop_alternate_stack(void) {
    stack_t stack;
    if (!alternate || sigaltstack(NULL, &stack))
        return;
    /* The application may have put another one in its place. */
    bool mine = (char *)stack.ss_sp > alternate && (char *)stack.ss_sp < alternate + alternate_size;
    if (!mine || !sigaltstack(&(stack_t){.ss_flags = SS_DISABLE}, NULL))
        munmap(alternate, alternate_size);
    alternate = NULL;
}

/* Before the first call on this thread: its name in Python becomes that of the system (sched_thread_name), and what
 * threading.settrace() and threading.setprofile() have set applies to it, as it does to a thread that Python starts. What
 * goes wrong is logged. */
static void introduce(const struct sched_thread *thread) {
    set_alternate_stack();
    if (set_up(thread))
        interp_print_error("cannot name a thread as the system does");
    if (set_hooks())
        interp_print_error("what was given to threading.settrace() and setprofile() does not see a thread's requests");
}

/* The state is kept until the thread ends: a new one for each request would lose threading.local. */
static void attach_first(struct sched_thread *thread) {
    if (pthread_equal(pthread_self(), main_thread))
        PyEval_RestoreThread(main_state);
    else
        PyGILState_Ensure();
    sched_thread_set_user(thread, PyThreadState_Get());
    own = thread;
}

/* Undoes set_up: threading would keep the object of a thread that it did not start (until 3.13), and show it in
 * enumerate(). As the threads do that it starts. */
static void take_leave(void) {
    PyObject *self = PyObject_CallMethod(threading, "current_thread", NULL);
    PyObject *dummy = PyObject_GetAttrString(threading, "_DummyThread");
    if (self && dummy && (PyObject *)Py_TYPE(self) == dummy)
        Py_XDECREF(PyObject_CallMethod(self, "_delete", NULL));
    Py_XDECREF(self);
    Py_XDECREF(dummy);
    PyErr_Clear(); /* of a threading that is not Python's own: then the object stays */
}

void thread_attach(struct sched_thread *thread) {
    PyThreadState *state = sched_thread_user(thread);
    if (attached)
        return;
    sched_lock_wait(thread);
    if (state)
        PyEval_RestoreThread(state);
    else
        attach_first(thread);
    sched_lock_taken(thread);
    if (!state && sched_thread_user(thread) != main_state)
        introduce(thread);
}

void thread_release(struct sched_thread *thread) {
    attached = sched_goes_on(thread);
    if (!attached)
        PyEval_SaveThread();
}

void thread_pause_cb(struct sched_thread *thread, void *user) {
    (void)thread;
    (void)user;
    attached = false;
    PyEval_SaveThread();
}

/* A thread without a state has not run a call yet: it is about to wait for the GIL. */
bool thread_released_cb(struct sched_thread *thread, void *user) {
    (void)user;
    const PyThreadState *state = sched_thread_user(thread);
    return state && compat_released(state);
}

void thread_stop_cb(struct sched_thread *thread, void *user) {
    (void)user;
    PyThreadState *state = sched_thread_user(thread);
    own = NULL; /* the main thread goes on */
    if (state && state != main_state && !compat_is_finalizing()) {
        PyEval_RestoreThread(state);
        take_leave();
        PyGILState_Release(PyGILState_UNLOCKED);
    }
    drop_alternate_stack();
}

void thread_release_main(void) {
    PyEval_SaveThread();
}

void thread_attach_main(void) {
    PyEval_RestoreThread(main_state);
}

void thread_lock_wait(void) {
    if (own)
        sched_lock_wait(own);
}

void thread_lock_taken(void) {
    if (own)
        sched_lock_taken(own);
}
