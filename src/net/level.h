/* What this process leaves to others that share its work (ipc/scoreboard.h). While a call computes here that has lost
 * the loop (sched_config.caught), any other call would only compete with it for the interpreter lock; and while no
 * thread is free, it would wait. So if another process serves of which neither is true, it gets what comes meanwhile:
 * new connections, since this one does not poll its listeners; and connections at rest that become readable, unread
 * (net/handover.h). Those are given away one by one, when there is something to do on them, since most of the others
 * will still be idle when the call has ended. What was read before stays.
 *
 * When no other is idle, all this ends, and begins again when one is: a timer asks every few milliseconds, which runs
 * only while that lasts. It lets the loop turn, too, which takes back then what was given away and nobody has taken
 * yet.
 *
 * Threads: owner only.
 */
#ifndef WSGI_FCGI_NET_LEVEL_H
#define WSGI_FCGI_NET_LEVEL_H

#include <ev.h>
#include <stdbool.h>

struct lane;
struct sched_config;

struct level {
    bool caught; /* as the scheduler says; and the others know */
    bool leaves; /* what comes to others */
    ev_timer timer;
};

/* Asks the scheduler for what is needed here, before it is made. Does nothing for a process that is alone. */
void level_configure(struct lane *lane, struct sched_config *config);

void level_init(struct lane *lane);

#endif
