#include "config.h"

#include <Python.h>

#include "python/stack_check.h"

#include "base/log.h"
#include "python/stack.h"
#include "python/stack_walk.h"

#include <stdlib.h>
#include <string.h>

/* A function that C code calls and one that Python code calls, a class that is made by a call, a generator; names of one,
 * two and four bytes a character; a line that is far below the one before, and one that is above it. `look` is below. */
static const char code[] =
    "def leaf(look):\n"
    "    return look()\n"
    "def \xc3\xa9(look):\n"
    "    yield (leaf(\n"
    "        look))\n"
    "def \xe6\xbc\xa2(look):\n"
    "    return next(\xc3\xa9(look))\n"
    "class \xf0\x90\x90\x80:\n"
    "    def __init__(self, look):\n"
    "        self.looked = max(\n"
    "            [look],\n"
    "            key=lambda look:\n"
    "                \xe6\xbc\xa2(look))\n"
    "\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n"
    "\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n"
    "[\xf0\x90\x90\x80(look) for _ in range(2)]\n";
static const char file[] = "<wsgi-fcgi looks whether it can read stacks>";

enum { LOOKED_AT = 100 };

struct looking {
    const struct stack_layout *layout;
    unsigned looks, right;
    struct stack_frame frames[LOOKED_AT];
    struct stack_scratch scratch;
    char found[STACK_SIZE], expected[STACK_SIZE];
};

/* Puts the frame's entry in front of what is in `expected` behind `at`. Returns its new beginning, or -1 with or without
 * an exception. */
static Py_ssize_t expect(struct looking *l, PyFrameObject *frame, Py_ssize_t at) {
    PyCodeObject *of = PyFrame_GetCode(frame);
    char shown[2][512];
    Py_ssize_t n[2] = {0, 0};
    const char *text[2] = {PyUnicode_AsUTF8AndSize(of->co_filename, &n[0]), NULL};
    text[1] = text[0] ? PyUnicode_AsUTF8AndSize(of->co_qualname, &n[1]) : NULL;
    Py_DECREF(of);
    if (!text[1])
        return -1;
    for (int i = 0; i < 2; i++)
        log_escape(shown[i], sizeof shown[i], text[i], (size_t)n[i]);
    size_t length =
        stack_entry(l->scratch.entry, sizeof l->scratch.entry, shown[0], PyFrame_GetLineNumber(frame), shown[1]);
    at -= (Py_ssize_t)length;
    if (length < sizeof l->scratch.entry && at >= 0)
        memcpy(l->expected + at, l->scratch.entry, length);
    return at;
}

static bool is_right(struct looking *l) {
    PyThreadState *state = PyThreadState_Get();
    struct stack_walk walk = {.frames = l->frames, .most = LOOKED_AT};
    Py_ssize_t at = sizeof l->expected - 1;
    unsigned count = 0;
    l->expected[at] = '\0';
    for (PyFrameObject *frame = PyThreadState_GetFrame(state), *back; frame; frame = back) {
        if (at >= 0)
            at = expect(l, frame, at);
        count++;
        back = PyFrame_GetBack(frame);
        Py_DECREF(frame);
    }
    return at >= 0 && stack_walk(l->layout, state, &walk) &&
           stack_text(l->layout, &walk, &l->scratch, l->found, sizeof l->found) == (int)count &&
           !strcmp(l->found, l->expected + at);
}

static PyObject *look(PyObject *self, PyObject *unused) {
    struct looking *l = PyCapsule_GetPointer(self, NULL);
    (void)unused;
    l->looks++;
    l->right += is_right(l);
    return PyErr_Occurred() ? NULL : PyLong_FromUnsignedLong(l->looks);
}

bool stack_check(const struct stack_layout *layout) {
    static PyMethodDef method = {"look", look, METH_NOARGS, NULL};
    struct looking *l = calloc(1, sizeof *l);
    PyObject *capsule = l ? PyCapsule_New(l, NULL, NULL) : NULL;
    PyObject *function = capsule ? PyCFunction_New(&method, capsule) : NULL;
    PyObject *compiled = function ? Py_CompileString(code, file, Py_file_input) : NULL;
    PyObject *globals = compiled ? Py_BuildValue("{s:O,s:s,s:O}", "__builtins__", PyEval_GetBuiltins(), "__name__",
                                                 "look", "look", function)
                                 : NULL;
    if (l)
        l->layout = layout;
    if (globals)
        Py_XDECREF(PyEval_EvalCode(compiled, globals, globals));
    PyErr_Clear();
    bool right = l && l->looks == 2 && l->right == 2;
    Py_XDECREF(globals);
    Py_XDECREF(compiled);
    Py_XDECREF(function);
    Py_XDECREF(capsule);
    free(l);
    return right;
}
