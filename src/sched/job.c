/* One job, from its beginning on a thread to its end. */
#include "config.h"

#include "base/clock.h"
#include "sched/sched_impl.h"

static inline void call_run(struct sched_thread *t, struct sched_job *job) {
    atomic_store_explicit(&t->runs, job, memory_order_release);
    job->ops->run(job, t);
    atomic_store_explicit(&t->runs, NULL, memory_order_release);
}

void job_done(struct sched_note *note) {
    struct sched_job *job = (struct sched_job *)(void *)((char *)note - offsetof(struct sched_job, done));
    struct sched *s = job->sched;
    if (s->hold.job == job)
        hold_end(s);
    job->ops->settle(job);
}

/* The order matters: a thread is on the idle stack before it counts as free, so that the owner never starts another
 * because it finds none. */
static enum sched_next end_detached(struct sched_thread *t, struct sched_job *job) {
    struct sched *s = t->s;
    enum sched_next next = threads_put(t);
    atomic_fetch_sub(&s->busy, 1);
    sched_post(s, &job->done);
    return next;
}

enum sched_next job_run_detached(struct sched_thread *t, struct sched_job *job) {
    if (!t->veteran)
        threads_make_veteran(t);
    uint32_t key = job->key;
    measure_begin(t, true, clock_ns());
    call_run(t, job);
    measure_end(t, key, clock_ns(), SCHED_NOT_TAKEN);
    return end_detached(t, job);
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
        measure_end(t, key, now, atomic_load(&t->taken));
        return end_detached(t, job);
    }
    s->owner.now = now;
    s->owner.now_fresh = true;
    measure_end(t, key, now, SCHED_NOT_TAKEN);
    owner_settle_later(s, job);
    return SCHED_NEXT_OWN;
}

void sched_visit_jobs(struct sched *s, sched_visit *visit, void *arg) {
    unsigned count = atomic_load_explicit(&s->pool.started, memory_order_acquire);
    for (unsigned i = 0; i < count; i++) {
        struct sched_job *job = atomic_load(&s->pool.all[i]->runs);
        if (job)
            visit(job, &s->pool.all[i]->runs, arg);
    }
}
