/* Exceptions that somebody sets for a thread from outside (PyThreadState_SetAsyncExc), as debuggers and timeouts do, and that
 * come too late: the call that they were meant for has ended.
 *
 * Open it when such an exception hits what it was not meant for, or misses what it was meant for.
 *
 * Threads: one of the scheduler's, GIL held, and released while the line is written. An exception that was raised
 * already stays pending.
 */
#ifndef WSGI_FCGI_PYTHON_ASYNC_EXC_H
#define WSGI_FCGI_PYTHON_ASYNC_EXC_H

#include "python/compat.h"
#include "request/request.h"

#include <stdbool.h>

/* What async_exc_drop_late does when something was set. */
void async_exc_drop(const struct request *r, bool its_own);

/* Drops what was set for the calling thread, whose state this is, with a line: it would be raised in close(), or in another
 * request. For where no code of the application runs that it can be meant for. `r`: the request that the thread runs, or
 * is about to; `its_own`: the exception came in its time. */
static inline void async_exc_drop_late(const PyThreadState *state, const struct request *r, bool its_own) {
    if (compat_async_exc(state))
        async_exc_drop(r, its_own);
}

#endif
