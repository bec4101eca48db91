/* Interrupting calls whose time is over (--request-timeout-action interrupt): wsgi_fcgi.RequestTimeout is raised in them, again
 * and again until they end, but never in the next one. And finding out whether the interpreter lock can still be got, and having
 * those that compute let go of it sooner.
 *
 * Open it when an interrupt comes too late, too often, or where it should not (python/interrupt_aim.h).
 *
 * All need the GIL, for which they may have to wait for as long as somebody keeps it: so they have a thread of their own. It
 * has a thread state only while it has the GIL, or waits for it.
 *
 * That no later call is hit: the thread of a call says with the GIL held that the call begins and ends, and only with the GIL
 * held is an exception set, for a call that has begun and not ended. At the end it takes back what has not been raised yet,
 * before any other code of Python can run.
 *
 * What an interrupt can break is said in the man page.
 *
 * Threads: as each function says.
 */
#ifndef WSGI_FCGI_PYTHON_INTERRUPT_H
#define WSGI_FCGI_PYTHON_INTERRUPT_H

#include <stdbool.h>
#include <stdint.h>

struct _object; /* PyObject */
struct request;

/* Nanoseconds for which a call is interrupted, from when its time was over. */
#define INTERRUPT_GRACE_NS UINT64_C(10000000000)

/* Whether calls are interrupted; the same from the first call on. */
extern bool interrupt_is_on;

/* wsgi_fcgi.RequestTimeout, a BaseException, which is made once. GIL held. New reference, or NULL with an exception. */
struct _object *interrupt_type(void);

/* Starts the thread, in a process that serves, before its first call and behind stack_init. It sleeps until there is
 * something to do, and blocks all signals. `interrupts`: calls are to be interrupted; otherwise it only probes. Main thread, with or without the GIL. Returns
 * 0; or -1 with errno. */
int interrupt_start(bool interrupts);

/* Ends it, unless it waits for the GIL in vain: then it is left alone. Python ends it, or lets it hang, should it get so far.
 * Before Python ends; main thread, without the GIL. Does nothing when it was not started. */
void interrupt_stop(void);

/* The time of a call is over, of which its request tells (request.overdue): each such call is interrupted until it ends or the
 * grace is over (INTERRUPT_GRACE_NS); then the log says so. No effect without interrupts. Any thread, without waiting. */
void interrupt_begin(void);

/* Asks the thread to take the GIL once, and to let go of it. Any thread, without waiting. */
void interrupt_probe(void);

/* Whether threads that compute are to let others have the GIL sooner than usual (python/switch_interval.h): the thread sees to
 * it as soon as it has the GIL itself. Any thread, without waiting. */
void interrupt_shorten_turns(bool wanted);

/* For how long it has been waiting for the GIL (nanoseconds); 0: it is not. Any thread. */
uint64_t interrupt_waits(void);

/* The call, on its own thread with the GIL held. */

void interrupt_note_begin(struct request *r);
void interrupt_note_end(void);
void interrupt_put_off(void);
void interrupt_admit(void);

/* The thread has begun a call of `r`, and ends it: whatever was set for it is dropped, and nothing is set from then on. No code
 * of the application runs between them and what comes before and behind. */
static inline void interrupt_call_begins(struct request *r) {
    if (interrupt_is_on)
        interrupt_note_begin(r);
}

static inline void interrupt_call_ends(void) {
    if (interrupt_is_on)
        interrupt_note_end();
}

/* Between these two nothing is raised in the call: what is set is dropped, and may be set again afterwards. For code of Python
 * that is the server's, and between parts of the call one of which is not to be cut short for the sake of the other. The first
 * may be called twice. */
static inline void interrupt_hold(void) {
    if (interrupt_is_on)
        interrupt_put_off();
}

static inline void interrupt_let_go(void) {
    if (interrupt_is_on)
        interrupt_admit();
}

/* Whether the pending exception is an interrupt of this call. Only where one is pending. */
bool interrupt_is_pending(void);

#endif
