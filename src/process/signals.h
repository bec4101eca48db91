/* The signals that end the server, and the pipe that wakes the main thread.
 *
 * Handlers are installed, not blocked: a blocked signal would be inherited by every program that the application runs.
 * Threads: the main thread.
 */
#ifndef WSGI_FCGI_PROCESS_SIGNALS_H
#define WSGI_FCGI_PROCESS_SIGNALS_H

#include "net/listener.h"

#include <stdbool.h>

/* Makes the pipe. Returns 0, or -1 with errno. */
int signals_open(void);

/* Its ends: bytes written to the one make the other readable. Both are non-blocking. */
int signals_wake_fd(void);
int signals_read_fd(void);

/* From now on SIGTERM and SIGINT, where they would end the process by default, first remove the socket files
 * (signals_set_sockets) and leave a line; the status is 128 + their number. Until signals_install. May be called again. */
void signals_begin(void);

/* Python is about to start, and looks at what there is: SIGINT is to raise KeyboardInterrupt from then on, and SIGTERM to
 * look as it does under python3 (signal.getsignal). Call signals_begin when it has started. */
void signals_begin_python(void);

/* Takes SIGTERM and SIGINT from now on. The first one that comes from outside, or from the application itself
 * (raise(3), kill(2)), sets signals_stop; another one from outside removes the socket files (signals_set_sockets) and ends
 * the process at once. What `chain_term` and `chain_int` say was installed by the application before is not called until
 * signals_chain. In children that the application forks the signals do what they did before. */
void signals_install(bool chain_term, bool chain_int);

/* Whose socket files go at a second signal. The set must stay where it is until it is called again, and may
 * grow meanwhile; NULL: none. */
void signals_set_sockets(const struct listener_set *listeners);

/* Removes the socket files, where signals_set_sockets has named some. Any thread, and within signal handlers. */
void signals_unlink_sockets(void);

/* Calls what the application had installed (in C; Python's own then takes note of the signal) for those of the two
 * signals that have come since the last call. Returns whether there was any. */
bool signals_chain(void);

/* The number of the signal that asked for an end, or 0. */
int signals_stop(void);

enum {
    SIGNALS_PYTHON = 1,      /* a handler in Python, or what is pending, is to be called */
    SIGNALS_PYTHON_TERM = 2, /* for SIGTERM, */
    SIGNALS_PYTHON_INT = 4   /* for SIGINT: as none of them reaches Python by itself, something has called
                                PyErr_SetInterruptEx (_thread.interrupt_main) */
};

/* Empties the pipe. Returns what was written to it for Python: the number of a signal, or another one (PENDING_BYTE of
 * python/pending.h); all others write zeros. */
unsigned signals_drain(void);

/* Ends the process with this status after so many seconds, whatever it is doing then: on a thread, which the first call
 * starts. No signal and no timer is used that an application may want for itself. A later call takes the place of an
 * earlier one. */
void signals_exit_after(unsigned seconds, int status);

#endif
