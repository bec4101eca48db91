/* Lost jobs: they take too long, nobody waits for them any more, and their threads are made up for, as long as these
 * are not too many.
 *
 * The owner alone decides who is lost and who is made up for. A thread only ends its job meanwhile, or begins or ends a
 * peer wait; `fate` says which of them came first.
 *
 * What is known of the kind of such a job is learnt as of any other at its end (measure.c): that it blocked, or
 * computed, is true of the next of its kind as well, and for how long does not matter, as no call counts for more than
 * the watch lets it leave the loop alone. Its duration is not (queue_note_end). */
#include "config.h"

#include "sched/sched_impl.h"
#include "sched/taskstat.h"

/* The calling thread. */
static struct sched_thread *owner(const struct sched *s) {
    return s->pool.all[word_owner(atomic_load_explicit(&s->word, memory_order_relaxed))];
}

struct sched_job *sched_looping(const struct sched *s) {
    return s->owner.job_runs_loop ? atomic_load_explicit(&owner(s)->inline_job, memory_order_relaxed) : NULL;
}

/* A thread that has ended the job may run another one by now, before the owner has settled the first. */
static struct sched_thread *detached_on(const struct sched_job *job) {
    struct sched_thread *t = job->thread;
    return t && t->detached_job == job ? t : NULL;
}

struct sched_thread *sched_thread_of(const struct sched *s, const struct sched_job *job) {
    if (job == sched_looping(s))
        return owner(s);
    struct sched_thread *t = detached_on(job);
    return t && (atomic_load(&t->fate) & FATE_DETACHED) ? t : NULL;
}

int sched_thread_tid(const struct sched_thread *t) {
    return atomic_load(&t->tid);
}

bool sched_thread_time(const struct sched_thread *t, uint64_t *ns) {
    int tid = sched_thread_tid(t);
    return tid && taskstat_time_of(tid, ns);
}

unsigned sched_lost(const struct sched *s) {
    return atomic_load(&s->lost.count);
}

static bool has_room(const struct sched *s) {
    return atomic_load_explicit(&s->lost.made_up, memory_order_relaxed) < s->lost.max;
}

/* Adds bits to what the thread of a lost job counts as. Returns false if that has ended. Who is made up for counts as
 * both for a moment, as with peer waits: there may be too many threads then, but not too few. */
static bool mark(struct sched *s, struct sched_thread *t, unsigned bits) {
    if (bits & FATE_MADE_UP)
        atomic_fetch_add(&s->lost.made_up, 1);
    unsigned before = peer_wait_lose(t, bits);
    bool runs = before & FATE_DETACHED;
    if (runs && fate_counts(before) && !fate_counts(before | bits))
        atomic_fetch_sub(&s->busy, 1);
    if (!runs && (bits & FATE_MADE_UP))
        atomic_fetch_sub(&s->lost.made_up, 1);
    note_move(s);
    return runs;
}

/* Counts it first: the thread takes it off when it ends the job. */
static bool lose(struct sched *s, struct sched_thread *t, bool makes_up) {
    atomic_fetch_add(&s->lost.count, 1);
    bool runs = mark(s, t, FATE_LOST | (makes_up ? FATE_MADE_UP : 0));
    if (!runs)
        atomic_fetch_sub(&s->lost.count, 1);
    return runs;
}

/* The owner looks at the queue after every event, and tells others what has changed; there is one in any case. */
void sched_lose(struct sched *s, struct sched_job *job) {
    struct sched_thread *t = detached_on(job);
    bool makes_up = has_room(s);
    if (!t || job->lost || !lose(s, t, makes_up))
        return;
    job->lost = true;
    job->made_up_for = makes_up;
    if (!makes_up)
        TAILQ_INSERT_TAIL(&s->lost.rest, job, link);
    follow_end(t);
    if (s->hold.job == job)
        hold_end(s);
    if (makes_up)
        threads_open_stat(owner(s));
    post_wake_owner(s);
}

/* Those that have ended stay in the list until they are settled. */
static void make_up_for_next(struct sched *s) {
    struct sched_job *job;
    TAILQ_FOREACH(job, &s->lost.rest, link) {
        struct sched_thread *t = detached_on(job);
        if (!t || !mark(s, t, FATE_MADE_UP))
            continue;
        TAILQ_REMOVE(&s->lost.rest, job, link);
        job->made_up_for = true;
        return;
    }
}

bool lost_note_end(struct sched *s, struct sched_job *job) {
    bool lost = job->lost, made_up_for = job->made_up_for;
    job->thread = NULL;
    job->lost = job->made_up_for = false;
    if (made_up_for) {
        atomic_fetch_sub(&s->lost.made_up, 1);
        make_up_for_next(s);
        note_move(s);
    } else if (lost)
        TAILQ_REMOVE(&s->lost.rest, job, link);
    return made_up_for;
}

void lost_init(struct sched *s) {
    s->lost.max = s->config.threads > 1 ? s->config.lost_max : 0;
    TAILQ_INIT(&s->lost.rest);
}
