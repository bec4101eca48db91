/* The signals that end the server, and the pipe that wakes the main thread.
 *
 * Handlers are installed, not blocked: a blocked signal would be inherited by every program that the application runs.
 * Threads: the main thread. Where the GIL is not mentioned it is not needed, and may be held.
 */
#ifndef WSGI_FCGI_PROCESS_SIGNALS_H
#define WSGI_FCGI_PROCESS_SIGNALS_H

#include <signal.h>
#include <stdbool.h>

/* Makes the pipe. Returns 0, or -1 with errno. */
int signals_open(void);

/* Its ends: bytes written to the one make the other readable. Both are non-blocking. */
int signals_wake_fd(void);
int signals_read_fd(void);

/* To begin with, as soon as it is known that the program is to serve.
 *
 * Takes SIGTERM, SIGINT and SIGQUIT, which end the server; and SIGHUP, SIGUSR1 and SIGUSR2, which mean nothing, of which
 * signals_drain says what to do instead, but that SIGHUP of a terminal that is gone ends the server as well. For now they
 * end it at once. In children that the application forks the signals do what they did before.
 *
 * Of what the parent process has left behind no signal stays blocked; SIGPIPE is ignored and SIGCHLD is not, whatever they
 * were; of the signals above those stay ignored that are, but for SIGTERM.
 *
 * `by_process_1`: that passes on what it gets (process/orphans.h); a signal that comes directly, and again in this way, is one
 * and not a second one. */
void signals_start(bool by_process_1);

/* From now on those that end the server interrupt the application while it is loaded (python/load_interrupt.h), the first one;
 * should that not end within 5 seconds, the process does, with the status 128 + number. So it does at the second one, at
 * once. Python shows the signals as free, and handlers that the application sets take their place. GIL held. */
void signals_load_begins(void);

/* The application is loaded: what ends the server sets signals_stop from now on. Or it is not, and they end the process at
 * once. */
void signals_load_ends(bool loaded);

/* Takes back from the application SIGTERM and SIGINT, and of the others those that it leaves to their defaults. The first one
 * that ends the server and comes from outside, or from the application itself (raise(3), kill(2)), sets signals_stop;
 * another one from outside removes the socket files (process/sockets.h) and ends the process at once, unless it comes
 * within 200 ms of the first one from outside: the two are one then. What `chain_term` and `chain_int` say was installed by
 * the application before is not called until signals_chain. SIGINT stays ignored where it is. */
void signals_install(bool chain_term, bool chain_int);

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

/* Empties the pipe, and logs which signals have come that mean nothing. Returns what was written to it for Python: the
 * number of a signal, or another one (PENDING_CALLS_BYTE of python/pending_calls.h); all others write zeros. */
unsigned signals_drain(void);

/* Fills *set with all signals but those that are taken: for threads that are to leave the others alone. Any thread. */
void signals_fill_others(sigset_t *set);

#endif
