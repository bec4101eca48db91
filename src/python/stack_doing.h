/* What a thread of this process is doing, as the system tells it.
 *
 * Open it when the log says that a call sleeps, computes or waits for the interpreter lock, and it does not; or when an
 * interrupt leaves a lock locked that its thread waited for.
 *
 * Threads: any that may open a file, GIL not needed, except where it is said.
 */
#ifndef WSGI_FCGI_PYTHON_STACK_DOING_H
#define WSGI_FCGI_PYTHON_STACK_DOING_H

#include "python/stack.h"

#include <stdbool.h>
#include <stdint.h>

/* Learns where threads wait for the interpreter lock, by having one wait for it. Returns false when that cannot be told
 * (no memory, or the system does not let a process see what its threads wait for): then a thread that waits for it
 * sleeps, as far as is known. Main thread, GIL held; it is let go of for a moment. */
bool stack_doing_init(void);

/* Whether waits for the lock can be told from others: the system may stop to allow it. */
bool stack_doing_knows_lock(void);

enum stack_state stack_doing(int tid);

/* The same. *locks: it sleeps where threads wait for locks of all sorts (futex(2)), but not for the interpreter's; or it may
 * do so, as far as can be told now (no file can be opened). False when these can never be told apart. */
enum stack_state stack_doing_more(int tid, bool *locks);

/* How long the thread has been on a processor, in nanoseconds. When it is the same as before, the thread has not run in
 * between. Returns false when there is no such thread. */
bool stack_doing_time(int tid, uint64_t *ns);

/* Whether the thread blocks the signal. */
bool stack_doing_blocks(int tid, int number);

#endif
