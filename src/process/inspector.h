/* The thread that answers what runs in this process (ipc/inspect.h), and logs it. It reads the stacks of all calls,
 * which may take milliseconds, so neither the owner of the loop nor anybody who needs the GIL does it. It takes no lock
 * of Python's, sends no signal to a thread that sleeps, and nobody waits for it.
 *
 * Who asks again and again gets the same answer for a tenth of a second, or for ten times as long as it took to find
 * out: so nobody can have it take more than a tenth of a processor.
 *
 * Open it when an answer lacks something, or comes too late.
 *
 * Threads: inspector_prepare, inspector_start and inspector_stop the main thread; inspector_log any, without waiting.
 */
#ifndef WSGI_FCGI_PROCESS_INSPECTOR_H
#define WSGI_FCGI_PROCESS_INSPECTOR_H

struct inspect;
struct lane;
struct options;
struct scoreboard;

/* Finds out how stacks are read; if one of the options needs them and some cannot be read, a warning says why. Once in
 * a process that serves, or with --check. GIL held. */
void inspector_prepare(const struct options *o);

/* Starts the thread, which answers in a slot of this memory. The same slot of `board` has the requests of calls, for
 * lines where the system does not let them be read (base/own_memory.h): then it does not answer. Only in a process that serves, since the application may
 * fork before. Returns 0; or -1 with errno. */
int inspector_start(struct inspect *inspect, const struct scoreboard *board, unsigned slot, struct lane *lane);

/* Ends it; what was to be logged before is. The lane has ended, but is there. */
void inspector_stop(void);

/* Has a block logged of all that runs: `line`, which is copied, and then what follows from the stacks (running_log.h).
 * When one for the same reason waits already, there is no other. Without the thread, `line` alone. */
enum inspector_reason { INSPECTOR_SIGNAL, INSPECTOR_STUCK, INSPECTOR_REASON_COUNT };
void inspector_log(enum inspector_reason reason, const char *line);

#endif
