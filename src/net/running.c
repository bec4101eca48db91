#include "config.h"

#include "net/running.h"

#include "base/own_memory.h"
#include "net/exchange.h"
#include "net/lane_impl.h"

#include <string.h>

struct search {
    struct running_call *out;
    unsigned most, count, more;
};

/* Not every job is a request; and its memory may be another's by now. */
static bool is_request(const struct sched_job *job) {
    const struct sched_job_ops *at;
    struct sched_job_ops ops;
    return own_memory_copy(&at, &job->ops, sizeof at) && own_memory_copy(&ops, at, sizeof ops) &&
           ops.run == exchange_run;
}

/* Keeps it, in the order in which they began, if it is one of the oldest. */
static void visit(struct sched_job *job, struct sched_job *_Atomic *at, void *arg) {
    struct search *s = arg;
    uint64_t begun_at;
    if (!is_request(job) || !own_memory_copy(&begun_at, &job->begun_at, sizeof begun_at) || atomic_load(at) != job)
        return;
    unsigned i = s->count;
    if (s->count < s->most)
        s->count++;
    else
        s->more++;
    for (; i > 0 && s->out[i - 1].begun_at > begun_at; i--) {
        if (i < s->most)
            s->out[i] = s->out[i - 1];
    }
    if (i < s->most)
        s->out[i] =
            (struct running_call){.job = job, .at = at, .begun_at = begun_at, .thread = sched_thread_running(at)};
}

/* As much as has room of the slices. Returns false when one is gone. */
static bool copy_slices(char *out, size_t size, const struct slice *slices, unsigned count) {
    size_t len = 0;
    for (unsigned i = 0; i < count; i++) {
        size_t n = slices[i].n < size - 1 - len ? slices[i].n : size - 1 - len;
        if (!own_memory_copy(out + len, slices[i].p, n))
            return false;
        len += n;
    }
    out[len] = '\0';
    return true;
}

static bool copy_id(struct running_call *call, const struct slice *id) {
    return copy_slices(call->id, sizeof call->id, id, 1);
}

/* As the log names it, which is what the client has asked for; but a query may hold secrets. */
static bool copy_names(struct running_call *call, const struct cgi_vars *vars) {
    const struct slice path[] = {vars->script_name, vars->path_info[0], vars->path_info[1]};
    bool copied = copy_slices(call->method, sizeof call->method, &vars->method, 1) &&
                  (vars->request_uri.n ? copy_slices(call->path, sizeof call->path, &vars->request_uri, 1)
                                       : copy_slices(call->path, sizeof call->path, path, 3));
    if (copied)
        call->path[strcspn(call->path, "?#")] = '\0';
    return copied;
}

static bool describe(struct running_call *call) {
    struct exchange x;
    if (!own_memory_copy(&x, exchange_of_job(call->job), sizeof x) || !copy_names(call, &x.r.vars) ||
        !copy_id(call, &x.r.id))
        return false;
    if (x.r.traced)
        trace_context_put_hex(x.r.trace.trace, sizeof x.r.trace.trace, call->trace);
    call->begun_at = x.r.job.begun_at;
    if (x.r.job.queued_at && x.r.job.queued_at < call->begun_at)
        call->queued = call->begun_at - x.r.job.queued_at;
    call->processor_from = x.processor_from;
    call->overdue = atomic_load_explicit(&x.r.overdue, memory_order_relaxed);
    call->waits = (enum request_wait)atomic_load_explicit(&x.r.waits, memory_order_relaxed);
    return running_goes_on(call);
}

unsigned running_find(struct lane *lane, struct running_call *out, unsigned most, unsigned *more) {
    struct search s = {.out = out, .most = most};
    unsigned count = 0;
    sched_visit_jobs(lane->sched, visit, &s);
    for (unsigned i = 0; i < s.count; i++) {
        if (describe(&out[i]) && count++ != i)
            out[count - 1] = out[i];
    }
    *more = s.more;
    return count;
}

bool running_goes_on(const struct running_call *call) {
    uint64_t begun_at;
    return own_memory_copy(&begun_at, &call->job->begun_at, sizeof begun_at) && begun_at == call->begun_at &&
           atomic_load(call->at) == call->job;
}
