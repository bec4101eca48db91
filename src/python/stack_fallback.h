/* The stack of a thread that sleeps by Python's own faulthandler, where the frames of this Python are not known, or the system
 * does not let them be read. A signal has the thread write its stack itself, which has its price: faulthandler follows any
 * pointer, so only a thread that sleeps may be asked; and a sleep in C ends early by it. So this is for calls that nobody waits
 * for any more.
 *
 * Open it when stacks in the log lack something, and a warning at the start has said that they come from faulthandler.
 *
 * Threads: one at a time.
 */
#ifndef WSGI_FCGI_PYTHON_STACK_FALLBACK_H
#define WSGI_FCGI_PYTHON_STACK_FALLBACK_H

#include "python/stack.h"

#include <stdbool.h>

/* Registers with faulthandler a real-time signal that nobody uses, and memory to write to. Main thread, GIL held, no
 * exception pending; none is on return. Returns false when that cannot be had. */
bool stack_fallback_init(void);

/* Writes the stack of a thread that sleeps in the kernel to `out`, as stack_take does; names have their escapes, and there
 * are 100 frames at most. Returns how many frames there are, 0 when the thread gives none. GIL not needed. */
unsigned stack_fallback_take(int tid, char out[static STACK_SIZE]);

#endif
