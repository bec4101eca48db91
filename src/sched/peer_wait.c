/* Jobs that wait for their peers: they keep their threads, but do not count towards `threads`. */
#include "config.h"

#include "base/log.h"
#include "sched/sched_impl.h"

static void full_cb(struct sched_note *note) {
    struct sched *s = (struct sched *)(void *)((char *)note - offsetof(struct sched, peer_waits.full_note));
    sched_pause(s);
    log_warning("%u calls wait for their peers: further ones that do count as running, see --threads",
                s->peer_waits.max);
}

void peer_wait_init(struct sched *s) {
    s->peer_waits.max = s->config.threads > 1 ? s->config.peer_waits_max : 0;
    s->peer_waits.full_note.call = full_cb;
}

/* Whether the caller waits for the thread's own job, and does not have the loop. */
static bool may_wait(struct sched_thread *t) {
    return t && t->s->peer_waits.max && pthread_equal(t->id, pthread_self()) &&
           !baton_is_lent(t, atomic_load_explicit(&t->s->word, memory_order_relaxed));
}

void sched_peer_wait_begins(struct sched_thread *t) {
    if (!may_wait(t))
        return;
    struct sched *s = t->s;
    if (atomic_fetch_add(&s->peer_waits.count, 1) >= s->peer_waits.max) {
        atomic_fetch_sub(&s->peer_waits.count, 1);
        if (!atomic_exchange(&s->peer_waits.full, true)) /* by the owner: the caller may hold what the loop needs */
            sched_post(s, &s->peer_waits.full_note);
        return;
    }
    t->peer_waits = true;
    /* An owner that found all threads busy waits for an event. */
    if (atomic_fetch_sub(&s->busy, 1) >= s->config.threads)
        post_wake_owner(s);
}

void sched_peer_wait_ends(struct sched_thread *t) {
    if (!t || !pthread_equal(t->id, pthread_self()) || !t->peer_waits)
        return;
    t->peer_waits = false;
    atomic_fetch_add(&t->s->busy, 1);
    atomic_fetch_sub(&t->s->peer_waits.count, 1);
}
