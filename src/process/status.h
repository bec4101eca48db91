/* The status page of a process that serves: at --status-path, and where it is the only process, on the sockets of
 * --status. With workers these are the supervisor's (supervisor/page.h).
 *
 * Threads: the main thread, while the lane does not run.
 */
#ifndef WSGI_FCGI_PROCESS_STATUS_H
#define WSGI_FCGI_PROCESS_STATUS_H

#include "cli/options.h"
#include "net/lane_config.h"
#include "net/status_page.h"
#include "process/sockets.h"

struct ev_loop;
struct inspect;
struct status_server;
struct worker;

/* Zeroed at first. */
struct process_status {
    struct status_page page;
    struct status_server *server;        /* NULL: there are no sockets for it */
    char python[SCOREBOARD_PYTHON_SIZE]; /* its version */
};

/* Makes it, and tells the lane of it in *config. `loop`: that of the lane. `worker`: NULL if this process is none.
 * `memory`: of this source, what the processes share; `inspect`: as there. With the GIL. */
void process_status_init(struct process_status *s, const struct options *o, const struct worker *worker,
                         const struct status_source *memory, struct inspect *inspect, struct ev_loop *loop,
                         struct lane_config *config);

/* Accepts on the sockets of --status, when the lane runs. Returns 0, or a sysexits status after printing. */
int process_status_open(struct process_status *s, struct ev_loop *loop, struct sockets *sockets);

/* Before the lane is freed. */
void process_status_fini(struct process_status *s);

#endif
