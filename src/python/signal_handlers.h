/* What the application has the main thread run: handlers of signals that it installed with Python's signal module, and
 * functions that C code has left to that thread (python/pending_calls.h).
 *
 * Open it when such a handler runs at the wrong time, or its exception has the wrong effect.
 *
 * Threads: the main thread.
 */
#ifndef WSGI_FCGI_PYTHON_SIGNAL_HANDLERS_H
#define WSGI_FCGI_PYTHON_SIGNAL_HANDLERS_H

#include <stdbool.h>

/* Lets Python and python/pending_calls.h write a byte to `fd` (non-blocking): the number of a signal that has arrived
 * and that the application handles, or PENDING_CALLS_BYTE when a function was left to the main thread. Not in a child
 * that the application forks. GIL held. */
void signal_handlers_set_wakeup(int fd);

/* Whether the application, and not Python itself, handles the signal. GIL held. */
bool signal_handlers_has(int number);

/* Runs the handlers of the signals that arrived, and the functions that are pending. Returns whether the application wants
 * the process to end: it has raised SystemExit, whose status goes to *status when that is 0, or KeyboardInterrupt. The
 * latter is only logged when the application has simulated a SIGINT (`interrupted`). Other exceptions are printed. A handler
 * that ends the process in another way counts as one that raises SystemExit (python/exit_calls.h). Without the GIL. */
bool signal_handlers_run(bool interrupted, int *status);

/* The same when serving is over and the process is about to end, again and again while `trip` returns true: it lets
 * signals arrive, and says whether there were any. GIL held. */
void signal_handlers_run_last(bool (*trip)(void), int *status);

#endif
