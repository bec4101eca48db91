/* The life of workers: their start, what they tell, their end.
 *
 * Threads: the main thread.
 */
#ifndef WSGI_FCGI_SUPERVISOR_WORKERS_H
#define WSGI_FCGI_SUPERVISOR_WORKERS_H

#include "supervisor/supervisor.h"

/* One of this number that serves, or is to serve, other than `but`. NULL: there is none. */
struct worker *workers_find_live(struct supervisor *s, unsigned number, const struct worker *but);

/* Starts a worker of this number. When it cannot be made, that is logged and counts as one that has failed. */
void workers_start(struct supervisor *s, unsigned number, uint64_t now);

/* The message to fork a worker, with its end of the pair, is on its way to the zygote. */
void workers_given(struct worker *w, struct zygote *z);

/* The zygote has forked the worker of this slot, which is process `pid`; or it could not, and `pid` is 0 and `error` an
 * errno. */
void workers_forked(struct zygote *z, unsigned slot, pid_t pid, int error, uint64_t now);

/* A worker has ended with `status` of wait(2), as its zygote tells. */
void workers_ended(struct supervisor *s, pid_t pid, int status);

/* The zygote that a worker waits for, process `pid`, has ended with this status before it had loaded the
 * application. */
void workers_lost(struct worker *w, pid_t pid, int status);

/* "was killed by SIGKILL", or the like, of a status of wait(2). Returns `out`. */
enum { WORKERS_STATUS_SIZE = 64 };
char *workers_describe_status(int status, char out[static WORKERS_STATUS_SIZE]);

/* Sends a signal, if the process is known. */
void workers_signal(const struct worker *w, int number);

/* Tells a worker that serves to retire. */
void workers_retire(struct worker *w, uint64_t now);

/* Tells a worker to stop, whatever it is doing. */
void workers_stop(struct worker *w, uint64_t now);

/* Another one is to take the place of this worker. One that hangs replaces another wish. */
void workers_wish(struct worker *w, enum worker_wish wish, uint64_t now);

/* Whether the wish is because calls hang in it, so that it serves little or nothing. */
bool workers_hangs(const struct worker *w);

/* The same as workers_wish when it serves and has more memory than --max-memory, which is not 0. */
void workers_check_memory(struct worker *w, uint64_t now);

/* Takes what the worker says from now on. */
void workers_watch(struct worker *w);

/* Kills a worker, with a line that says why, and what it was running. */
void workers_kill(struct worker *w, uint64_t now);

/* Reaps all processes that have ended: workers, and those that were left to this process because their parents are
 * gone. */
void workers_reap(struct supervisor *s);

/* If the queue for connections has some, wakes a worker that serves. Whoever was woken for them may have died. */
void workers_wake_one(struct supervisor *s);

#endif
