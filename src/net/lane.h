/* A lane: one event loop with its scheduler, listeners and connections. This is what the process uses of net/. There is
 * no global state: a process has one lane, and could have several.
 *
 * "Owner only" means what it does in sched/sched.h: the thread that holds the baton of the lane.
 */
#ifndef WSGI_FCGI_NET_LANE_H
#define WSGI_FCGI_NET_LANE_H

#include "net/listen/allow.h"
#include "net/listen/listener.h"
#include "proto/forwarded.h"
#include "request/request.h"
#include "sched/sched.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ev_loop;
struct lane;
struct protocol;

struct lane_config {
    /* The protocols that listeners name. */
    const struct protocol *protocols[LISTENER_PROTOCOL_COUNT]; /* NULL: no listener names it */

    /* Calls the application for a request, on a thread of the scheduler. Must store an answer or set broken_off. */
    void (*run)(struct request *r, void *user);
    /* Called as those of the same names in struct sched_config. */
    void (*thread_stop)(struct sched_thread *thread, void *user);
    void (*thread_pause)(struct sched_thread *thread, void *user);
    void *user;

    unsigned threads;
    unsigned queue_limit;
    double queue_timeout;        /* seconds */
    double idle_timeout;         /* seconds without a byte from or to the peer; 0: none */
    double header_timeout;       /* seconds from the beginning of a request to the end of its parameters; 0: none */
    unsigned max_connections;    /* open at a time; more wait in the backlog */
    unsigned keepalive_requests; /* on one connection; 0: no limit */
    size_t limit_params;         /* bytes of the parameters of one request */
    unsigned limit_param_count;
    unsigned limit_requests;   /* open requests on one connection */
    struct body_limits body;   /* `spares`: the lane's own */
    bool stream_body;          /* call the application as soon as the header of a request has come */
    const char *script_name;   /* mount point, "" or "/x"; outlives the lane */
    struct allow_rules *allow; /* who may connect; outlives the lane; NULL: everybody */
    bool drop_abandoned;       /* do not call the application for a waiting request whose client has left */

    const struct address_set *forwarded; /* peers whose word about the client counts; outlives the lane; NULL: none */
    enum forwarded_kind forwarded_kind;  /* in which fields they say it */

    /* HTTP/1.1 only. */
    const char *server_header; /* value of the Server field; NULL: none */
    bool proxy_protocol;       /* connections begin with a PROXY protocol header */
    double min_body_rate;      /* bytes per second that a body must come at (http/pace.h); 0: any */

    int wake_fd; /* see struct sched_config */

    struct ev_loop *loop; /* from loop_new; belongs to the lane even if lane_new fails; NULL: the lane calls loop_new */
};

/* Makes a lane that accepts on `listeners`. The lane closes them when it stops; the caller keeps the array. Returns
 * NULL with errno. */
struct lane *lane_new(const struct lane_config *config, struct listener_set *listeners);

/* Starts accepting, on a thread of its own. Returns 0; or, after a log line, -1 with errno. */
int lane_start(struct lane *lane);

/* Begins a graceful stop. Connections that wait in the backlog are accepted, then the listeners are closed, and
 * connections end after their requests. Those without a request end at once, except new ones, and those with part of a
 * request end after a short while, so that what is on its way still gets in. When the last connection is gone, the
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
