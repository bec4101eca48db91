/* How a signal that ends the start interrupts the code of Python that loads the application.
 *
 * Python runs handlers of signals in the main thread, wakes that from what it waits for, and ends what runs there when the
 * handler raises an exception: what "finally" and "with" promise is kept. The application may ask whether a signal is free
 * (signal.getsignal), and is to find what it finds in python3. So the handler that raises is that of a number which Linux
 * has, and never sends.
 *
 * Open it when a signal does not end a start as it should.
 */
#ifndef WSGI_FCGI_PYTHON_LOAD_INTERRUPT_H
#define WSGI_FCGI_PYTHON_LOAD_INTERRUPT_H

#include <signal.h>
#include <stdbool.h>

enum { LOAD_INTERRUPT_CARRIER = SIGSTKFLT };

/* Lets Python show the signal as it would had nobody a handler by now: signal.getsignal gives SIG_DFL, or, of SIGINT,
 * default_int_handler. The handler goes that the caller had set. Main thread, GIL held; no exception is left. */
void load_interrupt_show_free(int number);

/* From now on, until load_interrupt_close, a signal interrupts. Returns whether it does: else that was logged. Main thread, GIL
 * held. */
bool load_interrupt_open(void);

/* A signal of this number ends the start: the main thread raises KeyboardInterrupt for SIGINT, and SystemExit for others.
 * Nothing happens unless it is open. Any thread, async-signal-safe. */
void load_interrupt_raise(int number);

/* Nothing is raised any more. Returns the number of the first signal that has interrupted, or 0; so it does when called
 * again. Main thread, GIL held. */
int load_interrupt_close(void);

/* That number, meanwhile. */
int load_interrupt_number(void);

#endif
