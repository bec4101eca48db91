/* The signals that the supervisor takes, and what each does. They are blocked and read from a signalfd(2), which tells
 * who has sent them; workers are started without blocked signals.
 *
 * Open this file to give a signal a meaning. The rules are those of a single process (process/signals.h).
 *
 * Threads: the main thread.
 */
#ifndef WSGI_FCGI_SUPERVISOR_TAKE_SIGNALS_H
#define WSGI_FCGI_SUPERVISOR_TAKE_SIGNALS_H

#include "supervisor/supervisor.h"

/* Blocks the signals. From now on they wait for take_signals_start. Those that the parent process ignores stay ignored,
 * except SIGTERM and SIGCHLD. */
void take_signals_block(void);

/* Watches them in the loop. Returns 0, or -1 with errno. */
int take_signals_start(struct supervisor *s);

/* Part of supervisor_look: begins the stop when --stop-delay is over. */
void take_signals_look(struct supervisor *s, uint64_t now);

#endif
