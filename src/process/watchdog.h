/* Tells the service manager at half of the time that it wants (WATCHDOG_USEC) that this process is well. The event loop
 * does: when that hangs, the manager restarts the service (WatchdogSec= of systemd.service(5)). The supervisor, too.
 *
 * Threads: the one that runs the loop, or the only one before it runs.
 */
#ifndef WSGI_FCGI_PROCESS_WATCHDOG_H
#define WSGI_FCGI_PROCESS_WATCHDOG_H

#include <ev.h>
#include <stdbool.h>

struct watchdog {
    ev_timer timer;
    bool (*is_well)(const void *arg);
    const void *arg;
};

/* Does nothing unless the manager asks. `is_well`, which is asked each time: when it says no, nothing is told. NULL: it
 * is well as long as the loop runs. *w stays where it is as long as the loop does. */
void watchdog_start(struct watchdog *w, struct ev_loop *loop, bool (*is_well)(const void *arg), const void *arg);

#endif
