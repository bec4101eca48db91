/* The stack of a thread that runs: it is asked by a signal to read its own, and so stands still meanwhile.
 *
 * A thread that sleeps must not be asked: the signal would end system calls early that do not go on by themselves, such as
 * sleeps in C and the time-outs of sqlite3.
 *
 * Open it when computing calls have no stack in the log, or a signal meets the application.
 *
 * Threads: one at a time.
 */
#ifndef WSGI_FCGI_PYTHON_STACK_ASK_H
#define WSGI_FCGI_PYTHON_STACK_ASK_H

#include "python/stack.h"
#include "python/stack_layout.h"

#include <stdbool.h>

/* Finds a real-time signal that nobody uses; 0: there is none. */
int stack_ask_find_signal(void);

/* Takes a real-time signal that nobody uses. The application sees nothing of that: to Python's signal module it is as
 * before, and if the application installs a handler of its own, that stays, and nothing is asked any more. A process that
 * it forks has the handler, which does nothing there; one that it executes has not. Returns false when there is none. */
bool stack_ask_init(const struct stack_layout *layout);

enum stack_answer {
    STACK_ANSWERED,
    STACK_TORN,    /* the thread was just changing its stack: ask again */
    STACK_BLOCKED, /* it blocks the signal */
    STACK_SILENT,  /* it has not answered in time */
    STACK_TAKEN    /* the signal is the application's by now, or there was none */
};

/* Asks the thread, and waits for up to STACK_ASK_NS, or STACK_ASK_MAX_NS while it gets no processor. *found: how many
 * frames. `strict`: stacks that are `detached` (struct stack_walk) are torn. */
enum { STACK_ASK_NS = 50000000, STACK_ASK_MAX_NS = 1000000000 };
enum stack_answer stack_ask(int tid, const void *state, bool strict, char out[static STACK_SIZE], unsigned *found);

#endif
