/* How a signal that ends the start interrupts the code of Python that loads the application.
 *
 * Open it when a signal does not end a start as it should.
 *
 * A handler of Python's raises an exception in the main thread, and wakes that from what it waits for: so "finally" and
 * "with" still do their part. But the application may ask who handles a signal (signal.getsignal), and should find what it
 * finds in python3. So the handler that raises is that of another signal, which Linux has and never sends.
 */
#ifndef WSGI_FCGI_PYTHON_LOAD_INTERRUPT_H
#define WSGI_FCGI_PYTHON_LOAD_INTERRUPT_H

#include <signal.h>
#include <stdbool.h>

enum { LOAD_INTERRUPT_CARRIER = SIGSTKFLT };

/* Lets Python show the signal as one that nobody handles: signal.getsignal gives SIG_DFL, or for SIGINT default_int_handler.
 * A handler that the caller had set is gone then. Main thread, GIL held; no exception is left. */
void load_interrupt_show_free(int number);

/* From now on, until load_interrupt_close, a signal interrupts. Returns whether that works; when not, it was logged. Main
 * thread, GIL held. */
bool load_interrupt_open(void);

/* A signal of this number is to end the start: the main thread raises KeyboardInterrupt for SIGINT, SystemExit for others.
 * Does nothing unless opened. Any thread, async-signal-safe. */
void load_interrupt_raise(int number);

/* Nothing is raised any more. Returns the number of the first signal that has interrupted, or 0. May be called again. Main
 * thread, GIL held. */
int load_interrupt_close(void);

/* That number, at any time. */
int load_interrupt_number(void);

#endif
