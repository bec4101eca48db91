/* What the supervisor tells workers (ipc/control.h). Nobody is waited for: what a socket does not take now is sent when
 * supervisor_look comes again.
 *
 * Threads: the main thread.
 */
#ifndef WSGI_FCGI_SUPERVISOR_TELL_H
#define WSGI_FCGI_SUPERVISOR_TELL_H

#include "ipc/control.h"
#include "supervisor/supervisor.h"

/* CONTROL_REOPEN_LOG with the log file that this process has open. */
extern const struct control_message tell_reopen_log;

/* CONTROL_MEMORY with what is shared (`kind`: enum control_memory). */
struct control_message tell_memory(const struct supervisor *s, unsigned kind);

/* Sends everything that the worker is to know by now and was not told yet. A worker that takes no message for ten
 * seconds is to be killed. */
void tell_worker(struct worker *w, uint64_t now);

#endif
