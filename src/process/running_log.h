/* The calls that run in a process, with their Python stacks, as lines of the log: those that are at the same place
 * together, with how many there are.
 *
 * Open it to change what these lines say.
 *
 * Threads: one at a time.
 */
#ifndef WSGI_FCGI_PROCESS_RUNNING_LOG_H
#define WSGI_FCGI_PROCESS_RUNNING_LOG_H

#include "ipc/inspect.h"

#include <stdint.h>

/* Logs `line` with what follows from the answer behind it: how many calls run, and since when; then each stack. As one
 * block as long as that has room for them (LOG_BLOCK_MAX), else as several. `now`: clock_ns. */
void running_log(const char *line, const struct inspect_answer *answer, uint64_t now);

#endif
