/* Runs a lane until the server has stopped. Two threads share this: the main thread, which is Python's and runs what
 * Python and --threads 1 want of it (process/main_thread.h), and then ends Python; and the watch
 * (process/watch_thread.h), which waits for signals, stops gracefully, and cuts off what does not finish.
 *
 * Threads: the main thread, except for run_log_stopped and run_warmed_up_cb.
 */
#ifndef WSGI_FCGI_PROCESS_RUN_H
#define WSGI_FCGI_PROCESS_RUN_H

#include "base/log.h"
#include "process/lost_calls.h"
#include "process/main_thread.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct worker;
struct warm_up;

struct run {
    struct lane *lane;
    struct warm_up *warm_up; /* what is to come before the lane accepts; NULL: nothing */
    /* The lane is about to accept connections. On the main thread, or on the owner of the lane; without the GIL. */
    void (*serving)(void *arg);
    void *serving_arg;
    double graceful_timeout; /* seconds */
    double stop_delay;       /* seconds; of no effect in a worker, whose supervisor waits */
    bool calls_on_main;      /* --threads 1 */
    bool serves_cold;        /* even if it could not be warmed up: with --reload somebody is mending it */
    struct worker *worker;   /* NULL: this process is none */
    struct lost_calls lost_calls;
    /* The rest begins as zero. It is that of the watch while there is one, and then that of the main thread. */
    int exit_status;        /* of the process */
    uint64_t stop_at;       /* clock_ns when the stop began; 0: not yet */
    unsigned finished, cut; /* requests that have ended since then; requests left behind */
    bool left;              /* requests or threads had to be left behind */
    bool retires;           /* it ends while other workers go on */
    unsigned signals;       /* for handlers of the application: what signals_drain returned */
    bool exit_wanted;       /* such a handler wants an exit */
    atomic_bool failed;     /* the lane could not be started; any thread */
    atomic_bool cold;       /* it could not be warmed up; any thread */
    /* What tells others that the server is about to stop (ipc/scoreboard.h); NULL in a worker, and before the process
     * serves: then it stops at once. Any thread. */
    _Atomic(_Atomic uint32_t *) leaving;
    struct main_thread main;
    pthread_t watch;
};

/* Serves until a signal or the application ends it, then stops: requests finish, and those that do not are cut off.
 * Last, runs those handlers of the application that have had to wait, above all of SIGTERM and SIGINT. Returns the exit
 * status, EX_OSERR if the lane could not be started, EX_SOFTWARE if it could not be warmed up; does not return if
 * requests or threads had to be left behind. GIL held on entry and on return, and while handlers of the application and
 * calls run on the main thread; not otherwise. */
int run_lane(struct run *run);

/* The level of the lines about the beginning and the end of a stop: in a worker that the supervisor has told to stop,
 * the lines that people see are the supervisor's. Any thread. */
enum log_level run_stop_level(const struct run *run);

/* For struct warm_up_config; `arg` is the run. */
void run_warmed_up_cb(void *arg, bool ok);

/* Logs the very last line. Call it once Python has ended, and only if a stop has begun (stop_at). */
void run_log_stopped(const struct run *run);

#endif
