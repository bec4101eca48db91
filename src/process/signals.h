/* Handles the signals that end the server, and has the pipe that wakes the watch. Open this file to give a signal a
 * meaning.
 *
 * Signals are handled, not blocked: programs that the application runs would inherit a blocked signal.
 *
 * Threads: the main thread, except where it is mentioned. The GIL is not needed, and may be held, except likewise.
 */
#ifndef WSGI_FCGI_PROCESS_SIGNALS_H
#define WSGI_FCGI_PROCESS_SIGNALS_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

/* Makes the pipe. Returns 0, or -1 with errno. */
int signals_open(void);

/* The two ends of the pipe: bytes written to signals_wake_fd make signals_read_fd readable. Both are non-blocking. */
int signals_wake_fd(void);
int signals_read_fd(void);

/* Writes a zero byte, so that the watch looks what there is. Any thread. */
void signals_wake(void);

/* Takes the signals. Call it as soon as it is known that the program is to serve.
 *
 * Takes SIGTERM, SIGINT and SIGQUIT, which end the server; SIGUSR1, for which the log file is opened anew if there is
 * one (base/log_file.h); SIGUSR2, for which the stacks of all calls are logged; and SIGHUP, which means nothing, as
 * SIGUSR1 does without such a file, and SIGUSR2 in the zygote: signals_drain logs what to do instead. But the SIGHUP of
 * a terminal that is gone ends the server as well. For now the signals that end it do so at once. In children that the
 * application forks, the signals do what they did before.
 *
 * No signal that the parent process has blocked stays blocked. SIGPIPE is ignored and SIGCHLD is not, whatever they
 * were. Of the signals above, those that the parent had ignored stay ignored, except SIGTERM.
 *
 * `by_process_1`: process 1 passes on the signals that it gets (process/orphans.h). A signal that comes both directly
 * and in this way counts as one, not two.
 *
 * `supervisor`: the process that has started this one as a worker, or 0. A worker takes SIGTTIN and SIGTTOU as well,
 * and for all signals that mean nothing here the line says to send them to that process. */
void signals_start(bool by_process_1, pid_t supervisor);

/* The application is about to be loaded. From now on the first signal that ends the server interrupts the loading
 * (python/load_interrupt.h). If loading does not end within 5 seconds, the process does, with status 128 + number; a
 * second signal ends it at once in the same way. If loading cannot be interrupted, or the time not be limited, the
 * first signal ends the process at once. Python shows the signals as free, and handlers that the application sets
 * replace the server's. GIL held. */
void signals_load_begins(void);

/* The application is loaded: from now on a signal that ends the server sets signals_stop. Or it could not be loaded
 * (`loaded` is false): these signals end the process at once. */
void signals_load_ends(bool loaded);

/* The application is loaded, and its hooks for the start (python/module.h) are about to run: until signals_load_ends, a
 * signal that ends the server interrupts them as it does the loading, also one that has come in between. GIL held. */
void signals_load_resumes(void);

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

/* Takes the signals again whose handlers calls in the main thread have set to the default, as they found it: there they
 * can do so, and the next one would end the process at once. The watch. */
void signals_take_back(void);

/* A SIGINT has come that the application had handled: takes it back, and does as if the server had got it. Any
 * thread. */
void signals_interrupted(void);

/* The supervisor has got this signal, which ends the server, and has told so: as if it had come here now. But it never
 * counts as a second one, since a terminal sends the same signal to all processes. Another number than those of the
 * signals that end the server means SIGTERM. Any thread. */
void signals_end_by(int number);

/* This process is the zygote, which loads the application and does not serve: from now on signals that end a server do
 * nothing here but for a line, since they are for the supervisor. After signals_install. */
void signals_leave_to_supervisor(void);

/* This process was forked by the zygote to serve: no signal has come yet, and signals_open is to be called again. The
 * server's signals are blocked meanwhile. */
void signals_begin_forked(void);

/* Calls the handlers that the application had installed, for those of the two signals that have come since the last
 * call. (These are handlers in C; Python's own then notes the signal.) Returns whether it called any. */
bool signals_chain(void);

/* The number of the signal that asked the server to end, or 0. Any thread. */
int signals_stop(void);

enum {
    SIGNALS_PYTHON = 1,      /* a Python handler or a pending call is to be run */
    SIGNALS_PYTHON_TERM = 2, /* the same for SIGTERM... */
    SIGNALS_PYTHON_INT = 4,  /* ...and SIGINT: as neither reaches Python by itself, something has called
                                PyErr_SetInterruptEx (_thread.interrupt_main) */
    SIGNALS_LOG_FILE = 8,    /* the log file is to be opened anew */
    SIGNALS_STACKS = 16      /* the stacks of all calls are to be logged */
};

/* Empties the pipe, and logs which signals have come that mean nothing. Returns what these and the bytes in it ask for,
 * a set of SIGNALS_*: Python writes the numbers of signals, and python/pending_calls.h writes PENDING_CALLS_BYTE.
 * Everything else that writes to the pipe writes zeros. Not by two threads at a time (process/main_thread.h). */
unsigned signals_drain(void);

/* Fills *set with all signals except those that the server takes and those of faults, for threads that must leave the
 * others alone. Any thread. */
void signals_fill_others(sigset_t *set);

#endif
