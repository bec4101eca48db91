#include "config.h"

#include "supervisor/count.h"

#include "base/clock.h"
#include "base/descriptors.h"
#include "base/log.h"
#include "ipc/metrics.h"
#include "supervisor/workers.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>

int count_open(struct supervisor *s) {
    int *fd = &s->shared[CONTROL_MEMORY_METRICS];
    const bool given = *fd >= 0;
    s->metrics = given ? metrics_map(*fd, true) : NULL;
    if (!s->metrics && given)
        descriptors_close(*fd);
    if (!s->metrics && s->served)
        log_info(
            "counters begin anew: the version before this one has %s; workers of the last generation are not counted",
            given ? "kept them in another way" : "had none");
    if (!s->metrics && !(s->metrics = metrics_new(fd))) {
        log_error("cannot make shared memory (memfd_create): %s", strerror(errno));
        return EX_OSERR;
    }
    if (!atomic_load(&s->metrics->supervisor.started_at))
        atomic_store(&s->metrics->supervisor.started_at, clock_unix_ns());
    return 0;
}

void count_close(struct supervisor *s) {
    if (s->metrics)
        metrics_unmap(s->metrics);
}

void count_slot_begins(const struct worker *w) {
    metrics_use(w->supervisor->metrics, worker_slot(w));
}

void count_slot_ends(const struct worker *w) {
    metrics_fold(w->supervisor->metrics, worker_slot(w));
}

void count_started(const struct worker *w) {
    metrics_count(&w->supervisor->metrics->supervisor.workers_started);
}

static const enum metrics_reason reasons[WISH_COUNT] = {
    [WISH_NONE] = METRICS_REASON_OTHER,        [WISH_REQUESTS] = METRICS_REASON_MAX_REQUESTS,
    [WISH_MEMORY] = METRICS_REASON_MAX_MEMORY, [WISH_LIFETIME] = METRICS_REASON_MAX_LIFETIME,
    [WISH_SIGNAL] = METRICS_REASON_SIGNAL,     [WISH_FEWER] = METRICS_REASON_OTHER,
    [WISH_RELOAD] = METRICS_REASON_RELOAD,     [WISH_LOST] = METRICS_REASON_STUCK,
    [WISH_STUCK] = METRICS_REASON_STUCK,       [WISH_FILES] = METRICS_REASON_FILES,
};

/* One that was killed since it did not end was stuck, whatever it was to end for. */
static enum metrics_reason find_reason(const struct worker *w, bool expected, int status) {
    if (w->killed)
        return METRICS_REASON_STUCK;
    if (expected)
        return reasons[w->wish < WISH_COUNT ? w->wish : WISH_NONE];
    if (!w->served_at)
        return METRICS_REASON_LOAD_FAILED;
    return status ? METRICS_REASON_CRASH : METRICS_REASON_OTHER;
}

void count_ended(const struct worker *w, bool expected, int status) {
    char how[WORKERS_STATUS_SIZE];
    metrics_worker_ended(w->supervisor->metrics, clock_unix_ns(), w->number, w->pid, find_reason(w, expected, status),
                         workers_describe_status(status, how));
}

void count_reload(struct supervisor *s, bool failed) {
    struct metrics_supervisor *told = &s->metrics->supervisor;
    metrics_count(failed ? &told->reloads_failed : &told->reloads);
}
