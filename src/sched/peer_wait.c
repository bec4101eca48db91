#include "config.h"

#include "base/log.h"
#include "sched/sched_impl.h"

static void waits_full_cb(struct sched_note *note) {
    struct sched *s = (struct sched *)(void *)((char *)note - offsetof(struct sched, waits_full_note));
    sched_pause(s);
    log_warning("%u calls wait for their peers: further ones that do count as running, see --threads", s->waits_max);
}

void sched_waits_init(struct sched *s) {
    s->waits_max = s->config.threads > 1 ? s->config.peer_waits_max : 0;
    s->waits_full_note.call = waits_full_cb;
}

/* Whether the caller's wait is that of the thread's job, and leaves the loop to another one. */
static bool may_wait(struct sched_thread *t) {
    return t && t->s->waits_max && pthread_equal(t->id, pthread_self()) &&
           !sched_has_baton(t, atomic_load_explicit(&t->s->word, memory_order_relaxed));
}

void sched_peer_wait_begins(struct sched_thread *t) {
    if (!may_wait(t))
        return;
    struct sched *s = t->s;
    if (atomic_fetch_add(&s->nwaits, 1) >= s->waits_max) {
        atomic_fetch_sub(&s->nwaits, 1);
        if (!atomic_exchange(&s->waits_full, true)) /* by the owner: the caller may hold what the loop needs */
            sched_post(s, &s->waits_full_note);
        return;
    }
    t->waits = true;
    /* An owner that found all threads busy waits for an event. */
    if (atomic_fetch_sub(&s->nbusy, 1) >= s->config.threads)
        ev_async_send(s->config.loop, &s->async);
}

void sched_peer_wait_ends(struct sched_thread *t) {
    if (!t || !pthread_equal(t->id, pthread_self()) || !t->waits)
        return;
    t->waits = false;
    atomic_fetch_add(&t->s->nbusy, 1);
    atomic_fetch_sub(&t->s->nwaits, 1);
}
