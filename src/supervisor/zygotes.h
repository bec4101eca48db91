/* The processes that load the application and are forked for workers (--preload, process/zygote.h). There is one for
 * each generation that has workers; a worker whose zygote has not loaded the application yet waits for it.
 *
 * A zygote is started when a worker needs it; when it has died, another one is started at once if it has lived for some
 * time, else when a worker needs it. Its workers are not this process's children, unless it has died: so it tells of
 * their ends.
 *
 * Threads: the main thread.
 */
#ifndef WSGI_FCGI_SUPERVISOR_ZYGOTES_H
#define WSGI_FCGI_SUPERVISOR_ZYGOTES_H

#include "supervisor/supervisor.h"

/* The generation of a worker that is started now: while a reload lasts, that of the reload; otherwise that of the
 * youngest zygote which has loaded the application, as a reload may have failed. Without zygotes that of the
 * supervisor. */
unsigned zygotes_generation(const struct supervisor *s);

/* Does what is to be done now: starts zygotes, tells them something, lets them fork workers that wait, kills them. */
void zygotes_look(struct supervisor *s, uint64_t now);

/* A process has ended with `status` of wait(2). Returns whether it was a zygote. */
bool zygotes_reaped(struct supervisor *s, pid_t pid, int status);

/* Those of this generation end when their last workers have ended. */
void zygotes_retire(struct supervisor *s, unsigned generation);

/* The same for all but those of this generation. */
void zygotes_retire_others(struct supervisor *s, unsigned generation);

/* Lets the loop look after the socket of a zygote, which an earlier program of this process has made. */
void zygotes_watch(struct zygote *z);

/* Tells all to open the log file anew. */
void zygotes_reopen_log(struct supervisor *s);

/* Whether none is there. */
bool zygotes_are_gone(const struct supervisor *s);

#endif
