/* Jobs that wait for their peers: they keep their threads, but do not count towards `threads`. When there can be no
 * more such threads, the job that has waited for longest gives way. */
#include "config.h"

#include "base/clock.h"
#include "base/log.h"
#include "sched/sched_impl.h"

/* A peer of the usual kind is not that slow: it would be cut off although its job will soon go on. */
static const uint64_t PATIENCE_NS = 1000000000;

/* Jobs that were told to give way because others had no thread need some time to end. */
static const uint64_t PAUSE_NS = 100000000;

static struct sched *sched_of(struct sched_note *note) {
    return (struct sched *)(void *)((char *)note - offsetof(struct sched, peer_waits.note));
}

/* Giving way. */

/* Looks again when the job that has waited for longest will have done so for long enough. */
static void look_later(struct sched *s, uint64_t ns) {
    if (ev_is_active(&s->peer_waits.timer))
        return;
    ev_now_update(s->config.loop);
    ev_timer_set(&s->peer_waits.timer, (double)ns / 1e9 + 0.001, 0.);
    ev_timer_start(s->config.loop, &s->peer_waits.timer);
}

/* It is not picked any more. */
static void tell_locked(struct sched_thread *t) {
    struct sched *s = t->s;
    TAILQ_REMOVE(&s->peer_waits.all, t, wait_link);
    t->told = true;
    s->peer_waits.told++;
}

/* Who has lost the job has seen to it that the wait ends. Also a wait that begins later will be over soon, as nobody is
 * there whom it could be for. */
unsigned peer_wait_lose(struct sched_thread *t, unsigned mark) {
    struct sched *s = t->s;
    pthread_mutex_lock(&s->peer_waits.lock);
    unsigned before = atomic_load(&t->fate);
    while ((before & FATE_DETACHED) && !atomic_compare_exchange_weak(&t->fate, &before, before | mark))
        ;
    if ((before & FATE_PEER_WAIT) && !t->told)
        tell_locked(t);
    pthread_mutex_unlock(&s->peer_waits.lock);
    return before;
}

/* Returns the job that has waited for longest, which is to give way; or NULL, when none has waited for long enough. */
static struct sched_job *pick(struct sched *s, uint64_t *waited) {
    struct sched_job *job = NULL;
    uint64_t now = clock_ns();
    *waited = 0;
    pthread_mutex_lock(&s->peer_waits.lock);
    struct sched_thread *t = TAILQ_FIRST(&s->peer_waits.all);
    if (t)
        *waited = now > t->waits_since ? now - t->waits_since : 0;
    if (t && *waited >= s->peer_waits.patience) {
        tell_locked(t);
        job = atomic_load_explicit(&t->runs, memory_order_relaxed);
    }
    pthread_mutex_unlock(&s->peer_waits.lock);
    if (!job && t)
        look_later(s, s->peer_waits.patience - *waited);
    return job;
}

/* Its end is posted to the owner, so the job is there until this returns. */
static bool one_gives_way(struct sched *s) {
    char more[LOG_MORE_SIZE];
    uint64_t waited;
    struct sched_job *job = pick(s, &waited);
    if (!job)
        return false;
    if (log_limit_due(&s->peer_waits.log, more)) {
        sched_pause(s);
        log_warning(
            "%u calls wait for their peers, and there can be no more threads: the one that has waited for longest "
            "(%llu s) is cut off; let a web server buffer bodies and answers, or raise --min-send-rate%s",
            atomic_load(&s->peer_waits.count), (unsigned long long)(waited / 1000000000), more);
    }
    job->ops->gives_way(job);
    return true;
}

/* How many jobs wait for their peers, but for those that were told to give way. */
static unsigned waiting(struct sched *s) {
    pthread_mutex_lock(&s->peer_waits.lock);
    unsigned n = atomic_load(&s->peer_waits.count) - s->peer_waits.told;
    pthread_mutex_unlock(&s->peer_waits.lock);
    return n;
}

static void keep_within_bound(struct sched *s) {
    while (waiting(s) > s->peer_waits.max && one_gives_way(s))
        ;
}

void peer_wait_give_way(struct sched *s) {
    unsigned busy = atomic_load(&s->busy);
    if (!atomic_load(&s->peer_waits.count) || busy >= s->config.threads)
        return;
    if (s->owner.now < s->peer_waits.paused_until) {
        look_later(s, s->peer_waits.paused_until - s->owner.now);
        return;
    }
    unsigned jobs = s->queue.count, most = s->config.threads - busy;
    unsigned wanted = jobs < most ? jobs : most, left = wanted;
    while (left && one_gives_way(s))
        left--;
    if (left < wanted)
        s->peer_waits.paused_until = s->owner.now + s->peer_waits.pause;
}

static void note_cb(struct sched_note *note) {
    struct sched *s = sched_of(note);
    atomic_store(&s->peer_waits.noted, false);
    keep_within_bound(s);
}

/* Wakes the owner as well, which looks at the queue after every event. */
static void timer_cb(struct ev_loop *loop, ev_timer *w, int revents) {
    (void)loop;
    (void)revents;
    keep_within_bound(w->data);
}

/* Waiting. */

/* Whether the caller waits for the thread's own job, and does not have the loop. */
static bool may_wait(struct sched_thread *t) {
    return t && t->s->peer_waits.max && pthread_equal(t->id, pthread_self()) &&
           !baton_is_lent(t, atomic_load_explicit(&t->s->word, memory_order_relaxed));
}

void sched_peer_wait_begins(struct sched_thread *t) {
    if (!may_wait(t))
        return;
    struct sched *s = t->s;
    t->waits_since = clock_ns();
    pthread_mutex_lock(&s->peer_waits.lock);
    unsigned count = atomic_fetch_add(&s->peer_waits.count, 1) + 1;
    unsigned before = atomic_fetch_or(&t->fate, FATE_PEER_WAIT);
    TAILQ_INSERT_TAIL(&s->peer_waits.all, t, wait_link);
    if (before & FATE_LOST)
        tell_locked(t);
    pthread_mutex_unlock(&s->peer_waits.lock);
    /* By the owner: the caller may hold what the loop needs. */
    if (count > s->peer_waits.max && !atomic_exchange(&s->peer_waits.noted, true))
        sched_post(s, &s->peer_waits.note);
    /* An owner that found all threads busy, or as many watched as may be, waits for an event. */
    bool wakes = follow_end(t);
    if (fate_counts(before) && atomic_fetch_sub(&s->busy, 1) >= s->config.threads)
        wakes = true;
    note_move(s);
    if (wakes)
        post_wake_owner(s);
}

void sched_peer_wait_ends(struct sched_thread *t) {
    if (!t || !pthread_equal(t->id, pthread_self()) || !(atomic_load(&t->fate) & FATE_PEER_WAIT))
        return;
    struct sched *s = t->s;
    atomic_load_explicit(&t->runs, memory_order_relaxed)->waited += clock_ns() - t->waits_since;
    pthread_mutex_lock(&s->peer_waits.lock);
    if (fate_counts(atomic_fetch_and(&t->fate, ~(unsigned)FATE_PEER_WAIT) & ~(unsigned)FATE_PEER_WAIT))
        atomic_fetch_add(&s->busy, 1);
    if (t->told)
        s->peer_waits.told--;
    else
        TAILQ_REMOVE(&s->peer_waits.all, t, wait_link);
    t->told = false;
    atomic_fetch_sub(&s->peer_waits.count, 1);
    note_move(s);
    pthread_mutex_unlock(&s->peer_waits.lock);
}

/* Life. */

void peer_wait_init(struct sched *s) {
    s->peer_waits.max = s->config.threads > 1 ? s->config.peer_waits_max : 0;
    s->peer_waits.patience = PATIENCE_NS;
    s->peer_waits.pause = PAUSE_NS;
    s->peer_waits.note.call = note_cb;
    TAILQ_INIT(&s->peer_waits.all);
    pthread_mutex_init(&s->peer_waits.lock, NULL);
    ev_timer_init(&s->peer_waits.timer, timer_cb, 0., 0.);
    s->peer_waits.timer.data = s;
}

void peer_wait_fini(struct sched *s) {
    ev_timer_stop(s->config.loop, &s->peer_waits.timer);
    pthread_mutex_destroy(&s->peer_waits.lock);
}
