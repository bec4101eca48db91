/* Handles the signals that end the server, and has the pipe that wakes the main thread. Open this file to give a signal
 * a meaning.
 *
 * Signals are handled, not blocked: programs that the application runs would inherit a blocked signal.
 *
 * Threads: the main thread. The GIL is not needed, and may be held, except where it is mentioned.
 */
#ifndef WSGI_FCGI_PROCESS_SIGNALS_H
#define WSGI_FCGI_PROCESS_SIGNALS_H

#include <signal.h>
#include <stdbool.h>

/* Makes the pipe. Returns 0, or -1 with errno. */
int signals_open(void);

/* The two ends of the pipe: bytes written to signals_wake_fd make signals_read_fd readable. Both are non-blocking. */
int signals_wake_fd(void);
int signals_read_fd(void);

/* Takes the signals. Call it as soon as it is known that the program is to serve.
 *
 * Takes SIGTERM, SIGINT and SIGQUIT, which end the server; and SIGHUP, SIGUSR1 and SIGUSR2, which mean nothing, and for
 * which signals_drain logs what to do instead. But the SIGHUP of a terminal that is gone ends the server as well. For
 * now these signals end it at once. In children that the application forks, the signals do what they did before.
 *
 * No signal that the parent process has blocked stays blocked. SIGPIPE is ignored and SIGCHLD is not, whatever they
 * were. Of the signals above, those that the parent had ignored stay ignored, except SIGTERM.
 *
 * `by_process_1`: process 1 passes on the signals that it gets (process/orphans.h). A signal that comes both directly
 * and in this way counts as one, not two. */
void signals_start(bool by_process_1);

/* The application is about to be loaded. From now on the first signal that ends the server interrupts the loading
 * (python/load_interrupt.h). If loading does not end within 5 seconds, the process does, with status 128 + number; a
 * second signal ends it at once in the same way. If loading cannot be interrupted, or the time not be limited, the
 * first signal ends the process at once. Python shows the signals as free, and handlers that the application sets
 * replace the server's. GIL held. */
void signals_load_begins(void);

/* The application is loaded: from now on a signal that ends the server sets signals_stop. Or it could not be loaded
 * (`loaded` is false): these signals end the process at once. */
void signals_load_ends(bool loaded);

/* Takes back SIGTERM and SIGINT from the application, and those of the other signals that it leaves to their defaults.
 *
 * From now on the first signal that ends the server, sent from outside or by the application itself (raise(3),
 * kill(2)), sets signals_stop. Another one from outside removes the socket files (process/sockets.h) and ends the
 * process at once; but if it comes within 200 ms of the first one from outside, the two count as one, and SIGHUP never
 * counts as another one.
 *
 * `chain_term`, `chain_int`: whether the application had installed a handler for that signal. It is not called until
 * signals_chain. SIGINT stays ignored where it is. */
void signals_install(bool chain_term, bool chain_int);

/* Calls the handlers that the application had installed, for those of the two signals that have come since the last
 * call. (These are handlers in C; Python's own then notes the signal.) Returns whether it called any. */
bool signals_chain(void);

/* The number of the signal that asked the server to end, or 0. */
int signals_stop(void);

enum {
    SIGNALS_PYTHON = 1,      /* a Python handler or a pending call is to be run */
    SIGNALS_PYTHON_TERM = 2, /* the same for SIGTERM... */
    SIGNALS_PYTHON_INT = 4   /* ...and SIGINT: as neither reaches Python by itself, something has called
                                PyErr_SetInterruptEx (_thread.interrupt_main) */
};

/* Empties the pipe, and logs which signals have come that mean nothing. Returns what the bytes in it ask for, a set of
 * SIGNALS_*: Python writes the numbers of signals, and python/pending_calls.h writes PENDING_CALLS_BYTE. Everything
 * else that writes to the pipe writes zeros. */
unsigned signals_drain(void);

/* Fills *set with all signals except those that the server takes, for threads that must leave the others alone. Any
 * thread. */
void signals_fill_others(sigset_t *set);

#endif
