/* What jobs do: a thread is followed while its job runs detached, and the watch looks at it. So kinds of jobs are known
 * that compute without the jobs' lock. */
#include "config.h"

#include "base/clock.h"
#include "sched/sched_impl.h"

/* For so long at most: enough is known then, and others that wait for a processor have waited enough. Less than the
 * time after which those are refused (BACKLOG_PATIENCE_NS). */
static const uint64_t FOLLOW_NS = 500000000;

enum {
    JUDGE_LOOKS = 2, /* so many tell what a job does */
    /* Looks in a row at which a thread was asleep, after which it rests: nobody waits for its job, nor does the watch
     * stay awake for it. */
    REST_LOOKS = 10,
    SAMPLES_MAX = 8 /* threads whose jobs are not known to be free: however many sleep, few are looked at */
};

/* Of sched_thread.follow. */
enum {
    FOLLOWED = 1,
    ACTIVE = 2,  /* and does not rest */
    COMPUTES = 4 /* its job is free, as far as is known: it counts in sched.watched while it is active */
};

static bool has_released(struct sched_thread *t) {
    struct sched_config *config = &t->s->config;
    return config->thread_released && !t->stops && config->thread_released(t, config->user);
}

bool sched_has_lock(struct sched_thread *t) {
    struct sched *s = t->s;
    pthread_mutex_lock(&s->watch_lock);
    bool has = s->config.thread_released && !t->stops && !atomic_load(&t->lock_wait) && !has_released(t);
    pthread_mutex_unlock(&s->watch_lock);
    return has;
}

bool sched_waits_for_lock(const struct sched_thread *t) {
    return atomic_load_explicit(&t->lock_wait, memory_order_relaxed);
}

uint64_t sched_waits_for_lock_since(const struct sched_thread *t) {
    if (!atomic_load_explicit(&t->lock_wait, memory_order_acquire))
        return 0;
    uint64_t from = atomic_load_explicit(&t->lock_from, memory_order_relaxed);
    return from ? from : atomic_load_explicit(&t->lock_seen, memory_order_relaxed);
}

/* A thread that sleeps because it waits for the jobs' lock has not let go of anything. */
enum follow_sight follow_look(struct sched_thread *t) {
    if (atomic_load_explicit(&t->lock_wait, memory_order_relaxed)) {
        if (!atomic_load_explicit(&t->lock_seen, memory_order_relaxed))
            atomic_store_explicit(&t->lock_seen, clock_ns(), memory_order_relaxed);
        return FOLLOW_HOLDS;
    }
    return threads_is_asleep(t) ? FOLLOW_ASLEEP : has_released(t) ? FOLLOW_FREE : FOLLOW_HOLDS;
}

void follow_note(struct sched_thread *t, unsigned free, unsigned held) {
    atomic_store(&t->seen_free, free);
    atomic_store(&t->seen_held, held);
    atomic_store(&t->seen_asleep, 0);
    atomic_store(&t->asleep_row, 0);
}

/* The counters. */

static void count(struct sched *s, unsigned state, unsigned by) {
    if (!(state & ACTIVE))
        return;
    atomic_fetch_add(&s->followed, by);
    if (state & COMPUTES)
        atomic_fetch_add(&s->watched, by);
}

static void uncount(struct sched *s, unsigned state) {
    count(s, state, -1u);
}

bool follow_has_room(const struct sched *s) {
    return atomic_load_explicit(&s->sampled, memory_order_relaxed) < SAMPLES_MAX;
}

void follow_begin(struct sched_thread *t, bool free) {
    struct sched *s = t->s;
    unsigned state = FOLLOWED | ACTIVE | (free ? COMPUTES : 0);
    if (!free)
        atomic_fetch_add(&s->sampled, 1);
    atomic_store(&t->followed_at, clock_ns());
    count(s, state, 1);
    atomic_store(&t->follow, state);
    if (atomic_load(&s->watch_parked))
        watch_wake(s);
}

bool follow_end(struct sched_thread *t) {
    unsigned state = atomic_exchange(&t->follow, 0);
    uncount(t->s, state);
    if (state && !(state & COMPUTES))
        atomic_fetch_sub(&t->s->sampled, 1);
    return (state & ACTIVE) && (state & COMPUTES);
}

/* The two below may find that the job has ended, and the thread even runs another one. */

static void rest(struct sched_thread *t, unsigned state) {
    if (!(state & ACTIVE) || !atomic_compare_exchange_strong(&t->follow, &state, state & ~ACTIVE))
        return;
    uncount(t->s, state);
    if (state & COMPUTES)
        post_wake_owner(t->s);
}

/* Counts it first: whoever ends it then takes it off. An owner that saw it counted in vain looks again. */
static void rouse(struct sched_thread *t, unsigned state) {
    unsigned expected = state, active = state | ACTIVE;
    if (state == active)
        return;
    count(t->s, active, 1);
    if (atomic_compare_exchange_strong(&t->follow, &expected, active))
        return;
    uncount(t->s, active);
    post_wake_owner(t->s);
}

/* Looks. */

bool follow_lock_is_held(struct sched *s, const struct sched_thread *but) {
    unsigned threads = atomic_load_explicit(&s->pool.started, memory_order_acquire);
    for (unsigned i = 0; i < threads; i++) {
        struct sched_thread *t = s->pool.all[i];
        if (t != but && atomic_load(&t->runs) && !has_released(t))
            return true;
    }
    return false;
}

/* What is asked once in each round of looks, and only if it has to be: it takes a look at every thread. */
enum held { HELD_UNKNOWN, HELD, HELD_NOT };

static bool is_held(struct sched *s, enum held *held) {
    if (*held == HELD_UNKNOWN)
        *held = follow_lock_is_held(s, NULL) ? HELD : HELD_NOT;
    return *held == HELD;
}

static void look_at(struct sched *s, struct sched_thread *t, unsigned state, uint64_t now, enum held *held) {
    uint64_t since = atomic_load(&t->followed_at);
    if (now > since && now - since > FOLLOW_NS) {
        if (follow_end(t))
            post_wake_owner(s);
        return;
    }
    if (atomic_load_explicit(&t->lock_wait, memory_order_relaxed))
        return;
    enum follow_sight sight = follow_look(t);
    bool tells = sight == FOLLOW_HOLDS || !is_held(s, held), asleep = tells && sight == FOLLOW_ASLEEP;
    if (tells)
        atomic_fetch_add(asleep ? &t->seen_asleep : sight == FOLLOW_FREE ? &t->seen_free : &t->seen_held, 1);
    unsigned row = asleep ? atomic_load(&t->asleep_row) + 1 : 0;
    atomic_store(&t->asleep_row, row);
    if (row >= REST_LOOKS)
        rest(t, state);
    else if (sight != FOLLOW_ASLEEP)
        rouse(t, state);
}

void follow_look_at_all(struct sched *s) {
    unsigned threads = atomic_load_explicit(&s->pool.started, memory_order_acquire);
    enum held held = HELD_UNKNOWN;
    for (unsigned i = 0; i < threads; i++) {
        unsigned state = atomic_load(&s->pool.all[i]->follow);
        if (state)
            look_at(s, s->pool.all[i], state, clock_ns(), &held);
    }
}

bool follow_judge(struct sched_thread *t, struct follow_verdict *verdict) {
    unsigned free = atomic_load(&t->seen_free), held = atomic_load(&t->seen_held);
    unsigned asleep = atomic_load(&t->seen_asleep);
    if (free + held + asleep < JUDGE_LOOKS)
        return false;
    *verdict = (struct follow_verdict){.free = free > held + asleep, .apart = free + asleep > held};
    return true;
}
