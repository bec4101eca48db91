#include "config.h"

#include <Python.h>

#include "python/interrupt_aim.h"

#include "python/compat.h"
#include "python/stack_doing.h"

#include <string.h>

enum { MARK_FRAMES = 4 };

/* Instructions, by their numbers in this version, at which a thread that gives way should not be interrupted: zero-terminated.
 *
 * Mutable bad: interrupt_aim_init. */
static unsigned char bad[8];

void interrupt_aim_init(void) {
    PyObject *module = PyImport_ImportModule("opcode"), *map = module ? PyObject_GetAttrString(module, "opmap") : NULL;
    size_t n = 0;
    for (const char *const *name = compat_bad_places(); map && *name && n + 1 < sizeof bad; name++) {
        PyObject *number = PyMapping_GetItemString(map, *name);
        long value = number ? PyLong_AsLong(number) : 0;
        if (value > 0 && value < 256)
            bad[n++] = (unsigned char)value;
        Py_XDECREF(number);
        PyErr_Clear();
    }
    Py_XDECREF(map);
    Py_XDECREF(module);
    PyErr_Clear();
}

/* Frames of another thread can be looked at as objects, as sys._current_frames() does. */
uint64_t interrupt_aim_mark(PyThreadState *state) {
    uint64_t sum = 1;
    int collects =
        PyGC_Disable(); /* until 3.11 an object that is made may begin a collection, and run finalizers here */
    PyFrameObject *frame = PyThreadState_GetFrame(state);
    for (int i = 0; frame && i < MARK_FRAMES; i++) {
        PyCodeObject *code = PyFrame_GetCode(frame);
        PyFrameObject *back = PyFrame_GetBack(frame);
        sum = (sum ^ (uintptr_t)code) * UINT64_C(0x9e3779b97f4a7c15) + (unsigned)PyFrame_GetLasti(frame);
        Py_DECREF(code);
        Py_DECREF(frame);
        frame = back;
    }
    Py_XDECREF(frame);
    PyErr_Clear();
    if (collects)
        PyGC_Enable();
    return sum ? sum : 1;
}

/* What a thread does while another has the interpreter lock. */
enum doing {
    WAITS,         /* in C, for what is no lock; or the system never tells what it does */
    GIVES_WAY,     /* it waits for the GIL, or is about to; or it computes in C without it */
    WAITS_FOR_LOCK /* or it cannot be told now, as where no file can be opened */
};

static enum doing find_doing(int tid) {
    bool locks;
    enum stack_state state = stack_doing_more(tid, &locks);
    if (locks)
        return WAITS_FOR_LOCK;
    return state == STACK_COMPUTES || state == STACK_WAITS ? GIVES_WAY : WAITS;
}

/* Whether it is code of the threading module, or else of such a name. */
static bool is_of_threading(const PyCodeObject *code, const char *name) {
    const char *file = PyUnicode_AsUTF8(code->co_filename), *slash = file ? strrchr(file, '/') : NULL;
    return slash && !strcmp(slash, "/threading.py") &&
           (!name || PyUnicode_CompareWithASCIIString(code->co_qualname, name) == 0);
}

/* Functions in Python that get a lock for others, or release it: cut short, they leave it locked. */
static bool is_of_lock(const PyCodeObject *code) {
    static const char *const names[] = {"__enter__", "__exit__", "acquire", "release"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (PyUnicode_CompareWithASCIIString(code->co_name, names[i]) == 0)
            return true;
    }
    const char *name = PyUnicode_AsUTF8(code->co_qualname);
    return is_of_threading(code, NULL) && name &&
           strncmp(name, "Thread.", 7) != 0; /* which is below what a thread runs */
}

/* Whether this frame is in such a function, or one that it has called. */
static bool is_in_lock(PyFrameObject *innermost) {
    PyFrameObject *frame = (PyFrameObject *)Py_NewRef(innermost);
    bool is = false;
    for (int i = 0; frame && i < MARK_FRAMES && !is; i++) {
        PyCodeObject *code = PyFrame_GetCode(frame);
        PyFrameObject *back = PyFrame_GetBack(frame);
        is = is_of_lock(code);
        Py_DECREF(code);
        Py_DECREF(frame);
        frame = back;
    }
    Py_XDECREF(frame);
    return is;
}

static bool is_at(PyCodeObject *code, int lasti, const unsigned char *opcodes) {
    PyObject *bytes = PyCode_GetCode(code);
    bool is = bytes && lasti >= 0 && lasti < PyBytes_GET_SIZE(bytes) &&
              strchr((const char *)opcodes, PyBytes_AS_STRING(bytes)[lasti]);
    Py_XDECREF(bytes);
    return is;
}

static enum interrupt_place judge(PyFrameObject *frame, enum doing doing) {
    PyCodeObject *code = PyFrame_GetCode(frame);
    enum interrupt_place place = INTERRUPT_GOOD;
    if (doing == WAITS_FOR_LOCK && is_of_threading(code, "Condition.wait"))
        place = INTERRUPT_GOOD;
    else if (doing == WAITS_FOR_LOCK)
        place = INTERRUPT_LOCK;
    else if (is_in_lock(frame) || (doing == GIVES_WAY && is_at(code, PyFrame_GetLasti(frame), bad)))
        place = INTERRUPT_BAD;
    Py_DECREF(code);
    return place;
}

enum interrupt_place interrupt_aim_judge(PyThreadState *state, int tid) {
    int collects = PyGC_Disable();
    PyFrameObject *frame = PyThreadState_GetFrame(state);
    enum interrupt_place place = frame ? judge(frame, find_doing(tid)) : INTERRUPT_GOOD;
    Py_XDECREF(frame);
    PyErr_Clear();
    if (collects)
        PyGC_Enable();
    return place;
}
