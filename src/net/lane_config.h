/* What a lane is told: whom it serves, what it calls, and the limits for connections and requests.
 *
 * Add a limit here. Those of requests are enforced in net/fcgi/input.c and net/http/input.c, those of connections in
 * net/accept.c, net/idle.c and net/conn_out.c. Limits that nobody can set are constants: in net/conn.h, and beside what
 * they limit.
 */
#ifndef WSGI_FCGI_NET_LANE_CONFIG_H
#define WSGI_FCGI_NET_LANE_CONFIG_H

#include "net/listen/allow.h"
#include "net/listen/listener.h"
#include "proto/forwarded.h"
#include "request/request.h"
#include "sched/sched.h"

#include <stdbool.h>
#include <stddef.h>

struct access_log;
struct ev_loop;
struct handover_config;
struct metrics_slot;
struct protocol;
struct scoreboard;
struct status_page;
struct spans;
struct trace_settings;

struct lane_config {
    /* What connections may speak. NULL: nobody can: no listener names it, and no connection of it is taken. */
    const struct protocol *protocols[LISTENER_PROTOCOL_COUNT];

    /* Calls the application for a request, on a thread of the scheduler. Must store an answer or set broken_off. */
    void (*run)(struct request *r, void *user);
    /* Called as those of the same names in struct sched_config. */
    void (*thread_stop)(struct sched_thread *thread, void *user);
    void (*thread_pause)(struct sched_thread *thread, void *user);
    bool (*thread_released)(struct sched_thread *thread, void *user);
    void *user;

    /* The time of a call is over, and the loop has answered in its place. `thread` runs it, and goes on; `line` is what
     * the log is to say of that. Logs it, with what can be found out about the call, and does with the call what else is to
     * be done. Owner; must not wait, nor keep `r` without knowing that its call goes on. NULL: the line is logged. */
    void (*overdue)(struct request *r, struct sched_thread *thread, const char *line, void *arg);
    /* How many overdue calls go on has changed (sched_lost). Owner; must not wait. NULL: nobody is told. */
    void (*lost)(unsigned count, void *arg);
    /* Called every LANE_LOOK_MS while calls run without the loop, more seldom beside very many of them, for
     * lane_visit_calls; and when none does any more, for as long as it returns true. Owner; must not wait. NULL: no need. */
    bool (*look)(void *arg);
    void *overdue_arg;

    /* Requests that take long (net/slow.h), as overdue: `line` is what the log is to say. NULL: it is logged. */
    void (*slow)(struct request *r, struct sched_thread *thread, const char *line, void *arg);
    /* No call ends while others wait: the same, of all calls. */
    void (*stuck)(const char *line, void *arg);
    void *slow_arg;
    double slow_request; /* seconds until a line says so; 0: none does */
    double stuck_log;    /* the same */

    unsigned threads;
    unsigned lost_max; /* overdue calls that have others in their places, see struct sched_config */
    unsigned queue_limit;
    double queue_timeout;        /* seconds; 0: none */
    double request_timeout;      /* seconds that a call may take (net/deadline.h); 0: any */
    double idle_timeout;         /* seconds without a byte from or to the peer; 0: none */
    double header_timeout;       /* seconds from the beginning of a request (over HTTP, of the connection for the first
                                    one) to the end of its parameters; for bodies see http/pace.h; 0: none */
    double min_send_rate;        /* bytes per second that a peer must take of what waits for it (conn_rate.c); 0: any */
    unsigned max_connections;    /* open at a time; more wait in the backlog */
    unsigned keepalive_requests; /* on one connection; 0: no limit */
    size_t limit_params;         /* bytes of the parameters of one request; over HTTP, of its header section */
    unsigned limit_param_count;
    unsigned limit_requests;   /* open requests on one connection */
    struct body_limits body;   /* `spares`: the lane's own */
    bool stream_body;          /* call the application as soon as the header of a request has come */
    const char *script_name;   /* mount point, "" or "/x"; outlives the lane */
    struct allow_rules *allow; /* who may connect; outlives the lane; NULL: everybody */
    enum request_id_mode request_id;
    struct spans *spans; /* where those of requests are put (net/traces.h); outlives the lane; NULL: nowhere */
    const struct trace_settings *trace_settings; /* with `spans`: which of them; outlives the lane */
    bool drop_abandoned; /* do not call the application for a waiting request whose client has left */

    const char *status_path; /* where the status page is, below the mount point; outlives the lane; NULL: nowhere */
    struct status_page *status_page; /* if there is a status_path; on the loop of the lane, which it outlives */

    const struct address_set *forwarded; /* peers whose word about the client counts; outlives the lane; NULL: none */
    enum forwarded_kind forwarded_kind;  /* in which fields they say it */

    /* HTTP/1.1 only. */
    const char *server_header; /* value of the Server field; NULL: none */
    bool proxy_protocol;       /* connections of trusted peers (`forwarded`) begin with a PROXY protocol header */
    double min_body_rate;      /* bytes per second that a body must come at (http/pace.h); 0: any */

    struct access_log *access_log; /* outlives the lane; NULL: there is none */
    const struct inspect_config
        *inspect; /* asking what runs in the processes of the server; copied; NULL: nobody can */
    /* Where others find what it does, and what it counts; all outlive the lane. The slot is this process's in either.
     */
    struct scoreboard *board;     /* NULL: which calls run is told to nobody */
    struct metrics_slot *metrics; /* NULL: nobody reads what it counts */
    unsigned slot;

    const struct handover_config *handover; /* what a worker has in common with others; copied; NULL: there is none */

    /* A stop has begun, and nobody is to connect to this process any more: before the listeners of the lane are closed.
     * Owner; must not wait. NULL: nobody is told. */
    void (*stops)(void *arg);
    void *stops_arg;

    void (*check)(void *arg); /* a check on the process, as the guard of struct sched_config is; or NULL */
    void *check_arg;
    int wake_fd;                     /* see struct sched_config */
    const sigset_t *blocked_signals; /* see there; NULL, or copied */

    struct ev_loop *loop; /* from loop_new; belongs to the lane even if lane_new fails; NULL: the lane calls loop_new */
};

#endif
