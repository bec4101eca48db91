/* What Python allocates from a moment on and does not free: the lines that hold most of it, by Python's own tracemalloc.
 * It costs time with each allocation, so it goes on for a while only (process/memory_trace.h).
 *
 * If the application traces memory itself, that is left alone, and what is found is what it has traced.
 *
 * Open it when the log names a wrong line for memory that grows, or none.
 *
 * Threads: one of the server's own, which has no state in Python. The GIL is taken within, which may take as long as a
 * call keeps it.
 */
#ifndef WSGI_FCGI_PYTHON_ALLOCATIONS_H
#define WSGI_FCGI_PYTHON_ALLOCATIONS_H

#include <stdbool.h>
#include <stdint.h>

enum {
    ALLOCATIONS_LINES = 5,
    ALLOCATIONS_FILE_SIZE = 400,
    /* Blocks of which a list can be had: it takes some 160 bytes for each and, with the GIL held, a microsecond. */
    ALLOCATIONS_MOST = 1 << 19
};

struct allocations_line {
    char file[ALLOCATIONS_FILE_SIZE]; /* as code objects name it, made safe to show; cut off at the front */
    unsigned line;                    /* 0: not known */
    uint64_t bytes, blocks;
};

struct allocations {
    uint64_t bytes, peak; /* that are held; and most that were at one time */
    uint64_t blocks;
    unsigned count; /* of the lines, the one first that holds most */
    struct allocations_line lines[ALLOCATIONS_LINES];
};

enum allocations_result {
    ALLOCATIONS_OK,
    ALLOCATIONS_FOREIGN, /* as OK; but it is what the application traces */
    ALLOCATIONS_MANY,    /* there is no list, since there are more blocks than ALLOCATIONS_MOST */
    ALLOCATIONS_FAILED   /* this Python has none of it, or memory ran out, or the application has ended it meanwhile */
};

/* Begins. Returns ALLOCATIONS_OK, _FOREIGN or _FAILED. */
enum allocations_result allocations_begin(void);

/* Nearly how many blocks are held at present. */
uint64_t allocations_blocks(void);

/* Fills *out, and lets no further thread be traced that does not have the GIL. Call allocations_end then. */
enum allocations_result allocations_find(struct allocations *out);

/* Ends it, if it is not the application's. Some time behind allocations_find, since Pythons up to 3.12.8 crash when a
 * thread is about to allocate without the GIL. Not needed before the end of Python, which does the same. */
void allocations_end(void);

#endif
