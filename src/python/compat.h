/* Differences between the versions of CPython, from 3.11, the oldest that will do, to 3.15, free-threaded builds
 * included.
 *
 * Open it when a version of Python has another C API than the rest: no other file asks which version it is built for.
 *
 * GIL held in all of them, unless a function says otherwise.
 */
#ifndef WSGI_FCGI_PYTHON_COMPAT_H
#define WSGI_FCGI_PYTHON_COMPAT_H

#include <Python.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#if PY_VERSION_HEX < 0x030b0000
#error "wsgi-fcgi needs Python 3.11 or newer"
#endif

/* What describes a type's members is in Python.h since 3.12. */
#if PY_VERSION_HEX < 0x030c0000
#include <structmember.h>
#define Py_T_OBJECT_EX T_OBJECT_EX
#define Py_T_PYSSIZET T_PYSSIZET
#define Py_READONLY READONLY
#endif

#define COMPAT_STR_(x) #x
#define COMPAT_STR(x) COMPAT_STR_(x)

/* Free-threaded builds (PEP 703) run with their GIL switched on: src/python and, more often than not, applications rely
 * on it. */
#ifdef Py_GIL_DISABLED
#define COMPAT_ABI_THREADS "t"
#define COMPAT_BUILD_NAME " free-threaded, GIL on"
#else
#define COMPAT_ABI_THREADS ""
#define COMPAT_BUILD_NAME ""
#endif

/* File name of this version's interpreter, such as "python3.11" or "python3.14t". */
#define COMPAT_PYTHON_NAME "python" COMPAT_STR(PY_MAJOR_VERSION) "." COMPAT_STR(PY_MINOR_VERSION) COMPAT_ABI_THREADS

/* Whether a string that was interned once may never be freed: in releases of 3.12, and in free-threaded builds. */
#define COMPAT_INTERNED_STAY (PY_VERSION_HEX < 0x030d0000 && PY_VERSION_HEX >= 0x030c0000)
#ifdef Py_GIL_DISABLED
#undef COMPAT_INTERNED_STAY
#define COMPAT_INTERNED_STAY 1
#endif

/* Writes `n` bytes of ASCII over a string of so many, if nobody has it but the caller, who has `refs` references to it.
 * Returns whether it did. A string that was interned belongs to all, and where references are counted for each thread
 * it is not known who has it. */
static inline bool compat_rewrite(PyObject *string, Py_ssize_t refs, const char *ascii, size_t n) {
#ifdef Py_GIL_DISABLED
    (void)string, (void)refs, (void)ascii, (void)n;
    return false;
#else
    if (Py_REFCNT(string) != refs || PyUnicode_CHECK_INTERNED(string))
        return false;
    memcpy(PyUnicode_1BYTE_DATA(string), ascii, n);
    ((PyASCIIObject *)(void *)string)->hash = -1; /* of what it was */
    return true;
#endif
}

/* Switches the GIL on where a build can do without; PYTHON_GIL=0 in the environment would override it. Before Python
 * starts. */
static inline void compat_config_gil(PyConfig *config) {
#ifdef Py_GIL_DISABLED
    config->enable_gil = 1;
#else
    (void)config;
#endif
}

/* Does the environment ask for a Python without its GIL (3.13)? GIL not needed. */
static inline bool compat_gil_unwanted(void) {
#if PY_VERSION_HEX >= 0x030d0000
    const char *gil = getenv("PYTHON_GIL");
    return gil && !strcmp(gil, "0");
#else
    return false;
#endif
}

/* `ob_base` of a type of our own. Such a type is static: its objects hold no reference to it, and where there is no GIL
 * it is immortal. */
#define COMPAT_TYPE_HEAD                                                                                               \
    { PyObject_HEAD_INIT(NULL) 0 }

/* PyType_Ready of such a type, whose objects also tell their module (__module__), as those of classes do. */
static inline int compat_type_ready(PyTypeObject *type) {
    PyObject *module = PyType_Ready(type) ? NULL : PyUnicode_InternFromString("wsgi_fcgi");
    int failed = module ? PyDict_SetItemString(type->tp_dict, "__module__", module) : -1;
    Py_XDECREF(module);
    PyType_Modified(type);
    return failed;
}

/* PyErr_GetRaisedException (3.12): takes the pending exception, normalised and with its traceback attached, and
 * leaves none pending. New reference, NULL when there was none. */
static inline PyObject *compat_err_take(void) {
#if PY_VERSION_HEX >= 0x030c0000
    return PyErr_GetRaisedException();
#else
    PyObject *type = NULL, *value = NULL, *traceback = NULL;
    PyErr_Fetch(&type, &value, &traceback);
    if (!type)
        return NULL;
    PyErr_NormalizeException(&type, &value, &traceback);
    /* Also when it is NULL: import removes its own frames from the pending traceback, not from the exception's. */
    if (value)
        (void)PyException_SetTraceback(value, traceback ? traceback : Py_None);
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return value;
#endif
}

/* The traceback of `exc`: new reference, NULL without an exception when it has none. (3.11 may store None for none.) */
static inline PyObject *compat_err_traceback(PyObject *exc) {
    PyObject *traceback = PyException_GetTraceback(exc);
    if (traceback && !PyTraceBack_Check(traceback))
        Py_CLEAR(traceback);
    return traceback;
}

/* PyErr_SetRaisedException (3.12): makes `exc` the pending exception. Steals the reference. */
static inline void compat_err_restore(PyObject *exc) {
#if PY_VERSION_HEX >= 0x030c0000
    PyErr_SetRaisedException(exc);
#else
    PyErr_Restore(Py_NewRef((PyObject *)Py_TYPE(exc)), exc, compat_err_traceback(exc));
#endif
}

/* PyErr_DisplayException (3.12): prints `exc` (borrowed) to sys.stderr, never exits, leaves no exception pending. */
static inline void compat_err_display(PyObject *exc) {
#if PY_VERSION_HEX >= 0x030c0000
    PyErr_DisplayException(exc);
#else
    PyObject *traceback = compat_err_traceback(exc);
    PyErr_Display((PyObject *)Py_TYPE(exc), exc, traceback);
    Py_XDECREF(traceback);
#endif
}

/* PyThreadState_GetUnchecked (3.13): the calling thread's attached thread state, or NULL. GIL not needed. */
static inline PyThreadState *compat_thread_state(void) {
#if PY_VERSION_HEX >= 0x030d0000
    return PyThreadState_GetUnchecked();
#else
    return _PyThreadState_UncheckedGet();
#endif
}

/* Whether the thread of `state` has let go of the GIL: it computes or waits in C code, or waits for the GIL. Any
 * thread, GIL not needed; but the state must not be freed meanwhile. A look at what changes at any moment: nothing is
 * read through it.
 *
 * Until 3.11 one word of the process says whose the GIL is. Since then each state says it of itself: in a bit that its
 * thread sets without the means for other threads (3.12), then in an int that is atomic to Python, and 0 when detached.
 * A thread that Python has suspended to stop the world (2) has not let go by itself. */
static inline bool compat_released(const PyThreadState *state) {
#if PY_VERSION_HEX >= 0x030d0000
    return !__atomic_load_n(&state->state, __ATOMIC_RELAXED);
#elif PY_VERSION_HEX >= 0x030c0000
    return !((const volatile PyThreadState *)state)->_status.active;
#else
    return _PyThreadState_UncheckedGet() != state;
#endif
}

/* PyObject_GetOptionalAttr (3.13). Returns 1 with a new reference in *out, 0 with NULL and no exception when there is
 * no such attribute, -1 with NULL and an exception. `name` is a str that should be interned: the cache of attributes of
 * types keeps others alive, each for as long as its place is not taken by another. */
static inline int compat_getattr_optional_name(PyObject *obj, PyObject *name, PyObject **out) {
#if PY_VERSION_HEX >= 0x030d0000
    return PyObject_GetOptionalAttr(obj, name, out);
#else
    *out = PyObject_GetAttr(obj, name);
    if (*out)
        return 1;
    if (!PyErr_ExceptionMatches(PyExc_AttributeError))
        return -1;
    PyErr_Clear();
    return 0;
#endif
}

/* The same with a name that is interned each time. */
static inline int compat_getattr_optional(PyObject *obj, const char *name, PyObject **out) {
    PyObject *interned = PyUnicode_InternFromString(name);
    *out = NULL;
    int has = interned ? compat_getattr_optional_name(obj, interned, out) : -1;
    Py_XDECREF(interned);
    return has;
}

/* sys.NAME: new reference, or NULL without an exception. PySys_GetObject lends what Python code may replace. */
static inline PyObject *compat_sys_get(const char *name) {
    return Py_XNewRef(PySys_GetObject(name));
}

/* What PyThreadState_SetAsyncExc has set for a thread, and is not raised yet: borrowed, or NULL. */
static inline PyObject *compat_async_exc(const PyThreadState *state) {
    return state->async_exc;
}

/* Whether PyThreadState_SetAsyncExc(), which looks for the number of a thread, would find this state. Until 3.11 a thread that
 * has been started and does not run yet has the number of the one that has started it, and is found first. */
static inline bool compat_async_exc_finds(const PyThreadState *state) {
#if PY_VERSION_HEX < 0x030c0000
    for (PyThreadState *at = PyInterpreterState_ThreadHead(state->interp); at && at != state;
         at = PyThreadState_Next(at))
        if (at->thread_id == state->thread_id)
            return false;
#else
    (void)state;
#endif
    return true;
}

/* Takes back what is set for a thread, whichever would be found. */
static inline void compat_async_exc_drop(PyThreadState *state) {
#if PY_VERSION_HEX < 0x030c0000
    Py_CLEAR(state->async_exc);
#else
    PyThreadState_SetAsyncExc(state->thread_id, NULL);
#endif
}

/* Instructions behind which an exception that is set for a thread does most harm when it is raised: those that call, as what
 * they have called may have been acquire(). On 3.13 also the jump back at the end of a loop: handlers in the function are
 * passed over then (CPython's gh-130279). Names in opcode.opmap. */
static inline const char *const *compat_bad_places(void) {
    static const char *const names[] = {
#if PY_VERSION_HEX >= 0x030d0000 && PY_VERSION_HEX < 0x030e0000
        "JUMP_BACKWARD",
#endif
        "CALL",
        "CALL_FUNCTION_EX",
        "CALL_KW",
        "BEFORE_WITH",
        NULL
    };
    return names;
}

/* PyDict_GetItemRef (3.13). Returns 1 with a new reference in *out, 0 with NULL, -1 with NULL and an exception. */
static inline int compat_dict_get(PyObject *dict, PyObject *key, PyObject **out) {
#if PY_VERSION_HEX >= 0x030d0000
    return PyDict_GetItemRef(dict, key, out);
#else
    *out = Py_XNewRef(PyDict_GetItemWithError(dict, key));
    return *out ? 1 : PyErr_Occurred() ? -1 : 0;
#endif
}

/* PyDict_SetDefaultRef (3.13): sets `key` when it is not there. Returns false with an exception set on failure. */
static inline bool compat_dict_set_default(PyObject *dict, PyObject *key, PyObject *value) {
#if PY_VERSION_HEX >= 0x030d0000
    return PyDict_SetDefaultRef(dict, key, value, NULL) >= 0;
#else
    return PyDict_SetDefault(dict, key, value) != NULL;
#endif
}

/* PyUnicode_READY (needed until 3.11): gives the str `s` its final form, in which its kind and data can be looked at.
 * Returns 0, or -1 with an exception. */
static inline int compat_str_ready(PyObject *s) {
#if PY_VERSION_HEX >= 0x030c0000
    (void)s;
    return 0;
#else
    return PyUnicode_READY(s);
#endif
}

/* Whether a fork on a thread that Python did not start may leave a child without a main thread (until 3.13, which is
 * CPython's gh-102512). */
#if PY_VERSION_HEX < 0x030d0000
#define COMPAT_FORK_LEAVES_DUMMY 1
#else
#define COMPAT_FORK_LEAVES_DUMMY 0
#endif

/* Py_IsFinalizing (3.13). Any thread, GIL not needed. */
static inline bool compat_is_finalizing(void) {
#if PY_VERSION_HEX >= 0x030d0000
    return Py_IsFinalizing();
#else
    return _Py_IsFinalizing();
#endif
}

#endif
