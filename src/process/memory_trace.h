/* Which lines of the application hold the memory by which a worker grows: when it has most of what --max-memory allows,
 * the supervisor has it trace what Python allocates (--trace-memory), for a while, once in its life. The log says what
 * was found when that is over, or at the end of the worker, when nobody waits for it any more.
 *
 * A thread of its own does that, since it needs the interpreter lock, and a list of blocks takes it a tenth of a
 * second: when there are as many as that, it is over.
 *
 * Open it when a worker that leaks logs nothing about that.
 *
 * Threads: as said at each function. GIL not needed.
 */
#ifndef WSGI_FCGI_PROCESS_MEMORY_TRACE_H
#define WSGI_FCGI_PROCESS_MEMORY_TRACE_H

#include <stdint.h>

/* Begins, for `ms` milliseconds at most; not a second time. `has`: bytes of memory that count for --max-memory, which
 * with --preload are fewer than the process has resident; for the log. Owner of the loop. */
void memory_trace_begin(uint64_t ms, uint64_t has);

/* The lane has ended: logs what was found by now. Waits for it, but not for long. Main thread. */
void memory_trace_stop(void);

#endif
