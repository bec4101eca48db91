/* What the owner does: it polls, runs the jobs that are ready, and settles those that have ended. */
#include "config.h"

#include "base/clock.h"
#include "sched/sched_impl.h"

enum {
    POLL_NS = 1000000,        /* with jobs in the queue the owner runs them for so long before it polls again, */
    POLL_SHARE = 3,           /* or for so many times as long as it took to poll, */
    POLL_MOST_NS = 300000000, /* but for no longer: what reads 5,000 connections, three times */
    GATHER_NS = 30000 /* so long the first of several jobs that have ended may wait to be settled with the others */
};

/* Runs before the callbacks of what the loop has found. */
static void check_cb(struct ev_loop *loop, ev_check *w, int revents) {
    (void)loop;
    (void)revents;
    struct sched *s = w->data;
    s->owner.polled = clock_ns();
}

uint64_t sched_polled(const struct sched *s) {
    return s->owner.polled;
}

void owner_init(struct sched *s) {
    TAILQ_INIT(&s->owner.ended);
    ev_check_init(&s->owner.check, check_cb);
    ev_set_priority(&s->owner.check, SCHED_CHECK_PRIORITY);
    s->owner.check.data = s;
    ev_check_start(s->config.loop, &s->owner.check);
}

void owner_fini(struct sched *s) {
    ev_check_stop(s->config.loop, &s->owner.check);
}

/* Settling. */

static void settle_ended(struct sched *s) {
    struct sched_job *job;
    while ((job = TAILQ_FIRST(&s->owner.ended))) {
        TAILQ_REMOVE(&s->owner.ended, job, link);
        s->owner.now_fresh = false;
        job->ops->settle(job);
    }
}

bool sched_settles_more(const struct sched *s, const struct sched_job *job) {
    const struct sched_job *next = TAILQ_FIRST(&s->owner.ended);
    return next && job->group && next->group == job->group;
}

/* Whether ended jobs are settled after the next job rather than before it. Answers that leave together find the peer
 * awake; waking it for each costs more than running a quick job. Only for jobs of a kind that was quick many times in a
 * row. If one of them blocks nevertheless, the thread that takes the loop over settles the ended jobs before it.
 * Worth: without it 5 to 8 % more CPU with 32 connections, 1.7 to 1.9 times as much with multiplexing; with one request
 * at a time it does nothing. */
static bool gathers(struct sched *s, const struct sched_job *next) {
    return s->owner.now - s->owner.ended_at < GATHER_NS && predict_is_quick(measure_kind(s, next));
}

/* Polling. */

/* With all settled that has ended. */
static inline void poll_events(struct sched_thread *t, int flags) {
    baton_pause(t);
    ev_run(t->s->config.loop, flags);
}

static bool may_stay(struct sched *s) {
    return queue_is_empty(s) && !atomic_load(&s->quit);
}

bool sched_run_loop(struct sched_thread *t) {
    struct sched *s = t->s;
    if (!pthread_equal(t->id, pthread_self()) || !baton_return(t))
        return false;
    measure_skip_begin(t);
    s->owner.job_runs_loop = true;
    bool settled = !TAILQ_EMPTY(&s->owner.ended);
    settle_ended(s);
    if (!settled && may_stay(s)) /* what was waited for may have come by settling */
        ev_run(s->config.loop, EVRUN_ONCE);
    bool stays = may_stay(s);
    s->owner.job_runs_loop = false;
    measure_skip_end(t);
    baton_lend(t);
    return stays;
}

/* For how long jobs run, if there are as many, before the owner polls again. Reading is work, too: with more requests
 * coming than can be answered, whoever reads them all has no time left for any of them, and those that nobody has read
 * cost nothing. They stay in the sockets, and the bound on connections bounds both their number and what polling
 * takes. */
static uint64_t share_of_jobs(const struct sched *s) {
    uint64_t share = POLL_SHARE * (s->owner.runs_since - s->owner.polled);
    return share < POLL_NS ? POLL_NS : share > POLL_MOST_NS ? POLL_MOST_NS : share;
}

/* The part of attend for a job that is not the first one after polling. */
static bool attend_again(struct sched_thread *t) {
    struct sched *s = t->s;
    if (s->owner.now - s->owner.runs_since > share_of_jobs(s)) {
        settle_ended(s);
        poll_events(t, EVRUN_NOWAIT);
        return true;
    }
    /* Jobs that have ended on other threads do not wait for that. */
    if (s->owner.now - s->owner.called > POLL_NS && post_is_due(s)) {
        s->owner.called = s->owner.now;
        settle_ended(s);
        baton_pause(t);
        post_call(s);
        return true;
    }
    return false;
}

/* What has to be done before another job begins. Returns whether that was anything, and the queue may be another. */
static inline bool attend(struct sched_thread *t) {
    struct sched *s = t->s;
    if (s->owner.runs_since >= s->owner.polled)
        return attend_again(t);
    s->owner.runs_since = s->owner.called = s->owner.now;
    return false;
}

/* Running jobs. */

/* Lets the watch look at a job that is about to run detached on the thread. */
static enum sched_reason follow(struct sched *s, struct sched_thread *t, const struct sched_job *job) {
    struct predict_kind *kind = measure_kind(s, job);
    bool free = predict_is_free(kind);
    if (!s->config.thread_released || !predict_wants_look(kind) || !(free || follow_has_room(s)))
        return SCHED_NOT_TAKEN;
    follow_note(t, 0, 0);
    follow_begin(t, free);
    return SCHED_FREE;
}

/* Gives a job that is expected to block to a thread without the baton: to an idle veteran, if this thread is none and
 * there is one; else to this thread, after another has got the baton. Returns false if there is no other thread. */
static bool run_blocking(struct sched_thread *t, struct sched_job *job, enum sched_next *next) {
    struct sched *s = t->s;
    struct sched_thread *veteran = t->veteran ? NULL : threads_take_veteran(s);
    struct sched_thread *other = veteran ? veteran : threads_take(s);
    if (!other)
        return false;
    queue_take(s, job);
    s->owner.last_detached = s->owner.now;
    struct sched_thread *runs = veteran ? veteran : t;
    fate_begin(s, runs, job);
    atomic_fetch_add_explicit(&s->handed_over, 1, memory_order_relaxed);
    note_move(s);
    enum sched_reason reason = follow(s, runs, job);
    caught_begin_detached(runs, job);
    job_note_detached(job);
    if (veteran) {
        caught_tell(s);
        threads_wake(veteran, SCHED_MAIL_JOB, job, reason);
        *next = SCHED_NEXT_OWN;
    } else {
        baton_give(s, other);
        *next = job_run_detached(t, job, reason);
    }
    return true;
}

/* Whether a job that computes is better begun without the loop: another process has time for what comes meanwhile. */
static bool goes_apart(const struct sched *s, struct predict_kind *kind) {
    return s->config.hurries && predict_holds(kind) && s->config.hurries(s->config.others_arg);
}

static enum sched_next run_job(struct sched_thread *t, struct sched_job *job) {
    struct sched *s = t->s;
    struct predict_kind *kind = measure_kind(s, job);
    if (predict_blocks(kind) || goes_apart(s, kind)) {
        enum sched_next next;
        baton_pause(t);
        if (run_blocking(t, job, &next))
            return next;
    }
    if (!t->veteran) {
        struct sched_thread *veteran = threads_take_veteran(s);
        if (veteran) {
            enum sched_next next = threads_put(t);
            baton_give(s, veteran);
            return next;
        }
        threads_make_veteran(t);
    }
    queue_take(s, job);
    return job_run_inline(t, job, predict_wants_measure(kind));
}

enum sched_next owner_run(struct sched_thread *t) {
    struct sched *s = t->s;
    for (;;) {
        if (atomic_load(&s->quit)) {
            settle_ended(s);
            baton_pause(t);
            return SCHED_NEXT_END;
        }
        struct sched_job *job = queue_first(s);
        if (!TAILQ_EMPTY(&s->owner.ended) && !(job && gathers(s, job))) {
            settle_ended(s); /* which may cancel the job */
            continue;
        }
        if (!job) {
            if (!atomic_load(&s->quit)) /* `expired` may have ended the last request */
                poll_events(t, EVRUN_ONCE);
            continue;
        }
        if (attend(t))
            continue;
        enum sched_next next = run_job(t, job);
        if (next != SCHED_NEXT_OWN)
            return next;
    }
}
