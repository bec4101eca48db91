/* What runs in the main thread, also while that is the watch of the scheduler: signal handlers that the application installed
 * with Python's signal module, and functions that C code has left to it (python/pending_calls.h).
 *
 * Open it when such a handler runs at the wrong time, or its exception has the wrong effect.
 *
 * Threads: the main thread.
 */
#ifndef WSGI_FCGI_PYTHON_SIGNAL_HANDLERS_H
#define WSGI_FCGI_PYTHON_SIGNAL_HANDLERS_H

#include <stdbool.h>

/* Lets Python write a byte to `fd` (non-blocking) when a signal arrives that the application handles, its number, or a
 * function is left to the main thread. Not in a child that the application forks. GIL held. */
void signal_handlers_set_wakeup(int fd);

/* Whether the application, and not Python itself, handles the signal. GIL held. */
bool signal_handlers_has(int number);

/* Runs the handlers of the signals that arrived, and the functions that are pending. An exception of one is printed;
 * SystemExit makes the function return true: the application wants the process to end, and *status, when it was 0, becomes
 * the status that it asks for. So does KeyboardInterrupt, unless the application has only simulated a SIGINT
 * (`interrupted`): then it is logged. A handler that ends the process in another way ends it like that
 * (python/exit_calls.h). Without the GIL. */
bool signal_handlers_run(bool interrupted, int *status);

/* The same when no request runs any more and the process is about to end: as long as `trip`, which makes signals arrive,
 * says that there are some. GIL held. */
void signal_handlers_run_last(bool (*trip)(void), int *status);

#endif
