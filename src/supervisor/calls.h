/* What a worker is running, or was when it died, as the scoreboard has it (ipc/scoreboard.h): calls that have lost the
 * loop, or have begun without it. A call that the worker has made on the thread of the loop is not among them.
 *
 * Threads: the main thread.
 */
#ifndef WSGI_FCGI_SUPERVISOR_CALLS_H
#define WSGI_FCGI_SUPERVISOR_CALLS_H

#include "ipc/scoreboard.h"

enum { CALLS_TEXT_SIZE = 512 };

/* How many calls there are. */
unsigned calls_count(const struct scoreboard *board, unsigned slot);

/* Names the calls that have run longest: "GET /a for 3.2 s, POST /b for 0.1 s and 3 more"; "" if there are none. `now`:
 * clock_ns. Returns `out`. */
char *calls_describe(const struct scoreboard *board, unsigned slot, uint64_t now, char out[static CALLS_TEXT_SIZE]);

/* Forgets them: the slot is for another process. */
void calls_clear(struct scoreboard *board, unsigned slot);

#endif
