/* The scheduler's threads in Python: how they take and give back the GIL, and what Python and its tools see of them.
 *
 * Open it when threads, thread states or the GIL behave as they should not, or tools (debuggers, coverage,
 * faulthandler) see too little of requests.
 *
 * No function leaves an exception of its own, unless it says so; one that is pending stays.
 */
#ifndef WSGI_FCGI_PYTHON_THREAD_H
#define WSGI_FCGI_PYTHON_THREAD_H

#include <stdbool.h>

struct sched_thread;

/* Imports `threading`, which takes the thread that imports it first for the main thread; and sees to it that a child of
 * fork has a main thread. Main thread, GIL held, before any other has run Python code. Returns 0, or -1 with an
 * exception. */
int thread_init(void);

/* Takes the GIL for a call on this thread of the scheduler, unless the thread has kept it since its last call.
 *
 * The main thread may be lent to the scheduler: it keeps the thread state and the name that it has, and what it was
 * given when the application was imported (sys.settrace). For all others: before the first call the thread gets what a
 * thread has that Python starts: its name, and the functions of threading.settrace() and setprofile(). It also gets an
 * alternate stack for signal handlers (sigaltstack(2)): when the stack of a call has run over, faulthandler needs one
 * to say so. */
void thread_attach(struct sched_thread *thread);

/* At the end of a call: gives the GIL back, or keeps it for the next one when sched_goes_on says so. */
void thread_release(struct sched_thread *thread);

/* Gives back what thread_release has kept: struct lane_config.thread_pause. */
void thread_pause_cb(struct sched_thread *thread, void *user);

/* Whether the thread has let go of the GIL: struct lane_config.thread_released. Any thread, GIL not needed. */
bool thread_released_cb(struct sched_thread *thread, void *user);

/* Detaches the thread from the interpreter, as it ends: struct lane_config.thread_stop. Without the GIL. */
void thread_stop_cb(struct sched_thread *thread, void *user);

/* The main thread lets go of the GIL for a longer time, and takes it back. */
void thread_release_main(void);
void thread_attach_main(void);

/* Before and after taking the GIL back within a call, so that the scheduler does not count that wait as one of the
 * call's own (sched_lock_wait). Any thread; they do nothing on one that is not the scheduler's. */
void thread_lock_wait(void);
void thread_lock_taken(void);

#endif
