#include "config.h"

/* The only file that sees the private headers of CPython. They are not written for these warnings. */
#define Py_BUILD_CORE 1
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wundef"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wcast-qual"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wsign-compare"
#pragma GCC diagnostic ignored "-Wstrict-prototypes"
#include <Python.h>
#if PY_VERSION_HEX < 0x030d0000
#include "internal/pycore_frame.h"
#elif PY_VERSION_HEX < 0x03100000
#include "internal/pycore_runtime.h"
#endif
#pragma GCC diagnostic pop

#include "python/stack_layout.h"

#include "python/compat.h"

#include <stdio.h>
#include <string.h>

static int unknown(char *why, size_t size) {
    snprintf(why, size, "the frames of Python %lu.%lu.%lu are not known", Py_Version >> 24, Py_Version >> 16 & 0xff,
             Py_Version >> 8 & 0xff);
    return -1;
}

static void set_size(struct stack_layout *layout) {
    const size_t ends[] = {layout->frame.previous + sizeof(void *), layout->frame.code + sizeof(void *),
                           layout->frame.instruction + sizeof(void *), layout->frame.owner + 1,
                           layout->is_threaded ? layout->frame.threaded + sizeof(int32_t) : 0};
    layout->frame.size = 0;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (layout->frame.size < ends[i])
            layout->frame.size = ends[i];
}

#if PY_VERSION_HEX < 0x030d0000

static void find(struct stack_layout *layout) {
    layout->boxed = true;
    layout->state_frame = offsetof(PyThreadState, cframe);
    layout->box_frame = offsetof(_PyCFrame, current_frame);
    layout->box_previous = offsetof(_PyCFrame, previous);
    layout->state_chunk = offsetof(PyThreadState, datastack_chunk);
    layout->state_top = offsetof(PyThreadState, datastack_top);
#if PY_VERSION_HEX < 0x030c0000
    layout->frame.entry = offsetof(_PyInterpreterFrame, is_entry); /* before the owner */
#endif
    layout->frame.previous = offsetof(_PyInterpreterFrame, previous);
    layout->frame.code = offsetof(_PyInterpreterFrame, f_code);
    layout->frame.instruction = offsetof(_PyInterpreterFrame, prev_instr);
    layout->frame.owner = offsetof(_PyInterpreterFrame, owner);
    layout->frame.owner_none = FRAME_OWNED_BY_FRAME_OBJECT + 1; /* FRAME_OWNED_BY_CSTACK of 3.12 */
    layout->frame.first = -(int64_t)sizeof(_Py_CODEUNIT);
    layout->code.filename = offsetof(PyCodeObject, co_filename);
    layout->code.qualname = offsetof(PyCodeObject, co_qualname);
    layout->code.linetable = offsetof(PyCodeObject, co_linetable);
    layout->code.firstlineno = offsetof(PyCodeObject, co_firstlineno);
    layout->code.instructions = offsetof(PyCodeObject, co_code_adaptive);
}

#elif PY_VERSION_HEX < 0x03100000

static void find(struct stack_layout *layout) {
    const _Py_DebugOffsets *told = &_PyRuntime.debug_offsets;
    if (memcmp(told->cookie, _Py_Debug_Cookie, sizeof told->cookie) != 0 || told->version >> 16 != PY_VERSION_HEX >> 16)
        return;
    layout->state_frame = told->thread_state.current_frame;
    layout->frame.previous = told->interpreter_frame.previous;
    layout->frame.code = told->interpreter_frame.executable;
    layout->frame.instruction = told->interpreter_frame.instr_ptr;
    layout->frame.owner = told->interpreter_frame.owner;
    layout->frame.owner_none = FRAME_OWNED_BY_FRAME_OBJECT + 1; /* _BY_INTERPRETER, _BY_CSTACK */
    layout->frame.first = PY_VERSION_HEX < 0x030e0000 ? 0 : INT64_MIN;
    layout->code.filename = told->code_object.filename;
    layout->code.qualname = told->code_object.qualname;
    layout->code.linetable = told->code_object.linetable;
    layout->code.firstlineno = told->code_object.firstlineno;
    layout->code.instructions = told->code_object.co_code_adaptive;
#if PY_VERSION_HEX >= 0x030e0000
    layout->frame.code_bits = 3; /* of _PyStackRef */
    layout->is_threaded = told->free_threaded;
    layout->frame.threaded = told->interpreter_frame.tlbc_index;
    layout->code.threaded = told->code_object.co_tlbc;
#endif
}

#else

static void find(struct stack_layout *layout) {
    (void)layout;
}

#endif

int stack_layout_find(struct stack_layout *layout, char *why, size_t size) {
    *layout = (struct stack_layout){.boxed = false};
    if (Py_Version >> 16 != PY_VERSION_HEX >> 16)
        return unknown(why, size);
    find(layout);
    set_size(layout);
    /* None of them is 0: what they are in begins with other things. */
    bool found = layout->state_frame && layout->frame.owner && layout->code.filename && layout->code.qualname &&
                 layout->code.linetable && layout->code.firstlineno && layout->code.instructions;
    if (!found || layout->frame.size > STACK_FRAME_SIZE || layout->code.instructions > STACK_CODE_SIZE)
        return unknown(why, size);
    return 0;
}
