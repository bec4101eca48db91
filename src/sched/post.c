/* Notes: what any thread wants the owner to do. */
#include "config.h"

#include "sched/sched_impl.h"

void sched_post(struct sched *s, struct sched_note *note) {
    struct sched_note *head = atomic_load_explicit(&s->notes.newest, memory_order_relaxed);
    do {
        note->next = head;
    } while (!atomic_compare_exchange_weak_explicit(&s->notes.newest, &head, note, memory_order_release,
                                                    memory_order_relaxed));
    /* The thread that puts the first note on the list wakes the owner for all that follow until it takes the list. */
    if (!head)
        post_wake_owner(s);
}

void post_wake_owner(struct sched *s) {
    ev_async_send(s->config.loop, &s->notes.async);
}

void post_call(struct sched *s) {
    struct sched_note *note = atomic_exchange_explicit(&s->notes.newest, NULL, memory_order_acquire), *oldest = NULL;
    while (note) {
        struct sched_note *next = note->next;
        note->next = oldest;
        oldest = note;
        note = next;
    }
    while (oldest) {
        struct sched_note *next = oldest->next;
        oldest->call(oldest);
        oldest = next;
    }
    caught_tell(s);
}

static void post_cb(struct ev_loop *loop, ev_async *w, int revents) {
    (void)loop;
    (void)revents;
    post_call(w->data);
}

void post_init(struct sched *s) {
    ev_async_init(&s->notes.async, post_cb);
    s->notes.async.data = s;
    ev_async_start(s->config.loop, &s->notes.async);
}

void post_fini(struct sched *s) {
    ev_async_stop(s->config.loop, &s->notes.async);
}
