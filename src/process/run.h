/* Runs a lane until the server has stopped: waits for signals, stops gracefully, cuts off what does not finish.
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
    int exit_status;         /* of the process */
    /* The rest begins as zero. */
    unsigned signals;       /* for handlers of the application: what signals_drain returned */
    bool exit_wanted;       /* such a handler wants an exit, and has set the status */
    uint64_t stop_at;       /* clock_ns when the stop began; 0: not yet */
    unsigned finished, cut; /* requests that have ended since then; requests left behind */
};

/* Serves until a signal or the application ends it, then stops: requests finish, and those that do not are cut off.
 * Last, runs the application's handlers for that signal. Returns the exit status; does not return if application
 * threads had to be left behind. GIL held on entry and on return, but not in between. */
int run_lane(struct run *run);

/* Logs the very last line, once Python has ended. */
void run_log_stopped(const struct run *run);

#endif
