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

/* What the functions below call, on the main thread with the GIL. */
struct signal_handlers_report {
    /* The application wants the process to end: it has raised SystemExit, whose status this is, or
     * KeyboardInterrupt. */
    void (*end)(int status, void *arg);
    /* Whether it has simulated a SIGINT (_thread.interrupt_main), and this was not asked since: then its
     * KeyboardInterrupt is only logged. */
    bool (*interrupted)(void *arg);
    /* Whether a SIGTERM was simulated: then handlers are left for the end. Asked by signal_handlers_run. */
    bool (*waits)(void *arg);
    void *arg;
};

/* From now on; copied. Main thread. */
void signal_handlers_report(const struct signal_handlers_report *report);

/* Runs the handlers of the signals that arrived, and the functions that are pending, unless they wait. SystemExit and
 * KeyboardInterrupt are reported as above, other exceptions are printed. A handler that ends the process in another way
 * counts as one that raises SystemExit (python/exit_calls.h). `thread`: what the main thread is to the scheduler, if it
 * is lent to it and runs a job; or NULL. Without the GIL, unless such a thread has kept it. */
struct sched_thread;
void signal_handlers_run(struct sched_thread *thread);

/* The main thread is about to begin a call: the same for signals that have arrived by now, lest their exceptions fail a
 * call that is not concerned. After signal_handlers_stay, about 0.1 us if there are none. GIL held. */
void signal_handlers_run_due(void);

/* Such a call has ended. Where asyncio is loaded, Python is told to write to our descriptor again: a loop that handles
 * signals takes its place by another one, and puts none back. One that is still in use stays. GIL held; no exception is
 * left. */
void signal_handlers_call_ends(void);

/* The main thread is to run calls. From now on Python shows a handler of SIGINT that does what its own does, unless the
 * application has set one: asyncio.run() would put another in place of Python's own. `interrupted` is called, on the
 * main thread with the GIL, when a true SIGINT has reached it after all, since a call has set a handler and then this
 * one again. Before the server takes SIGINT back (signals_install). GIL held. */
void signal_handlers_stay(void (*interrupted)(void));

/* As signal_handlers_run when serving is over and the process is about to end, again and again while `trip` returns
 * true: it lets signals arrive, and says whether there were any. Nothing is reported: a status that the application
 * wants goes to *status when that is 0. GIL held. */
void signal_handlers_run_last(bool (*trip)(void), int *status);

#endif
