/* One job, from its beginning on a thread to its end. */
#include "config.h"

#include "base/clock.h"
#include "sched/sched_impl.h"

static inline void call_run(struct sched_thread *t, struct sched_job *job) {
    atomic_store_explicit(&t->runs, job, memory_order_release);
    job->ops->run(job, t);
    atomic_store_explicit(&t->runs, NULL, memory_order_release);
}

static inline void tell_times(const struct sched_thread *t, struct sched_job *job, uint64_t now, uint64_t used) {
    job->ended_at = now;
    job->processor_time = used;
    job->lock_waited = t->measure.lock_waited;
}

void job_done(struct sched_note *note) {
    struct sched_job *job = (struct sched_job *)(void *)((char *)note - offsetof(struct sched_job, done));
    struct sched *s = job->sched;
    bool was_lost = job->lost, made_up_for = lost_note_end(s, job);
    if (s->hold.job == job)
        hold_end(s);
    if (!made_up_for)
        s->owner.last_end = owner_time(s);
    queue_note_end(s, job, was_lost);
    if (atomic_load_explicit(&s->pool.alive, memory_order_relaxed) > s->config.threads + 1)
        retire_later(s);
    if (job->ops->rejoined)
        job->ops->rejoined(job);
    job->ops->settle(job);
}

static enum sched_next end_detached(struct sched_thread *t, struct sched_job *job, uint32_t key) {
    struct sched *s = t->s;
    caught_judge(t, key);
    enum sched_next next = threads_put(t);
    sched_post(s, &job->done);
    return next;
}

enum sched_next job_run_detached(struct sched_thread *t, struct sched_job *job, enum sched_reason reason) {
    if (!t->veteran)
        threads_make_veteran(t);
    uint32_t key = job->key;
    measure_begin(t, true, clock_ns());
    call_run(t, job);
    uint64_t now = clock_ns();
    tell_times(t, job, now, measure_end(t, key, now, reason));
    return end_detached(t, job, key);
}

enum sched_next job_run_inline(struct sched_thread *t, struct sched_job *job, bool counts_switches) {
    struct sched *s = t->s;
    uint32_t key = job->key;
    measure_begin(t, counts_switches, s->owner.now);
    atomic_store_explicit(&t->inline_job, job, memory_order_relaxed);
    t->going = false; /* the job has it now */
    baton_lend(t);
    call_run(t, job);

    uint64_t now = clock_ns();
    if (!baton_return(t)) {
        baton_pause(t);
        tell_times(t, job, now, measure_end(t, key, now, atomic_load(&t->taken)));
        return end_detached(t, job, key);
    }
    s->owner.now = s->owner.last_end = now;
    s->owner.now_fresh = true;
    tell_times(t, job, now, measure_end(t, key, now, SCHED_NOT_TAKEN));
    owner_settle_later(s, job);
    return SCHED_NEXT_OWN;
}

struct sched_thread *sched_thread_running(struct sched_job *_Atomic *at) {
    return (struct sched_thread *)((uintptr_t)at - offsetof(struct sched_thread, runs));
}

void sched_visit_jobs(struct sched *s, sched_visit *visit, void *arg) {
    unsigned count = atomic_load_explicit(&s->pool.started, memory_order_acquire);
    for (unsigned i = 0; i < count; i++) {
        struct sched_job *job = atomic_load(&s->pool.all[i]->runs);
        if (job)
            visit(job, &s->pool.all[i]->runs, arg);
    }
}
