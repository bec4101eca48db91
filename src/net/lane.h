/* A lane: one event loop with its scheduler, listeners and connections. This is what the process uses of net/. What a
 * lane keeps is in its struct: a process has one lane, and could have several. Only descriptors_describe would have to
 * ask all of them.
 *
 * "Owner only" means what it does in sched/sched.h: the thread that holds the baton of the lane.
 */
#ifndef WSGI_FCGI_NET_LANE_H
#define WSGI_FCGI_NET_LANE_H

#include "net/lane_config.h"

#include <stdbool.h>
#include <stddef.h>

struct lane;

/* Makes a lane that accepts on `listeners`. The lane closes them when it stops; the caller keeps the array. Returns
 * NULL with errno. */
struct lane *lane_new(const struct lane_config *config, struct listener_set *listeners);

/* Starts accepting, on a thread of its own. Returns 0; or, after a log line, -1 with errno. */
int lane_start(struct lane *lane);

/* Begins a graceful stop. Connections that wait in the backlog are accepted, then the listeners are closed, and
 * connections end after their requests. Those without a request end at once. New ones, and those with part of a
 * request, end after a short while, so that what is on its way still gets in. When the last connection is gone, the
 * scheduler quits. Any thread; may be called again. */
void lane_stop(struct lane *lane);

/* Ends every connection now, after lane_stop. Running requests are told that their peer is gone, and the log names the
 * requests that have run for longest. Any thread. */
void lane_abort(struct lane *lane);

/* The scheduler, for sched_watch and sched_join. */
struct sched *lane_sched(struct lane *lane);

/* Open connections and requests in work, for the log line about a stop that takes too long. Any thread; approximate. */
void lane_count(struct lane *lane, unsigned *connections, unsigned *requests);

/* How many requests have ended so far, modulo 2^32. Any thread. */
unsigned lane_ended(const struct lane *lane);

/* Frees the lane, after its scheduler has ended. */
void lane_free(struct lane *lane);

/* The name of libev's back end ("epoll"), for --version. */
const char *lane_backend_name(void);

#endif
