#include "config.h"

#include "net/request_log.h"

#include "base/ascii.h"
#include "base/clock.h"
#include "base/own_memory.h"
#include "net/exchange.h"
#include "net/lane_impl.h"
#include "net/who.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { RUNNING_SHOWN = 3, RUNNING_TEXT = 256 };

void request_log_write(const struct conn *c, unsigned id, const struct request *r) {
    char whom[WHO_TEXT_SIZE], text[REQUEST_TEXT_SIZE];
    struct who who = who_find(c, r);
    uint64_t now = clock_ns(), us = now > r->begun_at ? (now - r->begun_at) / 1000 : 0;
    bool named = r->vars.method.n > 0;
    sched_pause(c->lane->sched);
    bool overdue = r->end == REQUEST_OVERDUE;
    log_debug("connection %llu: request %u ended (%s): %s%s, %llu byte%s, %llu.%06llu s%s%s%s", c->number, id,
              who_text(&who, whom),
              r->status[0]                ? r->status
              : overdue && r->answered_at ? "no status"
                                          : "no answer",
              overdue && r->answered_at ? ", cut off" : "", (unsigned long long)r->sent, ascii_plural(r->sent),
              (unsigned long long)(us / 1000000), (unsigned long long)(us % 1000000), overdue ? ", overdue" : "",
              named ? ": " : "", named ? request_text(r, text, sizeof text) : "");
}

struct running {
    struct {
        const struct request *r;
        const struct conn *conn;
        unsigned id;
    } oldest[RUNNING_SHOWN];
    unsigned count;
};

/* Keeps it among the oldest, in their order, if it is one of them. */
static void visit(const struct conn *c, unsigned id, const struct request *r, void *arg) {
    struct running *found = arg;
    unsigned i = found->count < RUNNING_SHOWN ? found->count++ : RUNNING_SHOWN;
    for (; i > 0 && found->oldest[i - 1].r->job.begun_at > r->job.begun_at; i--) {
        if (i < RUNNING_SHOWN)
            found->oldest[i] = found->oldest[i - 1];
    }
    if (i == RUNNING_SHOWN)
        return;
    found->oldest[i].r = r;
    found->oldest[i].conn = c;
    found->oldest[i].id = id;
}

static void visit_all(const struct conn_list *list, struct running *found) {
    const struct conn *c;
    TAILQ_FOREACH(c, list, link) {
        if (c->ops->running)
            c->ops->running(c, visit, found);
    }
}

/* What is read of a request does not change while it runs. */
bool request_log_oldest(struct lane *lane, const char *what) {
    struct running found = {.count = 0};
    const struct exchange *x;
    char line[RUNNING_SHOWN * (RUNNING_TEXT + 80)], text[RUNNING_TEXT];
    size_t n = 0;
    visit_all(&lane->conns, &found);
    visit_all(&lane->lingering, &found);
    visit_all(&lane->closed, &found); /* their peers have left, but the calls go on */
    TAILQ_FOREACH(x, &lane->deadlines.late, deadline_link) {
        visit(x->conn, x->id, &x->r, &found);
    }
    if (!found.count)
        return false;
    sched_pause(lane->sched);
    uint64_t now = clock_ns();
    for (unsigned i = 0; i < found.count; i++) {
        const struct request *r = found.oldest[i].r;
        uint64_t ms = now > r->job.begun_at ? (now - r->job.begun_at) / 1000000 : 0;
        n += (size_t)snprintf(line + n, sizeof line - n, "%s%llu.%03llu s (connection %llu: request %u): %s",
                              i ? ", " : "", (unsigned long long)(ms / 1000), (unsigned long long)(ms % 1000),
                              found.oldest[i].conn->number, found.oldest[i].id, request_text(r, text, sizeof text));
    }
    log_warning("%s; those that have run for longest: %s", what, line);
    return true;
}

/* Those that run while the process ends. */

enum { DESCRIBED = 3, METHOD_SHOWN = 20, TARGET_SHOWN = 150 };

struct description {
    char *out;
    size_t size, len;
    unsigned count;
};

static size_t copy_slice(char *to, size_t most, struct slice from) {
    size_t n = from.n < most ? from.n : most;
    return own_memory_copy(to, from.p, n) ? n : 0;
}

/* Not every job is one. */
static bool is_request(const struct sched_job *job) {
    const struct sched_job_ops *at;
    struct sched_job_ops ops;
    return own_memory_copy(&at, &job->ops, sizeof at) && own_memory_copy(&ops, at, sizeof ops) &&
           ops.run == exchange_run;
}

static void describe(struct sched_job *job, struct sched_job *_Atomic *at, void *arg) {
    struct description *d = arg;
    char method[METHOD_SHOWN], target[TARGET_SHOWN], label[REQUEST_ID_MAX], shown[3][4 * TARGET_SHOWN];
    struct cgi_vars vars;
    struct slice id;
    if (d->count == DESCRIBED || !is_request(job) ||
        !own_memory_copy(&vars, (const char *)job + offsetof(struct request, vars), sizeof vars) ||
        !own_memory_copy(&id, (const char *)job + offsetof(struct request, id), sizeof id))
        return;
    size_t nmethod = copy_slice(method, sizeof method, vars.method);
    size_t ntarget = copy_slice(target, sizeof target, vars.request_uri.n ? vars.request_uri : vars.path_info[0]);
    size_t nlabel = copy_slice(label, sizeof label, id);
    if (atomic_load(at) != job) /* what was read may have been something else */
        return;
    d->count++;
    int n = snprintf(d->out + d->len, d->size - d->len, "%s%s %s%s%s%s",
                     d->len ? ", " : "; requests that run: ", log_escape(shown[0], sizeof shown[0], method, nmethod),
                     log_escape(shown[1], sizeof shown[1], target, ntarget), nlabel ? " [" : "",
                     log_escape(shown[2], sizeof shown[2], label, nlabel), nlabel ? "]" : "");
    d->len += (size_t)n;
    if (d->len >= d->size)
        d->len = d->size - 1;
}

void request_log_describe(void *lane, char *out, size_t size) {
    static_assert(offsetof(struct request, job) == 0, "the job of a request is its beginning");
    struct description d = {.out = out, .size = size};
    sched_visit_jobs(((struct lane *)lane)->sched, describe, &d);
}
