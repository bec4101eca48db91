#include "config.h"

#include "net/count.h"

#include "base/log.h"
#include "net/exchange.h"
#include "net/lane_impl.h"
#include "net/listen/listener.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The memory has names of its own for what these have. */
#define REFUSAL_IS(name, text) static_assert((int)METRICS_REFUSED_##name == (int)REFUSED_##name, "their order");
METRICS_REFUSALS(REFUSAL_IS)
#undef REFUSAL_IS
static_assert((int)METRICS_REFUSAL_COUNT == (int)REFUSAL_COUNT, "no refusal is missing");
static_assert((int)METRICS_FASTCGI == (int)LISTENER_FASTCGI && (int)METRICS_HTTP == (int)LISTENER_HTTP, "their order");
static_assert((int)METRICS_END_OVERDUE == (int)REQUEST_OVERDUE && (int)METRICS_END_REFUSED == (int)REQUEST_REFUSED &&
                  (int)METRICS_END_DROPPED == (int)REQUEST_DROPPED && (int)METRICS_END_CUT == (int)REQUEST_CUT &&
                  (int)METRICS_END_ABORTED == (int)REQUEST_ABORTED,
              "their order");

int count_init(struct lane *lane) {
    struct count *count = &lane->count;
    count->slot = lane->config.metrics;
    if (!count->slot) {
        count->own = true;
        count->slot = aligned_alloc(_Alignof(struct metrics_slot), sizeof *count->slot);
        if (!count->slot)
            return -1;
        memset(count->slot, 0, sizeof *count->slot);
    }
    count->moves = UINT64_MAX; /* none has been told */
    metrics_set(count->slot, METRICS_THREADS_MAX, lane->config.threads);
    return 0;
}

void count_fini(struct lane *lane) {
    if (lane->count.own)
        free(lane->count.slot);
}

void count_one(struct lane *lane, unsigned counter) {
    metrics_add(lane->count.slot, counter, 1);
}

void count_refusal(struct lane *lane, enum refusal why) {
    if (!lane->accepts)
        return;
    count_one(lane, METRICS_REFUSED + why);
    if (why == REFUSED_NO_SPOOL)
        count_one(lane, METRICS_SPOOL_FAILURES);
}

/* Requests. */

static uint64_t between(uint64_t from, uint64_t to) {
    return to > from ? to - from : 0;
}

static __attribute__((noinline)) void count_body(struct metrics_slot *s, const struct body *body) {
    metrics_add(s, METRICS_RECEIVED_BYTES, body->received);
    if (body->spooled) {
        metrics_add(s, METRICS_SPOOLED_BODIES, 1);
        metrics_add(s, METRICS_SPOOLED_BYTES, body->spooled);
    }
}

/* One that has ended. In most cases its processor time is the time that it took. */
static inline __attribute__((always_inline)) void count_call(struct metrics_slot *s, const struct sched_job *job) {
    uint64_t took = between(job->begun_at, job->ended_at);
    unsigned bucket = metrics_bucket(took);
    metrics_record_at(s, METRICS_APPLICATION, bucket, took);
    metrics_record_at(s, METRICS_CPU, job->processor_time == took ? bucket : metrics_bucket(job->processor_time),
                      job->processor_time);
    if (job->lock_waited)
        metrics_record(s, METRICS_LOCK_WAIT, job->lock_waited);
}

/* The part of the path that its key is made of (proto/cgi.c), without a query. */
static __attribute__((noinline)) void name_path(struct metrics_slot *s, struct metrics_path *p, const struct request *r,
                                                uint64_t took) {
    char text[METRICS_PATH_SIZE];
    struct slice method = r->vars.method, path = r->vars.path_info[0];
    int slashes = 0;
    size_t n = 0;
    while (n < path.n && !(path.p[n] == '/' && ++slashes == 3))
        n++;
    log_escape(text, 24, method.p, method.n);
    size_t at = strlen(text);
    text[at++] = ' ';
    log_escape(text + at, sizeof text - at, path.p, n);
    metrics_name_path(s, p, r->job.key, took, text);
}

static inline unsigned class_of(const struct request *r) {
    unsigned class = (unsigned)(unsigned char)r->status[0] - '0';
    return class < METRICS_CLASS_COUNT ? class : 0;
}

static inline __attribute__((always_inline)) void count_durations(struct metrics_slot *s, const struct request *r,
                                                                  uint64_t took, unsigned class) {
    unsigned bucket = metrics_bucket(took);
    metrics_record_at(s, METRICS_REQUEST, bucket, took);
    if (r->answered_at)
        metrics_record(s, METRICS_FIRST_BYTE, between(r->begun_at, r->answered_at));
    else if (class)
        metrics_record_at(s, METRICS_FIRST_BYTE, bucket, took);
}

static inline __attribute__((always_inline)) void count_wait(struct metrics_slot *s, const struct sched_job *job) {
    if (job->queued_at)
        metrics_record(s, METRICS_QUEUE, between(job->queued_at, job->begun_at));
    else
        metrics_grow(&s->durations[METRICS_QUEUE].counts[0], 1);
}

/* What may call is first or last, so that little has to be kept for it. */
void count_end(const struct exchange *x) {
    struct lane *lane = x->conn->lane;
    struct metrics_slot *s = lane->count.slot;
    const struct request *r = &x->r;
    if (!lane->accepts || x->status)
        return;
    uint64_t now = sched_moment(lane->sched), took = between(r->begun_at, now);
    metrics_step(s, now, &lane->count.step_until);
    if (r->body.received)
        count_body(s, &r->body);
    unsigned class = class_of(r);
    metrics_add(s, METRICS_REQUESTS + (unsigned)x->conn->ops->protocol * METRICS_CLASS_COUNT + class, 1);
    metrics_add(s, METRICS_ENDED + (unsigned)r->end, 1);
    metrics_add(s, METRICS_SENT_BYTES, r->sent);
    count_durations(s, r, took, class);
    if (!r->job.begun_at)
        return;
    count_wait(s, &r->job);
    if (r->job.ended_at) /* else count_end_late is to come */
        count_call(s, &r->job);
    struct metrics_path *p = metrics_count_path(s, r->job.key, took);
    if (p)
        name_path(s, p, r, took);
}

void count_end_late(const struct exchange *x) {
    struct metrics_slot *s = x->conn->lane->count.slot;
    if (x->r.body.received)
        count_body(s, &x->r.body);
    count_call(s, &x->r.job);
}

/* The present. */

/* Threads that would begin a call: that with the loop is none when as many run as may. */
static unsigned idle(const struct sched_stats *stats, unsigned most, unsigned used) {
    unsigned more = most > stats->busy ? most - stats->busy : 0;
    unsigned unused = stats->threads > used ? stats->threads - used : 0;
    return unused < more ? unused : more;
}

/* Separate, so that a loop in which nothing of this has changed needs no room for it. */
static __attribute__((noinline)) void tell_threads(struct metrics_slot *s, const struct lane *lane) {
    struct sched_stats stats;
    sched_look_stats(lane->sched, &stats);
    unsigned used = stats.busy + stats.peer_waits + stats.made_up;
    metrics_set(s, METRICS_REQUESTS_QUEUED, stats.queued);
    metrics_set(s, METRICS_THREADS, used + idle(&stats, lane->config.threads, used));
    metrics_set(s, METRICS_THREADS_RUNNING, used > stats.lost ? used - stats.lost : 0);
    metrics_set(s, METRICS_THREADS_LOST, stats.lost);
    atomic_store_explicit(&s->counters[METRICS_BATONS_GIVEN], stats.handed_over, memory_order_relaxed);
    atomic_store_explicit(&s->counters[METRICS_BATONS_TAKEN],
                          stats.taken_asleep + stats.taken_computing + stats.taken_free, memory_order_relaxed);
}

void count_settle(struct lane *lane) {
    struct count *count = &lane->count;
    uint64_t moves = sched_moves(lane->sched);
    metrics_set(count->slot, METRICS_CONNECTIONS, atomic_load_explicit(&lane->nconns, memory_order_relaxed));
    metrics_set(count->slot, METRICS_REQUESTS_ACTIVE, atomic_load_explicit(&lane->nrequests, memory_order_relaxed));
    if (moves == count->moves)
        return;
    count->moves = moves;
    tell_threads(count->slot, lane);
}
