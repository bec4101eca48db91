#include "config.h"

#include <Python.h>

#include "python/app/slow_load.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/thread_create.h"
#include "python/app/text.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { FIRST_SECONDS = 5, NAME_SIZE = 256 };
static const uint64_t SECOND = 1000000000;

/* A fork finds it with no argument.
 *
 * Mutable loading: the main thread, before its thread is there and when that is gone. In between `over`, `telling` and
 * `started` belong to who has the lock, and `told` to the thread. */
static struct loading {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* by CLOCK_MONOTONIC */
    bool over;              /* the application is loaded, or not to be, or forks */
    pthread_t thread;
    bool started; /* the thread is there, and nobody has joined it */
    bool telling; /* it may wait for the GIL */
    bool told;
    uint64_t began; /* clock_ns */
    char spec[NAME_SIZE];
    PyThreadState *main; /* of the main thread */
} loading = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Which module's own code the frame runs: "" for that of a function. */
static const char *put_module(PyFrameObject *frame, const char *function, char out[static NAME_SIZE]) {
    PyObject *globals = PyFrame_GetGlobals(frame);
    PyObject *name = globals ? PyDict_GetItemString(globals, "__name__") : NULL; /* borrowed */
    out[0] = '\0';
    if (name && PyUnicode_Check(name) && !strcmp(function, "<module>"))
        text_of(name, out, NAME_SIZE);
    Py_XDECREF(globals);
    return out;
}

struct place {
    char file[NAME_SIZE], function[NAME_SIZE];
    int line;                                       /* 0: none was found */
    char module[NAME_SIZE], module_file[NAME_SIZE]; /* "": no module is being imported */
    int module_line;
};

/* The innermost frame of the main thread that is not the import system's, and that of the module that is being imported
 * there: what calls a library that waits says more than where the library does. */
static void find_place(struct place *p) {
    PyFrameObject *frame = PyThreadState_GetFrame(loading.main);
    *p = (struct place){.line = 0};
    while (frame && !p->module[0]) {
        char file[NAME_SIZE], function[NAME_SIZE];
        PyObject *code = (PyObject *)PyFrame_GetCode(frame);
        text_of_attr(code, "co_filename", file, sizeof file);
        text_of_attr(code, "co_name", function, sizeof function);
        Py_DECREF(code);
        bool shown = strncmp(file, "<frozen importlib", strlen("<frozen importlib"));
        if (shown && !p->line) {
            memcpy(p->file, file, sizeof file);
            memcpy(p->function, function, sizeof function);
            p->line = PyFrame_GetLineNumber(frame);
        }
        if (shown && put_module(frame, function, p->module)[0]) {
            memcpy(p->module_file, file, sizeof file);
            p->module_line = PyFrame_GetLineNumber(frame);
        }
        PyFrameObject *back = PyFrame_GetBack(frame);
        Py_DECREF(frame);
        frame = back;
    }
    Py_XDECREF(frame);
}

static bool is_over(void) {
    pthread_mutex_lock(&loading.lock);
    bool over = loading.over;
    pthread_mutex_unlock(&loading.lock);
    return over;
}

/* Frames are made here, which must not be the moment when garbage is collected: its finalizers are Python code. */
static void tell_place(void) {
    struct place p = {.line = 0};
    PyGILState_STATE state = PyGILState_Ensure();
    if (!is_over()) {
        int collects = PyGC_Disable();
        find_place(&p);
        if (collects)
            PyGC_Enable();
    }
    PyGILState_Release(state);
    char caller[NAME_SIZE + 32] = "", module[NAME_SIZE + 32] = "";
    if (p.module[0] && strcmp(p.file, p.module_file) != 0)
        snprintf(caller, sizeof caller, ", called by %s, line %d", p.module_file, p.module_line);
    if (p.module[0])
        snprintf(module, sizeof module, ", while the module %s is imported", p.module);
    if (p.line)
        log_warning("loading %s: it is at %s, line %d, in %s%s%s", loading.spec, p.file, p.line, p.function, caller,
                    module);
}

/* Returns whether something is to be told at this time: false when loading is over before. */
static bool wait_until(uint64_t at) {
    struct timespec until = clock_timespec(at);
    pthread_mutex_lock(&loading.lock);
    loading.telling = false;
    while (!loading.over && clock_ns() < at)
        pthread_cond_timedwait(&loading.changed, &loading.lock, &until);
    bool tells = loading.telling = !loading.over;
    pthread_mutex_unlock(&loading.lock);
    return tells;
}

static void *run(void *unused) {
    (void)unused;
    for (unsigned long long seconds = FIRST_SECONDS; wait_until(loading.began + seconds * SECOND); seconds *= 2) {
        loading.told = true;
        log_warning("loading %s has taken %llu s so far", loading.spec, seconds);
        tell_place();
    }
    return NULL;
}

static void end(bool has_gil) {
    pthread_mutex_lock(&loading.lock);
    loading.over = true;
    pthread_cond_signal(&loading.changed);
    bool join = loading.started && !(has_gil && loading.telling);
    if (join)
        loading.started = false;
    pthread_mutex_unlock(&loading.lock);
    if (join)
        pthread_join(loading.thread, NULL);
}

/* Python 3.12 warns of a fork with several threads, and is right: the application's process is to have one. */
static void fork_cb(void) {
    end(true);
}

void slow_load_begin(const char *spec) {
    log_escape(loading.spec, sizeof loading.spec, spec, strlen(spec));
    loading.main = PyThreadState_Get();
    loading.began = clock_ns();
    clock_cond_init(&loading.changed);
    loading.started =
        !pthread_atfork(fork_cb, NULL, NULL) && !thread_create(&loading.thread, NULL, "wsgi-fcgi-load", run, NULL);
}

void slow_load_end(void) {
    Py_BEGIN_ALLOW_THREADS
    end(false);
    if (loading.told)
        log_info("loading %s has ended after %llu s", loading.spec,
                 (unsigned long long)((clock_ns() - loading.began) / SECOND));
    Py_END_ALLOW_THREADS
}
