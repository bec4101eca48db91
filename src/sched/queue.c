/* The ready queue, and admission: which jobs come in, which one begins next, and which ones have waited too long. */
#include "config.h"

#include "base/clock.h"
#include "sched/sched_impl.h"

/* Admission on arrival, by number. */

static unsigned free_threads(const struct sched *s) {
    unsigned busy = atomic_load(&s->busy) + s->owner.job_runs_loop;
    return busy < s->config.threads ? s->config.threads - busy : 0;
}

bool sched_has_threads(const struct sched *s) {
    return s->queue.count <= free_threads(s);
}

/* A job for which a thread is free does not count towards queue_limit. */
static bool is_full(const struct sched *s) {
    return s->queue.count >= s->config.queue_limit && s->queue.count - s->config.queue_limit >= free_threads(s);
}

bool sched_submit(struct sched *s, struct sched_job *job) {
    if (is_full(s))
        return false;
    job->sched = s;
    job->done.call = job_done;
    job->queued = true;
    job->queued_at = 0;
    TAILQ_INSERT_TAIL(&s->queue.jobs, job, link);
    atomic_store_explicit(&s->queue.count, s->queue.count + 1, memory_order_relaxed);
    return true;
}

bool sched_cancel(struct sched *s, struct sched_job *job) {
    if (!job->queued)
        return false;
    queue_remove(s, job);
    return true;
}

/* Admission while it waits, by time. */

/* A job's time starts when the queue is first looked at and the job stays in it. A slow callback (a slow disk, a full
 * pipe) is not a wait for a thread, and jobs that came during it must not be turned away when they could run. New jobs
 * are at the end of the queue. */
static void stamp(struct sched *s, uint64_t now) {
    struct sched_job *job;
    TAILQ_FOREACH_REVERSE(job, &s->queue.jobs, sched_jobs, link) {
        if (job->queued_at)
            return;
        job->queued_at = now;
    }
}

/* Takes off jobs that waited too long. Returns the oldest of the others, still in the queue. `expired` may submit jobs,
 * which are new then. */
static struct sched_job *expire(struct sched *s, uint64_t now) {
    struct sched_job *job;
    while ((job = TAILQ_FIRST(&s->queue.jobs)) && s->config.queue_timeout && job->queued_at &&
           job->queued_at + s->config.queue_timeout < now) {
        queue_remove(s, job);
        job->ops->expired(job);
    }
    return job;
}

static void timer_start(struct sched *s, const struct sched_job *oldest, uint64_t now) {
    if (!s->config.queue_timeout || ev_is_active(&s->queue.timer))
        return;
    uint64_t due = oldest->queued_at + s->config.queue_timeout;
    ev_now_update(s->config.loop);
    ev_timer_set(&s->queue.timer, due > now ? (double)(due - now) / 1e9 + 0.001 : 0.001, 0.);
    ev_timer_start(s->config.loop, &s->queue.timer);
}

/* Only wakes the owner, which looks at the queue after every event. */
static void timer_cb(struct ev_loop *loop, ev_timer *w, int revents) {
    (void)loop;
    (void)w;
    (void)revents;
}

/* Admission to a thread, in order of arrival. */

/* Whether there will be a thread for the loop in addition to one more job. `threads` jobs run in any case. Those that
 * wait for their peers come on top; if there can be no more threads, the job must wait, not the loop. */
static bool has_thread_for_loop(struct sched *s) {
    return atomic_load(&s->busy) + atomic_load(&s->peer_waits.count) < s->config.threads || threads_can_take(s);
}

static bool may_begin(struct sched *s) {
    return !hold_is_on(s) && atomic_load(&s->busy) < s->config.threads && has_thread_for_loop(s);
}

struct sched_job *queue_admit(struct sched *s) {
    /* The end of a job is the beginning of the next one. */
    if (!s->owner.now_fresh)
        s->owner.now = clock_ns();
    s->owner.now_fresh = false;
    struct sched_job *job = expire(s, s->owner.now);
    if (!job)
        return NULL;
    bool begins = may_begin(s);
    if (!begins || TAILQ_NEXT(job, link))
        stamp(s, s->owner.now);
    if (!begins) {
        timer_start(s, job, s->owner.now);
        return NULL;
    }
    if (s->hold.job)
        hold_end(s);
    return job;
}

void queue_init(struct sched *s) {
    TAILQ_INIT(&s->queue.jobs);
    ev_timer_init(&s->queue.timer, timer_cb, 0., 0.);
}

void queue_fini(struct sched *s) {
    ev_timer_stop(s->config.loop, &s->queue.timer);
}
