/* The scheduler, put together from its parts. */
#include "config.h"

#include "sched/sched.h"

#include "sched/sched_impl.h"

#include <stdlib.h>

struct sched *sched_new(const struct sched_config *config) {
    struct sched *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->config = *config;
    peer_wait_init(s);
    lost_init(s);
    if (threads_init(s)) {
        peer_wait_fini(s);
        free(s);
        return NULL;
    }
    post_init(s);
    queue_init(s);
    hold_init(s);
    retire_init(s);
    owner_init(s);
    return s;
}

void sched_free(struct sched *s) {
    if (!s)
        return;
    owner_fini(s);
    retire_fini(s);
    hold_fini(s);
    queue_fini(s);
    post_fini(s);
    threads_fini(s);
    peer_wait_fini(s);
    free(s);
}

int sched_start(struct sched *s) {
    struct sched_thread *first = threads_take(s);
    if (!first)
        return -1;
    baton_give(s, first);
    return 0;
}

int sched_start_here(struct sched *s) {
    struct sched_thread *t = threads_lend(s);
    if (!t)
        return -1;
    baton_give(s, t);
    threads_run(t);
    return 0;
}

void sched_quit(struct sched *s) {
    threads_quit(s);
    ev_break(s->config.loop, EVBREAK_ALL);
    watch_quit(s);
}

uint64_t sched_moves(const struct sched *s) {
    return (uint64_t)atomic_load_explicit(&s->moves, memory_order_relaxed) << 32 |
           atomic_load_explicit(&s->queue.count, memory_order_relaxed);
}

static void look(const struct sched *s, struct sched_stats *stats) {
    stats->threads = atomic_load_explicit(&s->pool.alive, memory_order_relaxed);
    stats->veterans = 0;
    stats->busy = atomic_load(&s->busy);
    stats->peer_waits = atomic_load(&s->peer_waits.count);
    stats->lost = sched_lost(s);
    stats->made_up = atomic_load(&s->lost.made_up);
    stats->handed_over = atomic_load(&s->handed_over);
    stats->taken_asleep = atomic_load(&s->taken_asleep);
    stats->taken_computing = atomic_load(&s->taken_computing);
    stats->taken_free = atomic_load(&s->taken_free);
}

void sched_look_stats(const struct sched *s, struct sched_stats *stats) {
    look(s, stats);
    stats->queued = queue_counted(s);
}

void sched_get_stats(struct sched *s, struct sched_stats *stats) {
    look(s, stats);
    stats->queued = atomic_load(&s->queue.count);
    pthread_mutex_lock(&s->pool.lock);
    stats->veterans = s->pool.veterans;
    pthread_mutex_unlock(&s->pool.lock);
}

uint64_t sched_moment(const struct sched *s) {
    return owner_time(s);
}
