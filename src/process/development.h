/* What --reload does in a worker: tells the supervisor which files the application consists of (supervisor/files.h),
 * and serves a page in the place of an application that does not load.
 *
 * The files are told before the application is loaded, in case that this ends the process, afterwards, and when modules
 * were imported later. The last is looked for on the main thread, at most a few times a second, and only when requests
 * have ended.
 *
 * Threads: the main thread, GIL held, unless it is mentioned.
 */
#ifndef WSGI_FCGI_PROCESS_DEVELOPMENT_H
#define WSGI_FCGI_PROCESS_DEVELOPMENT_H

#include "base/buf.h"

#include <ev.h>
#include <stdbool.h>

struct lane;
struct options;
struct worker;

struct development {
    const struct options *o;
    const struct worker *worker; /* NULL: there is no --reload here, and nothing below does anything */
    bool broken;                 /* a page is served in the place of the application */
    struct buf said;             /* what the log had to say while it was loaded */
    long modules_told;
    /* In the loop. */
    const struct lane *lane;
    unsigned ended; /* requests, at the last look */
    ev_prepare turn;
    ev_timer look;
};

/* `worker`: NULL when this process is none. It outlives *d. The GIL is not needed. */
void development_init(struct development *d, const struct options *o, const struct worker *worker);

/* The application is about to be loaded, Python has started. */
void development_load_begins(struct development *d);

/* Loading it has ended, or running its hooks for the start, with `status`. Returns whether to go on with a page that
 * shows why it has failed: not when a signal has ended it, nor for what no file can mend. */
bool development_load_ends(struct development *d, int status);

/* Its hooks for the start are about to run. */
void development_hooks_begin(struct development *d);

/* For exit_calls_report: tells which files there are up to now, then as ends_exit. Any thread, GIL held. */
void development_exit(int status);

/* Looks for new modules from now on. The lane is not started yet. The GIL is not needed. */
void development_join(struct development *d, struct ev_loop *loop, const struct lane *lane);

/* Python ends. */
void development_fini(struct development *d);

#endif
