/* The scheduler's threads, as Python and its tools see them.
 *
 * All functions: GIL held. None leaves an exception of its own; one that is pending stays.
 */
#ifndef WSGI_FCGI_PYTHON_THREAD_H
#define WSGI_FCGI_PYTHON_THREAD_H

struct sched_thread;

/* Imports `threading`, so that its main thread is this one, whichever thread of the application asks for the module
 * first, and sees to it that a child of fork has a main thread. Main thread, before any other has run Python code. Returns
 * 0, or -1 with an exception. */
int thread_init(void);

/* Before the first call on a scheduler's thread, which is the calling one: its name in Python becomes that of the system
 * (sched_thread_name), and what threading.settrace() and threading.setprofile() have set applies to it, as it does to a
 * thread that Python starts. What goes wrong is logged. */
void thread_introduce(const struct sched_thread *thread);

#endif
