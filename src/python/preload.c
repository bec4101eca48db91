#include "config.h"

#include <Python.h>

#include "python/preload.h"

#include "base/ascii.h"
#include "base/descriptors.h"
#include "base/log.h"
#include "python/child.h"
#include "python/interp.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { NAMES_SIZE = 700, NAME_SIZE = 128, THREADS_MAX = 256 /* more are counted, and not told apart */ };

/* Threads, whose names are put down one behind the other. */
struct names {
    unsigned count;
    size_t len;
    bool full;
    char text[NAMES_SIZE];
};

static void add_name(struct names *names, const char *name) {
    size_t before = names->len;
    int n = snprintf(names->text + before, sizeof names->text - before, "%s%s", names->count ? ", " : "", name);
    names->count++;
    if (names->full)
        return;
    names->full = n < 0 || (size_t)n >= sizeof names->text - before - sizeof ", ...";
    if (names->full)
        strcpy(names->text + before, before ? ", ..." : "...");
    else
        names->len += (size_t)n;
}

/* Those that Python knows, and their numbers in the system. Returns how many numbers there are. */
static size_t find_known(struct names *names, long ids[static THREADS_MAX]) {
    size_t n = 0;
    PyObject *module = PyImport_ImportModule("threading");
    PyObject *main = module ? PyObject_CallMethod(module, "main_thread", NULL) : NULL;
    PyObject *all = main ? PyObject_CallMethod(module, "enumerate", NULL) : NULL;
    for (Py_ssize_t i = 0; all && PyList_Check(all) && i < PyList_GET_SIZE(all); i++) {
        PyObject *thread = PyList_GET_ITEM(all, i); /* borrowed */
        PyObject *id = PyObject_GetAttrString(thread, "native_id");
        if (id && PyLong_Check(id) && n < THREADS_MAX)
            ids[n++] = PyLong_AsLong(id);
        Py_XDECREF(id);
        if (thread == main)
            continue;
        PyObject *name = PyObject_GetAttrString(thread, "name");
        const char *text = name && PyUnicode_Check(name) ? PyUnicode_AsUTF8(name) : NULL;
        char shown[NAME_SIZE];
        add_name(names, text ? log_escape(shown, sizeof shown, text, strlen(text)) : "?");
        Py_XDECREF(name);
        PyErr_Clear();
    }
    Py_XDECREF(all);
    Py_XDECREF(main);
    Py_XDECREF(module);
    PyErr_Clear(); /* of a threading that is not Python's own */
    return n;
}

static bool is_among(const long *ids, size_t n, long id) {
    while (n && ids[n - 1] != id)
        n--;
    return n > 0;
}

static void add_comm(struct names *names, const char *id) {
    char path[64], name[32] = "?", shown[NAME_SIZE];
    snprintf(path, sizeof path, "/proc/self/task/%.20s/comm", id);
    FILE *file = fopen(path, "re");
    if (file && fgets(name, sizeof name, file))
        name[strcspn(name, "\n")] = '\0';
    if (file)
        fclose(file);
    add_name(names, log_escape(shown, sizeof shown, name, strlen(name)));
}

/* All others of the process. */
static void find_unknown(struct names *names, const long *ids, size_t n) {
    DIR *tasks = opendir("/proc/self/task");
    const struct dirent *entry;
    while (tasks && (entry = readdir(tasks))) {
        uint64_t id;
        if (ascii_is_number(entry->d_name, INT_MAX, &id) && (pid_t)id != getpid() && !is_among(ids, n, (long)id))
            add_comm(names, entry->d_name);
    }
    if (tasks)
        closedir(tasks);
}

void preload_tell_threads(void) {
    struct names known = {.text = ""}, unknown = {.text = ""};
    long ids[THREADS_MAX];
    find_unknown(&unknown, ids, find_known(&known, ids));
    if (known.count)
        log_warning(
            "the application has started %u thread%s while it was loaded (%s), which no worker will have: start "
            "threads in a function of wsgi_fcgi.on_worker_start",
            known.count, ascii_plural(known.count), known.text);
    if (unknown.count)
        log_warning(
            "a library of the application has started %u thread%s while it was loaded (%s), which no worker will "
            "have, unless it starts others after a fork: if it does not work there, use it first in a function "
            "of wsgi_fcgi.on_worker_start",
            unknown.count, ascii_plural(unknown.count), unknown.text);
}

void preload_freeze(void) {
    PyObject *module, *result = NULL;
    PyGC_Collect();
    module = PyImport_ImportModule("gc");
    if (module)
        result = PyObject_CallMethod(module, "freeze", NULL);
    if (!result)
        interp_print_error("workers will share less memory: gc.freeze() has failed");
    Py_XDECREF(result);
    Py_XDECREF(module);
}

pid_t preload_fork(void) {
    interp_flush(); /* lest both write it */
    PyOS_BeforeFork();
    pid_t pid = fork();
    int error = errno;
    if (pid) {
        PyOS_AfterFork_Parent();
    } else {
        child_serves();
        descriptors_restart();
        PyOS_AfterFork_Child();
    }
    PyErr_Clear();
    errno = error;
    return pid;
}
