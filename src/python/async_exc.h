/* Exceptions that somebody sets for a thread from outside (PyThreadState_SetAsyncExc), where they come too late.
 *
 * Open it when such an exception hits, or misses, what it was not meant for.
 *
 * Threads: one of the scheduler's, GIL held. One that is pending stays.
 */
#ifndef WSGI_FCGI_PYTHON_ASYNC_EXC_H
#define WSGI_FCGI_PYTHON_ASYNC_EXC_H

#include "python/compat.h"
#include "request/request.h"

#include <stdbool.h>

/* Drops what is pending as async_exc_drop_late says, with a line. Something is. */
void async_exc_drop(const struct request *r, bool its_own);

/* Where no code of the application runs that such an exception can be meant for: one that is pending for the calling
 * thread, whose state this is, is dropped, with a line, as it would be raised in close() or in another request. `r`: the
 * thread runs it, or is about to; `its_own`: the exception came in its time. */
static inline void async_exc_drop_late(const PyThreadState *state, const struct request *r, bool its_own) {
    if (compat_async_exc(state))
        async_exc_drop(r, its_own);
}

#endif
