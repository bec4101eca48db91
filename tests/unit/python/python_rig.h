/* Python threads for the tests of what looks at them from outside. */
#ifndef WSGI_FCGI_TESTS_PYTHON_RIG_H
#define WSGI_FCGI_TESTS_PYTHON_RIG_H

#include <Python.h>

#include "unit/unit.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

/* The tests run in forks, which end with a Python that still runs, and with what it has: no leaks for LeakSanitizer. */
__attribute__((visibility("default"))) int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void) {
    return 1;
}

/* A thread that runs `code`, in which here() says that it has come to where it was to come. */
struct runner {
    const char *code, *file;
    sem_t here;
    atomic_int tid;
    PyThreadState *state;
    pthread_t thread;
};

static PyObject *runner_here(PyObject *self, PyObject *unused) {
    struct runner *runner = PyCapsule_GetPointer(self, NULL);
    (void)unused;
    sem_post(&runner->here);
    Py_RETURN_NONE;
}

static inline void *runner_main(void *arg) {
    static PyMethodDef method = {"here", runner_here, METH_NOARGS, NULL};
    struct runner *runner = arg;
    PyGILState_STATE state = PyGILState_Ensure();
    PyObject *capsule = PyCapsule_New(runner, NULL, NULL);
    PyObject *globals = Py_BuildValue("{s:O,s:s,s:N}", "__builtins__", PyEval_GetBuiltins(), "__name__", "test", "here",
                                      PyCFunction_New(&method, capsule));
    PyObject *code = Py_CompileString(runner->code, runner->file, Py_file_input);
    runner->state = PyThreadState_Get();
    atomic_store(&runner->tid, (int)gettid());
    PyObject *result = code ? PyEval_EvalCode(code, globals, globals) : NULL;
    if (!result)
        PyErr_Print();
    Py_XDECREF(result);
    Py_XDECREF(code);
    Py_DECREF(globals);
    Py_DECREF(capsule);
    PyGILState_Release(state);
    return NULL;
}

/* Starts it, and waits for here(). Without the GIL. */
static inline void runner_start(struct runner *runner, const char *file, const char *code) {
    *runner = (struct runner){.code = code, .file = file};
    sem_init(&runner->here, 0, 0);
    ck_assert_int_eq(pthread_create(&runner->thread, NULL, runner_main, runner), 0);
    while (sem_wait(&runner->here))
        continue;
}

#endif
