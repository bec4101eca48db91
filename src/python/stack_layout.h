/* Where CPython keeps the frames of a thread, in the version that runs. It is private to CPython, and differs between
 * versions: from 3.13 on it tells so itself, for debuggers (_Py_DebugOffsets); before, it is what its headers said when
 * the program was built, and the same in all releases of a version.
 *
 * Open it when a new version of Python has other structures.
 *
 * Threads: the main thread.
 */
#ifndef WSGI_FCGI_PYTHON_STACK_LAYOUT_H
#define WSGI_FCGI_PYTHON_STACK_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    STACK_FRAME_SIZE = 128, /* bytes, of a frame up to its locals, at most */
    STACK_CODE_SIZE = 512   /* of a code object up to its instructions */
};

/* Offsets in bytes. */
struct stack_layout {
    /* PyThreadState: the innermost frame; or, if `boxed`, what has it at `box_frame`: one for each call of the
     * interpreter's loop, with that of the call around it at `box_previous`. */
    size_t state_frame, box_frame, box_previous;
    bool boxed;

    /* With boxes: its newest piece of memory for frames, _PyStackChunk, and the first byte of it that is free. A box may
     * still, or not yet, have a frame that is not below it. */
    size_t state_chunk, state_top;

    struct {
        size_t size; /* as much of it as the others need */
        size_t previous, code, instruction, owner, threaded;
        unsigned char owner_none; /* owners from this on are frames without Python code */
        /* Whether it is the first in its box; 0: those are frames without Python code. The outermost is one of these. */
        size_t entry;
        /* Bytes from its first instruction at which a frame stands that has not begun, and for which `previous` may not be
         * set yet; INT64_MIN: it always is. */
        int64_t first;
        uintptr_t code_bits; /* that do not belong to the pointer */
    } frame;

    /* PyCodeObject. */
    struct {
        size_t filename, qualname, linetable, firstlineno, instructions, threaded;
    } code;

    /* Without the GIL, threads have copies of the instructions: `code.threaded` is the array of them, and
     * `frame.threaded` the index. */
    bool is_threaded;
};

/* Finds it. Returns 0; or -1 with the reason in `why`. */
int stack_layout_find(struct stack_layout *layout, char *why, size_t size);

#endif
