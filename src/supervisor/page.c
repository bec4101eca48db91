#include "config.h"

#include "supervisor/page.h"

#include "base/log.h"
#include "supervisor/supervisor.h"

#include <sysexits.h>
#include <unistd.h>

#define DELAY_MOST_NS UINT64_C(200000000)
#define DELAY_STEP_NS UINT64_C(2000000)

int page_open(struct supervisor *s) {
    if (!listener_set_has(&s->sockets.opened, LISTENER_STATUS))
        return 0;
    const struct status_source source = {
        .board = s->board,
        .inspect = s->inspect,
        .log = s->log_ring,
        .metrics = s->metrics,
        .application = s->o->application,
        .pid = getpid(),
        .workers = s->wanted,
        .threads_max = s->o->threads,
    };
    status_page_init(&s->page.content, s->loop, &source, s->inspect);
    s->page.server = status_server_new(s->loop, &s->sockets.opened, &s->sockets.allow, &s->page.content);
    if (s->page.server)
        return 0;
    log_error("out of memory");
    return EX_OSERR;
}

void page_stop(struct supervisor *s) {
    if (s->page.server)
        status_server_stop(s->page.server);
}

bool page_delays(struct supervisor *s, uint64_t now) {
    if (!s->page.server || !status_server_is_busy(s->page.server)) {
        s->page.delays_since = 0;
        return false;
    }
    if (!s->page.delays_since)
        s->page.delays_since = now;
    return !supervisor_is_due(s, s->page.delays_since + DELAY_MOST_NS, now) &&
           !supervisor_is_due(s, now + DELAY_STEP_NS, now);
}

void page_close(struct supervisor *s) {
    status_server_free(s->page.server);
    if (s->page.server)
        status_page_fini(&s->page.content);
    s->page.server = NULL;
}
