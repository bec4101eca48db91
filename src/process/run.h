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
 * Last, runs those handlers of the application that have had to wait, above all of SIGTERM and SIGINT. Returns the exit
 * status, EX_OSERR if the lane could not be started; does not return if requests or threads had to be left behind. GIL
 * held on entry and on return, and while handlers of the application run; not otherwise. */
int run_lane(struct run *run);

/* Logs the very last line. Call it once Python has ended, and only if a stop has begun (stop_at). */
void run_log_stopped(const struct run *run);

#endif
