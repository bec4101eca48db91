/* Processes that the application forks (os.fork): within a call, a handler of a signal, or while it is loaded.
 *
 * A child has a copy of the request and of the thread that runs it, but neither the loop nor the other threads. The
 * server's descriptors are closed in it (base/descriptors.h), unless it was made by a system call behind the back of
 * the C library: then it shares the sockets. So it must not answer, nor go on as a second server when the call returns.
 *
 * Workers that are forked with --preload are none of these (child_serves).
 *
 * Open it when a forked process does what is for the server to do, or fails to do what is its own.
 */
#ifndef WSGI_FCGI_PYTHON_CHILD_H
#define WSGI_FCGI_PYTHON_CHILD_H

#include <stdbool.h>

extern const volatile char *child_mark;

/* Notices forks from now on, whoever makes them. Main thread, once. Returns 0, or -1 without an exception when there is
 * no memory. */
int child_init(void);

/* Whether this process is such a child. Any thread, GIL not needed. */
static inline bool child_is(void) {
    return !*child_mark;
}

/* This child was forked by the server itself, to be another process of it: from now on it is no such child, and notices
 * its own. Its only thread; the GIL is not needed. */
void child_serves(void);

/* Lets Python call a function without arguments in children that it forks, after those that were registered before. GIL
 * held. *function stays as long as Python. Returns 0, or -1 with an exception. */
struct PyMethodDef;
int child_register(struct PyMethodDef *function);

/* Ends the child with the status with which python3 ends a program whose last statement was reached: SystemExit gives
 * the status, any other pending exception is printed and gives 1, and without one it is 0. Output is flushed, but
 * functions of atexit do not run: they are the server's. GIL held. */
_Noreturn void child_end(void);

#endif
