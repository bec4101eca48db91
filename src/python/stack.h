/* The Python stack of another thread, read without the GIL and without the thread's help: which line a call is at that hangs,
 * computes, or keeps the interpreter lock.
 *
 * Every word is copied by base/own_memory.h from this process, so that what changes meanwhile, or is gone, gives an error
 * and no crash, and everything that is found is checked for being what it should be. What cannot be told is left out, and
 * never made up: a thread that moves is asked again.
 *
 * Open it when a new version of Python has other structures, or a stack in the log is wrong or missing.
 *
 * Threads: any that may wait some milliseconds, one at a time; never the owner of a loop. GIL not needed, except where it is
 * said.
 */
#ifndef WSGI_FCGI_PYTHON_STACK_H
#define WSGI_FCGI_PYTHON_STACK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    /* Bytes that the text of a stack takes at most, with its end. When not all frames have room, the innermost have, and a
     * line says how many are left out. */
    STACK_SIZE = 16384,
    STACK_REASON_SIZE = 300
};

/* What the thread is doing. */
enum stack_state {
    STACK_UNKNOWN,
    STACK_COMPUTES, /* it is on a processor, or ready for one */
    STACK_SLEEPS,   /* in the kernel, or waits for something other than the interpreter lock */
    STACK_WAITS,    /* for the interpreter lock */
    STACK_GONE      /* there is no such thread, or it runs no Python */
};

/* Finds out whether and how stacks can be read in this process, and prepares for it: learns where threads wait for the
 * lock, and takes the signal by which a computing thread is asked (a real-time one that nobody uses). Call it once in each
 * process that serves, on the main thread, GIL held, before calls run. Returns 0; or -1 with the reason in `why`, for the
 * log: this version of Python is not known, the system does not allow it... Then stack_take tells what the thread does, and
 * has the stack of one that sleeps, by faulthandler (stack_fallback.h); or, where only the signal is missing, that of threads
 * that stand still. */
int stack_init(char why[static STACK_REASON_SIZE]);

/* Writes the stack of a thread to `out`, as Python shows one: the innermost frame last, each as
 *       File "/srv/app/views.py", line 12, in report
 * without source lines, names in UTF-8 and escaped where they have control characters, every line with its "\n". `tid`: of
 * the thread in the system; `state`: its PyThreadState, which may end meanwhile, or NULL. Frames of the server's own have no
 * Python and do not show. Returns how many frames were found; 0 with what to say instead in `out` ("its stack cannot be told: ...").
 * *doing is what the thread does, in any case. */
unsigned stack_take(int tid, const void *state, char out[static STACK_SIZE], enum stack_state *doing);

/* Has each stack that was found counted there from now on, which another process may read; NULL: nowhere. Before
 * threads take stacks. */
void stack_count(_Atomic uint64_t *taken);

/* "is computing", "waits for the interpreter lock"... */
const char *stack_state_text(enum stack_state doing);

#endif
