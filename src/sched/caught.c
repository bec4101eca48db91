/* Whether jobs compute that have lost the loop, or no thread is free: what others are told, who can do meanwhile what
 * this process cannot do well. A hold is over after a while, because somebody has to make progress here; this lasts as
 * long as the job computes. Only with config.caught: a process that is alone has nobody to tell.
 *
 * Jobs that begin detached may compute as well. Those of kinds that are known to do so are taken to compute from their
 * beginning; of all others a few are looked at. */
#include "config.h"

#include "sched/sched_impl.h"

enum {
    REST_LOOKS = 10, /* in a row at which the job did not compute, after which it is looked at no more */
    SURE_LOOKS = 2,  /* in a row at which one computed that is not known to */
    JUDGE_LOOKS = 2, /* fewer tell nothing: a job that is so short is not worth a hand-over */
    SAMPLES_MAX = 8  /* threads that are looked at though their jobs are not known to compute */
};

/* Of sched_thread.caught. */
enum {
    NOT_CAUGHT, /* it is not looked at, or runs no job */
    CAUGHT,     /* counts in sched_caught.count */
    UNSURE,     /* it does not, but is looked at: its job has not computed yet, as far as was seen */
    LET_GO,     /* the same: it computed before */
    RESTS       /* it was looked at for long enough */
};

static bool is_looked_at(unsigned state) {
    return state == CAUGHT || state == UNSURE || state == LET_GO;
}

static void begin(struct sched_thread *t, unsigned state) {
    struct sched *s = t->s;
    atomic_store(&t->let_go_row, 0);
    atomic_store(&t->held_row, 0);
    atomic_store(&t->looks_held, 0);
    atomic_store(&t->looks_other, 0);
    atomic_fetch_add(&s->caught.looked_at, 1);
    atomic_fetch_add(&s->followed, 1);
    if (state == CAUGHT)
        atomic_fetch_add(&s->caught.count, 1);
    atomic_store(&t->caught, state);
    if (atomic_load(&s->watch_parked))
        watch_wake(s);
}

void caught_begin(struct sched_thread *t) {
    if (t->s->config.caught)
        begin(t, CAUGHT);
}

void caught_begin_detached(struct sched_thread *t, const struct sched_job *job) {
    struct sched *s = t->s;
    if (!s->config.caught)
        return;
    if (predict_holds(measure_kind(s, job)))
        begin(t, CAUGHT);
    else if (atomic_load_explicit(&s->caught.looked_at, memory_order_relaxed) < SAMPLES_MAX)
        begin(t, UNSURE);
}

/* It is looked at no more. */
static void uncount(struct sched *s, unsigned state) {
    if (!is_looked_at(state))
        return;
    atomic_fetch_sub(&s->followed, 1);
    atomic_fetch_sub(&s->caught.looked_at, 1);
    if (state == CAUGHT)
        atomic_fetch_sub(&s->caught.count, 1);
}

void caught_end(struct sched_thread *t) {
    if (atomic_load_explicit(&t->caught, memory_order_relaxed))
        uncount(t->s, atomic_exchange(&t->caught, NOT_CAUGHT));
}

void caught_judge(struct sched_thread *t, uint32_t key) {
    if (!atomic_load_explicit(&t->caught, memory_order_relaxed))
        return;
    unsigned held = atomic_load(&t->looks_held), other = atomic_load(&t->looks_other);
    struct predict_kind *kind = predict_kind(predict_slot(&t->s->predict, key), key);
    predict_record_holds(kind, held + other >= JUDGE_LOOKS && held > other);
}

/* The three below may find that the job has ended, and the thread even runs another one. */

static void let_go(struct sched_thread *t) {
    unsigned state = CAUGHT;
    if (atomic_compare_exchange_strong(&t->caught, &state, LET_GO)) {
        atomic_fetch_sub(&t->s->caught.count, 1);
        post_wake_owner(t->s);
    }
}

/* Counts it first: whoever ends it then takes it off. */
static void catch_it(struct sched_thread *t, unsigned state) {
    atomic_fetch_add(&t->s->caught.count, 1);
    if (!atomic_compare_exchange_strong(&t->caught, &state, CAUGHT))
        atomic_fetch_sub(&t->s->caught.count, 1);
    post_wake_owner(t->s);
}

static void rest(struct sched_thread *t, unsigned state) {
    if (atomic_compare_exchange_strong(&t->caught, &state, RESTS))
        uncount(t->s, state);
}

/* Who is without the lock while another job has it may be waiting for it, in the midst of computing. */
static void look_at(struct sched_thread *t, unsigned state) {
    bool computes = follow_look(t) == FOLLOW_HOLDS;
    if (!computes && follow_lock_is_held(t->s, t))
        return;
    atomic_fetch_add(computes ? &t->looks_held : &t->looks_other, 1);
    unsigned held = computes ? atomic_load(&t->held_row) + 1 : 0,
             other = computes ? 0 : atomic_load(&t->let_go_row) + 1;
    atomic_store(&t->held_row, held);
    atomic_store(&t->let_go_row, other);
    if (state == CAUGHT && other)
        let_go(t);
    else if (state != CAUGHT && held >= (state == UNSURE ? SURE_LOOKS : 1))
        catch_it(t, state);
    else if (other >= REST_LOOKS)
        rest(t, state);
}

void caught_look_at_all(struct sched *s) {
    unsigned threads = s->config.caught ? atomic_load_explicit(&s->pool.started, memory_order_acquire) : 0;
    for (unsigned i = 0; i < threads; i++) {
        unsigned state = atomic_load(&s->pool.all[i]->caught);
        if (is_looked_at(state))
            look_at(s->pool.all[i], state);
    }
}

void caught_tell(struct sched *s) {
    if (!s->config.caught)
        return;
    bool caught = atomic_load(&s->caught.count) > 0 || atomic_load(&s->busy) >= s->config.threads;
    if (caught == s->caught.told)
        return;
    s->caught.told = caught;
    s->config.caught(caught, s->config.others_arg);
}
