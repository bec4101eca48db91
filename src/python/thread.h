/* The scheduler's threads, as Python and its tools see them.
 *
 * All functions: GIL held, unless they say otherwise. None leaves an exception of its own; one that is pending stays.
 */
#ifndef WSGI_FCGI_PYTHON_THREAD_H
#define WSGI_FCGI_PYTHON_THREAD_H

#include "python/compat.h"
#include "request/request.h"

#include <stdbool.h>

/* Imports `threading`, so that its main thread is this one, whichever thread of the application asks for the module
 * first, and sees to it that a child of fork has a main thread. Main thread, before any other has run Python code. Returns
 * 0, or -1 with an exception. */
int thread_init(void);

/* At the end of a scheduler's thread, which is the calling one: frees what thread_introduce has taken. Without the GIL. */
void thread_leave(void);

/* Before the first call on a scheduler's thread, which is the calling one: its name in Python becomes that of the system
 * (sched_thread_name), and what threading.settrace() and threading.setprofile() have set applies to it, as it does to a
 * thread that Python starts. It also gets an alternate stack for signal handlers (sigaltstack(2)), on which faulthandler
 * runs when the stack of a call has run over, whenever the application enables that. What goes wrong is logged. */
void thread_introduce(const struct sched_thread *thread);

/* Drops what is pending as thread_drop_late says, with a line. Something is. */
void thread_drop_async_exc(const struct request *r, bool its_own);

/* Where no code of the application runs that an exception set by PyThreadState_SetAsyncExc can be meant for: one that is
 * pending for the calling thread is dropped, with a line, as it would be raised in close() or in another request. `r`: the
 * thread runs it, or is about to; `its_own`: the exception came in its time. */
static inline void thread_drop_late(const struct request *r, bool its_own) {
    if (compat_async_exc(sched_thread_user(r->thread)))
        thread_drop_async_exc(r, its_own);
}

#endif
