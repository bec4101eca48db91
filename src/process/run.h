/* Serving: from a lane that is ready to its end.
 *
 * Threads: the main thread.
 */
#ifndef WSGI_FCGI_PROCESS_RUN_H
#define WSGI_FCGI_PROCESS_RUN_H

#include <stdbool.h>
#include <stdint.h>

struct lane;

struct run {
    struct lane *lane;
    double graceful_timeout; /* seconds */
    int exit_status;         /* the process's, when this returns */
    /* The rest begins as zero. */
    unsigned signals;       /* for handlers of the application: what signals_drain said */
    bool exit_wanted;       /* by such a handler, which has set the status */
    uint64_t stop_at;       /* clock_ns when the stop began; 0: not yet */
    unsigned finished, cut; /* requests since then, and those that were left behind */
};

/* Serves until a signal or the application ends it, and stops: requests finish, and what does not is cut off. Runs what the
 * application has for that signal at last. Returns the exit status; does not return when application threads had to be left
 * behind. GIL held on entry and on return, and not in between. */
int run_lane(struct run *run);

/* Logs the last line of all, once Python has ended. */
void run_log_stopped(const struct run *run);

#endif
