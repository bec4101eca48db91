#include "config.h"

#include "supervisor/status.h"

#include "base/ascii.h"
#include "supervisor/supervisor.h"
#include "supervisor/workers.h"

#include <stdio.h>
#include <string.h>

/* Beyond --graceful-timeout, workers and then zygotes have some seconds to end before they are killed. */
enum { STOP_MARGIN = 2 * SUPERVISOR_MARGIN + 10 };

static enum notify_state find_state(const struct supervisor *s) {
    if (s->stopping || s->leave_until)
        return NOTIFY_STOPPING;
    if (!s->served)
        return NOTIFY_STARTING;
    return s->reload.phase != RELOAD_NONE || s->reload.again ? NOTIFY_RELOADING : NOTIFY_READY;
}

static unsigned count(const struct supervisor *s, enum worker_state state) {
    unsigned n = 0;
    for (unsigned i = 0; i < s->slots_made; i++)
        n += s->workers[i].state == state;
    return n;
}

static void describe(const struct supervisor *s, enum notify_state state, char out[static STATUS_SIZE]) {
    const unsigned serving = count(s, WORKER_SERVING), retiring = count(s, WORKER_RETIRING);
    char ending[40] = "";
    if (retiring)
        snprintf(ending, sizeof ending, ", %u retire%s", retiring, retiring == 1 ? "s" : "");
    switch (state) {
    case NOTIFY_STARTING:
        snprintf(out, STATUS_SIZE, "the first worker loads the application");
        break;
    case NOTIFY_READY:
    case NOTIFY_RELOADING:
        snprintf(out, STATUS_SIZE, "%u of %u worker%s serve%s%s%s%s", serving, s->wanted, ascii_plural(s->wanted),
                 ending, state == NOTIFY_RELOADING ? "; the application is loaded anew" : "",
                 *s->service.reload_error ? "; the last reload has failed: " : "", s->service.reload_error);
        break;
    case NOTIFY_STOPPING:
        if (!s->stopping) {
            snprintf(out, STATUS_SIZE, "%u worker%s serve%s until the end of --stop-delay", serving,
                     ascii_plural(serving), serving == 1 ? "s" : "");
            break;
        }
        snprintf(out, STATUS_SIZE, "%u worker%s to finish", serving + retiring + count(s, WORKER_STOPPING),
                 ascii_plural(serving + retiring + count(s, WORKER_STOPPING)));
        break;
    }
}

void status_not_loaded(int status) {
    char text[STATUS_SIZE], how[WORKERS_STATUS_SIZE];
    snprintf(text, sizeof text, "the application cannot be loaded: the first worker %s: the log says why",
             workers_describe_status(status, how));
    notify_tell(NOTIFY_STARTING, text);
}

void status_look(struct supervisor *s) {
    const enum notify_state state = find_state(s);
    char text[STATUS_SIZE];
    if (!notify_is_on())
        return;
    if (state == NOTIFY_RELOADING && s->service.told != state)
        *s->service.reload_error = '\0';
    describe(s, state, text);
    /* Why the first worker has ended is the status already. */
    const bool is_new = strcmp(text, s->service.text) != 0 && (state != NOTIFY_STOPPING || s->served || s->stop_at);
    const char *status = is_new ? text : NULL;
    if (state != s->service.told && state == NOTIFY_STOPPING)
        notify_extend((s->leave_until ? s->o->stop_delay : 0) + s->o->graceful_timeout + STOP_MARGIN);
    if (state != s->service.told || status)
        notify_tell(state == s->service.told ? NOTIFY_STARTING : state, status);
    s->service.told = state;
    memcpy(s->service.text, text, sizeof text);
}
