#include "config.h"

#include <Python.h>

#include "python/allocations.h"

#include "base/log.h"
#include "python/child.h"

#include <stdlib.h>
#include <string.h>

/* Bytes of the tables of tracemalloc for each block, about. */
enum { TABLE_BYTES = 50 };

/* Mutable tracer: whoever has the GIL. The module, once it was imported; and how memory without the GIL was allocated
 * before, and is while it is traced. */
static struct {
    PyObject *module;
    bool own; /* it was begun here */
    bool registered;
    PyMemAllocatorEx before, traced;
} tracer;

/* A number that a function without arguments returns, or the `i`th of those. UINT64_MAX: it has failed. */
static uint64_t ask(const char *function, Py_ssize_t i) {
    PyObject *result = tracer.module ? PyObject_CallMethod(tracer.module, function, NULL) : NULL;
    PyObject *number =
        result && PyTuple_Check(result) && i < PyTuple_GET_SIZE(result) ? PyTuple_GET_ITEM(result, i) : result;
    uint64_t value = number && PyLong_Check(number) ? PyLong_AsUnsignedLongLong(number) : UINT64_MAX;
    Py_XDECREF(result);
    PyErr_Clear();
    return value;
}

static bool call(const char *function) {
    PyObject *result = PyObject_CallMethod(tracer.module, function, NULL);
    Py_XDECREF(result);
    PyErr_Clear();
    return result;
}

static bool is_tracing(void) {
    PyObject *result = tracer.module ? PyObject_CallMethod(tracer.module, "is_tracing", NULL) : NULL;
    bool is = result && PyObject_IsTrue(result) == 1;
    Py_XDECREF(result);
    PyErr_Clear();
    return is;
}

/* A child that the application forks is not to pay for it: nobody would look at it there. */
static PyObject *forked(PyObject *self, PyObject *unused) {
    (void)self;
    (void)unused;
    if (tracer.own)
        (void)call("stop");
    tracer.own = false;
    Py_RETURN_NONE;
}

static void register_fork(void) {
    static PyMethodDef method = {"wsgi_fcgi_memory", forked, METH_NOARGS, NULL};
    if (!tracer.registered && child_register(&method))
        PyErr_Clear();
    tracer.registered = true;
}

static bool start(void) {
    PyMem_GetAllocator(PYMEM_DOMAIN_RAW, &tracer.before);
    PyObject *result = PyObject_CallMethod(tracer.module, "start", "i", 1);
    PyMem_GetAllocator(PYMEM_DOMAIN_RAW, &tracer.traced);
    Py_XDECREF(result);
    PyErr_Clear();
    tracer.own = result;
    if (tracer.own)
        register_fork();
    return tracer.own;
}

/* The module in C: the other one imports a dozen more, and all that is needed of it is this one's. */
static enum allocations_result begin(void) {
    if (!tracer.module)
        tracer.module = PyImport_ImportModule("_tracemalloc");
    PyErr_Clear();
    if (!tracer.module)
        return ALLOCATIONS_FAILED;
    if (is_tracing())
        return ALLOCATIONS_FOREIGN;
    return start() ? ALLOCATIONS_OK : ALLOCATIONS_FAILED;
}

enum allocations_result allocations_begin(void) {
    PyGILState_STATE gil = PyGILState_Ensure();
    enum allocations_result result = begin();
    PyGILState_Release(gil);
    return result;
}

static uint64_t blocks(void) {
    uint64_t bytes = ask("get_tracemalloc_memory", 0);
    return bytes == UINT64_MAX ? 0 : bytes / TABLE_BYTES;
}

uint64_t allocations_blocks(void) {
    PyGILState_STATE gil = PyGILState_Ensure();
    uint64_t count = blocks();
    PyGILState_Release(gil);
    return count;
}

/* What is found: each place of `sums` is that of a line, whose number `lines` has by (file, line). */
struct sum {
    PyObject *frame; /* borrowed of `lines` */
    uint64_t bytes, blocks;
};

struct sums {
    PyObject *lines;
    struct sum *items;
    Py_ssize_t count, size;
};

/* Returns NULL without memory. */
static struct sum *find_sum(struct sums *s, PyObject *frame) {
    PyObject *at = PyDict_GetItemWithError(s->lines, frame);
    if (at)
        return &s->items[PyLong_AsSsize_t(at)];
    if (s->count == s->size) {
        Py_ssize_t size = s->size ? 2 * s->size : 256;
        struct sum *items = realloc(s->items, (size_t)size * sizeof *items);
        if (!items)
            return NULL;
        s->items = items;
        s->size = size;
    }
    PyObject *number = PyLong_FromSsize_t(s->count);
    int failed = !number || PyDict_SetItem(s->lines, frame, number);
    Py_XDECREF(number);
    if (failed)
        return NULL;
    s->items[s->count] = (struct sum){.frame = frame};
    return &s->items[s->count++];
}

/* A trace is (domain, size, ((file, line), ...), ...), the innermost frame first. */
static bool add_trace(struct sums *s, PyObject *trace) {
    PyObject *size = NULL, *frames = NULL;
    if (PyTuple_Check(trace) && PyTuple_GET_SIZE(trace) >= 3) {
        size = PyTuple_GET_ITEM(trace, 1);
        frames = PyTuple_GET_ITEM(trace, 2);
    }
    if (!size || !PyLong_Check(size) || !PyTuple_Check(frames) || !PyTuple_GET_SIZE(frames))
        return false;
    struct sum *sum = find_sum(s, PyTuple_GET_ITEM(frames, 0));
    if (!sum)
        return false;
    sum->bytes += PyLong_AsUnsignedLongLong(size);
    sum->blocks++;
    return true;
}

static int compare(const void *a, const void *b) {
    const struct sum *one = a, *other = b;
    return one->bytes < other->bytes ? 1 : -(one->bytes > other->bytes);
}

static void describe(const struct sum *sum, struct allocations_line *out) {
    PyObject *file = NULL;
    int line = 0;
    Py_ssize_t n = 0;
    *out = (struct allocations_line){.bytes = sum->bytes, .blocks = sum->blocks};
    const char *text = PyArg_ParseTuple(sum->frame, "Ui", &file, &line) ? PyUnicode_AsUTF8AndSize(file, &n) : NULL;
    PyErr_Clear(); /* a name that is no text, or no UTF-8 */
    const Py_ssize_t most = sizeof out->file / 2, skipped = n > most ? n - most : 0;
    if (text)
        log_escape(out->file, sizeof out->file, text + skipped, (size_t)(n - skipped));
    out->line = text && line > 0 ? (unsigned)line : 0;
}

static bool sum_up(PyObject *traces, struct allocations *out) {
    struct sums s = {.lines = PyDict_New()};
    bool good = s.lines;
    for (Py_ssize_t i = 0; good && i < PyList_GET_SIZE(traces); i++)
        good = add_trace(&s, PyList_GET_ITEM(traces, i));
    if (s.count)
        qsort(s.items, (size_t)s.count, sizeof *s.items, compare);
    for (Py_ssize_t i = 0; good && i < s.count && i < ALLOCATIONS_LINES; i++)
        describe(&s.items[i], &out->lines[out->count++]);
    for (Py_ssize_t i = 0; i < s.count; i++)
        out->blocks += s.items[i].blocks;
    free(s.items);
    Py_XDECREF(s.lines);
    PyErr_Clear();
    return good;
}

/* Threads that allocate without the GIL are not traced from now on; what they have begun they finish. */
static void let_go(void) {
    PyMemAllocatorEx now;
    PyMem_GetAllocator(PYMEM_DOMAIN_RAW, &now);
    if (tracer.own && now.malloc == tracer.traced.malloc && now.ctx == tracer.traced.ctx)
        PyMem_SetAllocator(PYMEM_DOMAIN_RAW, &tracer.before);
}

static enum allocations_result find(struct allocations *out) {
    if (!is_tracing())
        return ALLOCATIONS_FAILED;
    out->bytes = ask("get_traced_memory", 0);
    out->peak = ask("get_traced_memory", 1);
    if (out->bytes == UINT64_MAX || out->peak == UINT64_MAX)
        return ALLOCATIONS_FAILED;
    out->blocks = blocks();
    if (out->blocks > ALLOCATIONS_MOST)
        return ALLOCATIONS_MANY;
    out->blocks = 0;
    PyObject *traces = PyObject_CallMethod(tracer.module, "_get_traces", NULL);
    bool good = traces && PyList_Check(traces) && sum_up(traces, out);
    Py_XDECREF(traces);
    PyErr_Clear();
    return !good ? ALLOCATIONS_FAILED : tracer.own ? ALLOCATIONS_OK : ALLOCATIONS_FOREIGN;
}

enum allocations_result allocations_find(struct allocations *out) {
    *out = (struct allocations){0};
    PyGILState_STATE gil = PyGILState_Ensure();
    enum allocations_result result = find(out);
    let_go();
    PyGILState_Release(gil);
    return result;
}

void allocations_end(void) {
    PyGILState_STATE gil = PyGILState_Ensure();
    if (tracer.own)
        (void)call("stop");
    tracer.own = false;
    PyGILState_Release(gil);
}
