/* The application in a process that does not serve, but is forked by the server for each worker (process/zygote.h):
 * what Python has to be told of that.
 *
 * Open it for what workers share, and for what a fork does in Python.
 *
 * Threads: the main thread, GIL held, no exception pending; none is pending on return.
 */
#ifndef WSGI_FCGI_PYTHON_PRELOAD_H
#define WSGI_FCGI_PYTHON_PRELOAD_H

#include <sys/types.h>

/* Logs a warning that names the threads which the application has started: forked processes do not have them. Those
 * that Python does not know are named as the system does. Nothing when there are none. */
void preload_tell_threads(void);

/* Collects garbage, and then has the collector never look again at what is there: it writes to each object that it
 * looks at, so every worker would soon have a copy of its own. */
void preload_freeze(void);

/* Forks, as os.fork does: functions of os.register_at_fork run in both processes. In the new one the server's
 * descriptors are closed, and their list is empty (base/descriptors.h); but it is no child of the application
 * (python/child.h). Returns 0 in it; in this one its number, or -1 with errno. */
pid_t preload_fork(void);

#endif
