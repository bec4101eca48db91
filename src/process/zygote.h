/* This process as the zygote (--preload): it has loaded the application, serves nothing, and is forked for each worker,
 * so that workers share its memory. A worker that is forked goes on where one that was executed goes on when the
 * application is loaded (process/worker.h).
 *
 * It has one thread, the application's own apart, and neither a loop nor a lane: each worker makes its own. What its
 * supervisor tells it and hears from it is in ipc/control.h; workers are its children, so it tells of their ends.
 *
 * Open it for how a worker comes to be, and for what it takes over from the zygote.
 *
 * Threads: the main thread.
 */
#ifndef WSGI_FCGI_PROCESS_ZYGOTE_H
#define WSGI_FCGI_PROCESS_ZYGOTE_H

#include <stdbool.h>

struct worker;

/* Tells the supervisor that the application is loaded, and forks workers until the supervisor wants an end, or is gone,
 * and the last of them has ended. `w`: what worker_greet has made of the process that was executed. Signals that end a
 * server are left to the supervisor, and handlers of the application do not see them.
 *
 * Returns true in a worker: *w is as worker_find makes it, and none of the zygote's descriptors is open. Returns false
 * in the zygote: it is to end with *status, 0 or that of sysexits.h after a log line. GIL held, before and after; not
 * while it waits. */
bool zygote_fork_workers(struct worker *w, int *status);

#endif
