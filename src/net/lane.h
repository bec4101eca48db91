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

struct ev_loop;
struct lane;

/* Makes a lane that is to accept on `listeners`. The lane closes them when it stops; the caller keeps the array.
 * Returns NULL with errno. */
struct lane *lane_new(const struct lane_config *config, struct listener_set *listeners);

/* Begins to accept. Until then who connects waits in the backlog of a listener. No effect once the lane stops or
 * retires. Main thread before the lane is started, then owner only. */
void lane_start_accepting(struct lane *lane);

/* Starts the lane, on a thread of its own. Returns 0; or, after a log line, -1 with errno. */
int lane_start(struct lane *lane);

/* The same on the calling thread, which is lent to the scheduler (sched_start_here). Returns 0 when the scheduler has
 * quit and this thread has left it; or at once, after a log line, -1 with errno. */
int lane_start_here(struct lane *lane);

/* Connects to the lane from within: makes a connection as if a process of this machine had made it, but asks no rule of
 * who may connect. `protocol` is one of lane_config.protocols. Returns the descriptor of the other end, a stream socket
 * that does not block and is one of the server's (base/descriptors.h); or -1 with errno. Owner only. */
int lane_connect(struct lane *lane, enum listener_protocol protocol);

/* The loop, for watchers of connections that lane_connect made. They must be stopped before lane_free. */
struct ev_loop *lane_loop(struct lane *lane);

/* Whether a stop has begun. Owner only. */
bool lane_is_stopping(const struct lane *lane);

/* Whether a stop has begun, or the lane retires. Owner only. */
bool lane_is_ending(const struct lane *lane);

/* Begins a graceful stop. Connections that wait in the backlog are accepted if the lane had begun to accept (else they
 * are left to other processes, or learn that nobody will answer), then the listeners are closed, and connections end
 * after their requests. Those that rest after a request end at once. Those that have had none, and those with part of
 * a header, end after 100 ms unless a request is complete by then: so what is on its way still gets in. When the last
 * connection is gone, the scheduler quits. Any thread; may be called again. */
void lane_stop(struct lane *lane);

/* Ends the lane beside other workers (net/handover.h), which serve what it has served. It accepts no more, and leaves
 * the listeners open. Connections at rest are given to the others: at once, or when their requests are answered. When
 * the last connection is gone, the scheduler quits. When no other worker serves, now or later, or without others, this
 * is lane_stop, which may also follow. Any thread; may be called again. */
void lane_retire(struct lane *lane);

/* Ends every connection now, after lane_stop or lane_retire. Running requests are told that their peer is gone, and the
 * log names the requests that have run for longest. Any thread. */
void lane_abort(struct lane *lane);

/* Which call has the jobs' lock at this moment: its request, with *thread; NULL: none that runs without the loop. Those
 * that are overdue are asked first. Owner only. */
struct request *lane_find_lock_holder(const struct lane *lane, struct sched_thread **thread);

/* Calls visit() for the thread of each call that has run for LANE_LOOK_MS, overdue or not. *processor_time is the
 * visitor's own, and 0 at first for each call. Owner only. */
enum { LANE_LOOK_MS = 5 };
typedef void lane_visit_fn(struct sched_thread *thread, uint64_t *processor_time, void *arg);
void lane_visit_calls(struct lane *lane, lane_visit_fn *visit, void *arg);

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
