/* What the supervisor counts (ipc/metrics.h): which workers were started, why they have ended, and reloads. It also
 * keeps what they have counted themselves when they have ended, however that was.
 *
 * Threads: the main thread.
 */
#ifndef WSGI_FCGI_SUPERVISOR_COUNT_H
#define WSGI_FCGI_SUPERVISOR_COUNT_H

#include "supervisor/supervisor.h"

/* Takes over the memory of the program before this one, or makes it. Returns 0, or a sysexits status after printing. */
int count_open(struct supervisor *s);
void count_close(struct supervisor *s);

/* A slot is about to be used by a worker, or is not used any more. */
void count_slot_begins(const struct worker *w);
void count_slot_ends(const struct worker *w);

/* Its process was started. */
void count_started(const struct worker *w);

/* It has ended. `expected`: it was to; `status`: as wait(2) gives it. */
void count_ended(const struct worker *w, bool expected, int status);

/* A reload is complete, or has failed. */
void count_reload(struct supervisor *s, bool failed);

#endif
