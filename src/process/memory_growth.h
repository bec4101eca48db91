/* The lines of the log about memory that has grown while it was traced (process/memory_trace.h).
 *
 * Threads: any.
 */
#ifndef WSGI_FCGI_PROCESS_MEMORY_GROWTH_H
#define WSGI_FCGI_PROCESS_MEMORY_GROWTH_H

#include "base/log.h"
#include "python/allocations.h"

#include <stdint.h>

enum { MEMORY_GROWTH_LINE_SIZE = 600, MEMORY_GROWTH_BLOCK_SIZE = ALLOCATIONS_LINES * (ALLOCATIONS_FILE_SIZE + 100) };

struct memory_growth {
    uint64_t before, after; /* bytes that the process had resident */
    uint64_t ns;            /* for which it was traced */
    enum allocations_result result;
    struct allocations found;
};

/* Writes the first line, and those of places, each with its "\n"; "" when there are none. Returns the level that they
 * deserve: a warning if memory has grown by a thirtieth or more. */
enum log_level memory_growth_describe(const struct memory_growth *g, char line[static MEMORY_GROWTH_LINE_SIZE],
                                      char block[static MEMORY_GROWTH_BLOCK_SIZE]);

#endif
