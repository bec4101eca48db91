/* Where a call is, of another thread, and whether an exception that is set for it now would be raised where code of Python
 * expects one least.
 *
 * Python raises it where a thread may give way to others: at the beginning of a function, where a loop jumps back, and when a
 * function in C has returned. A thread that computes may be anywhere by then, so its stack has to stand still first. A thread
 * that waits in C raises it when that returns. If it waits for a lock, it has got the lock by then, and nobody is there yet to
 * release it: "with" begins behind that, and "try" on the next line. The lock would stay locked for ever. So such a thread is
 * left alone until it has passed; and so is one that gives way behind a function in C, which may have been acquire(). It gives
 * way somewhere else soon.
 *
 * Open it when an interrupt leaves a lock locked, or does not come although its thread waits for no lock.
 *
 * Threads: the one that interrupts, GIL held, unless a function says otherwise.
 */
#ifndef WSGI_FCGI_PYTHON_INTERRUPT_AIM_H
#define WSGI_FCGI_PYTHON_INTERRUPT_AIM_H

#include <Python.h>
#include <stdbool.h>
#include <stdint.h>

/* Finds the instructions of this version. Once, before the others and behind stack_init; main thread, GIL held. */
void interrupt_aim_init(void);

/* A number that is the same as long as the innermost frames are at the same instructions; never 0. */
uint64_t interrupt_aim_mark(PyThreadState *state);

enum interrupt_place {
    INTERRUPT_GOOD, /* as far as can be told */
    INTERRUPT_LOCK, /* it waits for a lock. Not in threading.Condition.wait, on which those of events, queues and futures rest,
                       and which expects exceptions */
    INTERRUPT_BAD /* it will soon be somewhere else */
};

/* Judges the place of the thread with this number in the system. */
enum interrupt_place interrupt_aim_judge(PyThreadState *state, int tid);

#endif
