/* What the supervisor tells workers (ipc/control.h). Nobody is waited for: what a socket does not take now is sent when
 * supervisor_look comes again.
 *
 * Threads: the main thread.
 */
#ifndef WSGI_FCGI_SUPERVISOR_TELL_H
#define WSGI_FCGI_SUPERVISOR_TELL_H

#include "supervisor/supervisor.h"

/* Sends everything that the worker is to know by now and was not told yet. A worker that takes no message for ten
 * seconds is to be killed. */
void tell_worker(struct worker *w, uint64_t now);

#endif
