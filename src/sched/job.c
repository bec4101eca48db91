/* One job, from its beginning on a thread to its end. */
#include "config.h"

#include "base/clock.h"
#include "sched/sched_impl.h"

static inline void call_run(struct sched_thread *t, struct sched_job *job) {
    atomic_store_explicit(&t->runs, job, memory_order_release);
    job->ops->run(job, t);
    atomic_store_explicit(&t->runs, NULL, memory_order_release);
}

/* Ends a job, and is the only way to do so: the owner settles it. Called when run() has returned, by the thread that
 * ran it: either with the baton, and s->owner.now of that moment, or without. A job that goes on after its run(), as a
 * coroutine does, would end here too: from a callback of the loop (`owned`), or from any thread. What was measured and
 * counted of its thread is handled by the callers. */
static inline void job_end(struct sched *s, struct sched_job *job, bool owned) {
    if (owned)
        owner_settle_later(s, job);
    else
        sched_post(s, &job->done);
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
    job_end(s, job, false);
    return next;
}

enum sched_next job_run_detached(struct sched_thread *t, struct sched_job *job) {
    if (!t->veteran)
        threads_make_veteran(t);
    measure_begin(t, true, clock_ns());
    call_run(t, job);
    measure_end(t, job, clock_ns(), SCHED_NOT_TAKEN);
    return end_detached(t, job);
}

enum sched_next job_run_inline(struct sched_thread *t, struct sched_job *job, bool counts_switches) {
    struct sched *s = t->s;
    measure_begin(t, counts_switches, s->owner.now);
    atomic_store_explicit(&t->inline_job, job, memory_order_relaxed);
    t->going = false; /* the job has it now */
    baton_lend(t);
    call_run(t, job);

    uint64_t now = clock_ns();
    if (!baton_return(t)) {
        baton_pause(t);
        measure_end(t, job, now, atomic_load(&t->taken));
        return end_detached(t, job);
    }
    s->owner.now = now;
    s->owner.now_fresh = true;
    measure_end(t, job, now, SCHED_NOT_TAKEN);
    job_end(s, job, true);
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
