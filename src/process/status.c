#include "config.h"

#include "process/status.h"

#include "base/clock.h"
#include "base/log.h"
#include "net/status_server.h"
#include "process/worker.h"
#include "python/interp.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

/* struct lane_config.stops */
static void stops_cb(void *arg) {
    struct process_status *s = arg;
    if (s->server)
        status_server_stop(s->server);
}

void process_status_init(struct process_status *s, const struct options *o, const struct worker *worker,
                         const struct status_source *memory, struct inspect *inspect, struct ev_loop *loop,
                         struct lane_config *config) {
    char described[256];
    interp_describe(described, sizeof described);
    const char *version = strchr(described, ' ');
    if (version)
        snprintf(s->python, sizeof s->python, "%.*s", (int)strcspn(version + 1, " "), version + 1);
    const struct status_source source = {
        .board = memory->board,
        .metrics = memory->metrics,
        .inspect = memory->inspect,
        .log = memory->log,
        .application = o->application,
        .python = s->python[0] ? s->python : NULL,
        .pid = worker ? worker->supervisor : getpid(),
        .workers = worker ? o->workers : 0,
        .threads_max = o->threads,
        .started_at = memory->metrics ? 0 : clock_unix_ns(),
    };
    if (worker) /* for the supervisor, which has none */
        memcpy(worker->handover.board->python, s->python, sizeof s->python);
    status_page_init(&s->page, loop, &source, inspect);
    config->status_path = o->status_path;
    config->status_page = &s->page;
    config->stops = stops_cb;
    config->stops_arg = s;
}

int process_status_open(struct process_status *s, struct ev_loop *loop, struct sockets *sockets) {
    if (!listener_set_has(&sockets->opened, LISTENER_STATUS))
        return 0;
    s->server = status_server_new(loop, &sockets->opened, &sockets->allow, &s->page);
    if (s->server)
        return 0;
    log_error("out of memory");
    return EX_OSERR;
}

void process_status_fini(struct process_status *s) {
    status_server_free(s->server);
    s->server = NULL;
    status_page_fini(&s->page);
}
