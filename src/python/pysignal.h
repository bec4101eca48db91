/* Signal handlers that the application installed with Python's signal module: they run in the main thread, also while
 * that is the watch of the scheduler.
 *
 * Threads: the main thread.
 */
#ifndef WSGI_FCGI_PYTHON_PYSIGNAL_H
#define WSGI_FCGI_PYTHON_PYSIGNAL_H

#include <stdbool.h>

/* Lets Python write a byte to `fd` (non-blocking) when a signal arrives that the application handles. Not in a
 * child that the application forks. GIL held. */
void pysignal_set_wakeup(int fd);

/* Whether the application, and not Python itself, handles the signal. GIL held. */
bool pysignal_is_handled(int number);

/* Runs the handlers of the signals that arrived. An exception of a handler is printed; SystemExit, or KeyboardInterrupt,
 * makes the function return true: the application wants the process to end. Without the GIL. */
bool pysignal_run(void);

/* Let go of, and take, the GIL of the main thread for a longer time. */
void pysignal_release_gil(void);
void pysignal_acquire_gil(void);

#endif
