/* The baton: one word that says which thread owns the loop, and whether it runs a job. */
#include "config.h"

#include "base/probes.h"
#include "sched/sched_impl.h"

void baton_give(struct sched *s, struct sched_thread *to) {
    uint64_t word = atomic_load_explicit(&s->word, memory_order_relaxed);
    atomic_store(&s->word, word_make(word_sequence(word) + 1, to->index, SCHED_LOOP));
    threads_wake(to, SCHED_MAIL_BATON, NULL, SCHED_GIVEN);
}

static void count_taken(struct sched *s, enum sched_reason reason) {
    if (reason == SCHED_ASLEEP)
        atomic_fetch_add_explicit(&s->taken_asleep, 1, memory_order_relaxed);
    else if (reason == SCHED_COMPUTING)
        atomic_fetch_add_explicit(&s->taken_computing, 1, memory_order_relaxed);
    else if (reason == SCHED_FREE)
        atomic_fetch_add_explicit(&s->taken_free, 1, memory_order_relaxed);
}

/* pool.lock is held from taking a thread to putting it back, because an owner that looks for one must not miss it.
 * `busy`, the hold and `watched` change only once the baton is won, and before the new owner wakes. An owner that saw
 * them change for only a moment would wait in the loop for an event that nobody sends. If `from` ends its job
 * meanwhile, it waits for that lock in threads_put before it takes itself off `busy` and `watched`. */
bool baton_take_over(struct sched *s, struct sched_thread *from, uint64_t word, enum sched_reason reason) {
    bool taken = false;
    pthread_mutex_lock(&s->pool.lock);
    struct sched_thread *to = atomic_load(&s->word) == word ? threads_take_locked(s) : NULL;
    if (to) {
        atomic_store(&from->taken, reason);
        measure_take_over(from);
        uint64_t expected = word, next = word_make(word_sequence(word) + 1, to->index, SCHED_LOOP);
        taken = atomic_compare_exchange_strong(&s->word, &expected, next);
        if (!taken)
            threads_put_locked(to);
    }
    if (taken) {
        struct sched_job *job = atomic_load(&from->inline_job);
        fate_begin(s, from, job);
        if (reason == SCHED_COMPUTING) {
            atomic_store(&s->hold.computing, from->index + 1);
            caught_begin(from);
        }
        if (reason == SCHED_FREE)
            follow_begin(from, true);
        count_taken(s, reason);
        note_move(s);
        PROBE3(baton__taken, job, atomic_load_explicit(&from->tid, memory_order_relaxed), reason);
        threads_wake(to, SCHED_MAIL_BATON, job, reason);
    }
    pthread_mutex_unlock(&s->pool.lock);
    return taken;
}

/* A job that has given the baton away no longer leaves the loop without a thread. Giving it away may take time, too. */
static bool give_by_itself(struct sched_thread *t, uint64_t word) {
    bool counts = pthread_equal(t->id, pthread_self());
    struct sched_moment before = {0};
    if (counts)
        before = measure_moment(t);
    if (!baton_take_over(t->s, t, word, SCHED_GIVEN))
        return false;
    if (counts)
        t->measure.given = before;
    return true;
}

bool sched_will_block(struct sched_thread *t) {
    struct sched *s = t->s;
    uint64_t word = atomic_load(&s->word);
    while (baton_is_lent(t, word)) {
        uint64_t tried = word;
        if (give_by_itself(t, tried))
            return true;
        word = atomic_load(&s->word);
        if (word == tried)
            return false; /* there is no thread */
    }
    return true;
}

bool sched_has_loop(const struct sched_thread *t) {
    return pthread_equal(t->id, pthread_self()) && baton_is_lent(t, atomic_load(&t->s->word));
}

/* The jobs' lock, which a thread keeps with the baton between two jobs.
 * Worth: without that 3.2 % more instructions and 3 to 11 % more CPU with eight requests at a time; with one it does
 * nothing. */

bool sched_goes_on(struct sched_thread *t) {
    struct sched *s = t->s;
    t->going = s->config.thread_pause && !atomic_load_explicit(&s->busy, memory_order_relaxed) &&
               baton_is_lent(t, atomic_load_explicit(&s->word, memory_order_relaxed));
    return t->going;
}

void sched_pause(struct sched *s) {
    struct sched_thread *t = s->pool.all[word_owner(atomic_load_explicit(&s->word, memory_order_relaxed))];
    if (t) /* there is none before sched_start */
        baton_pause(t);
}
