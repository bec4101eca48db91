/* The frames of a thread, and their text. Every word is copied by base/own_memory.h, and everything checked for being
 * what it should be; so it is of no matter whether the thread runs meanwhile, but that what is found may be no stack
 * then: whoever asks sees to it that the thread stood still.
 *
 * Open it when a frame is shown in a wrong way.
 *
 * Threads: any, GIL not needed. All functions are async-signal-safe, and take little of the stack. errno is not
 * preserved.
 */
#ifndef WSGI_FCGI_PYTHON_STACK_WALK_H
#define WSGI_FCGI_PYTHON_STACK_WALK_H

#include "python/stack_layout.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

enum {
    STACK_FRAMES_MAX = 3000,         /* that are looked at */
    STACK_FILE_SIZE = 1200,          /* of a name, as it is shown */
    STACK_NAME_MAX = STACK_FILE_SIZE /* characters that are read of one: more than have room */
};

struct stack_frame {
    uintptr_t at; /* where it is */
    uintptr_t code;
    int64_t offset; /* bytes from the first instruction */
};

struct stack_walk {
    struct stack_frame *frames; /* the innermost first. The caller's, with room for `most` */
    unsigned most, count;
    bool cut;      /* there are more */
    bool fresh;    /* the innermost has not begun: if the thread is just making it, those before it are not these */
    bool detached; /* the outermost is a generator's: C code has called it; or, until 3.11, it is just being left */
};

/* Entries that were written before: threads that stand at the same place have most of their frames in common, and to
 * write one takes several times as long as to see that it still holds. It does while what it was made of is the same,
 * byte for byte: another code object soon comes to be where one was, with names and lines where that had them. */
enum { STACK_KNOWN = 128, STACK_KNOWN_SIZE = 400, STACK_SOURCES = 3, STACK_SOURCES_SIZE = 1024 };
struct stack_known {
    uintptr_t code;
    int64_t offset;
    int32_t firstlineno;
    struct iovec sources[STACK_SOURCES]; /* names and lines; of code objects whose are longer nothing is kept */
    uint64_t sum;                        /* of what is there */
    size_t n;                            /* of the entry; 0: the frame is not shown */
    char entry[STACK_KNOWN_SIZE];
};

/* Memory for stack_text. */
struct stack_scratch {
    struct stack_known *known; /* STACK_KNOWN of them, zeroed at first; NULL: none is kept */
    unsigned char sources[STACK_SOURCES_SIZE];
    unsigned char code[STACK_CODE_SIZE];
    unsigned char raw[4 * STACK_NAME_MAX];
    char utf8[4 * STACK_NAME_MAX];
    char file[STACK_FILE_SIZE], function[600];
    char entry[2000], other[2000];
};

/* Copies bytes of this process, which may not be there. */
bool stack_copy(void *to, uintptr_t from, size_t n);

/* Follows the frames of the thread with this PyThreadState. Returns false when what it finds are no frames: they are
 * changing. */
bool stack_walk(const struct stack_layout *layout, const void *state, struct stack_walk *walk);

/* Whether both found the same. */
bool stack_walk_is_same(const struct stack_walk *a, const struct stack_walk *b);

/* Writes them to `out` of `size` bytes, always terminated, as stack_take does. Returns how many frames there are, without
 * those that Python itself does not show; or -1, when something is not what it should be. */
int stack_text(const struct stack_layout *layout, const struct stack_walk *walk, struct stack_scratch *scratch,
               char *out, size_t size);

/* One of them, as that writes it, to `out`; returns its length, which may be `size` or more. `line` 0: none. */
size_t stack_entry(char *out, size_t size, const char *file, int line, const char *function);

#endif
