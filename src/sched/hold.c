/* The hold: while a job that has lost the loop computes, no other job begins for a while. The two would only compete
 * for the lock that all jobs share. */
#include "config.h"

#include "sched/sched_impl.h"

enum { HOLD_MS = 20 }; /* four switch intervals of CPython */

void hold_end(struct sched *s) {
    s->hold.job = NULL;
    atomic_store(&s->hold.computing, 0);
    ev_timer_stop(s->config.loop, &s->hold.timer);
}

void hold_begin(struct sched *s, struct sched_job *job) {
    s->hold.job = job;
    ev_now_update(s->config.loop);
    ev_timer_stop(s->config.loop, &s->hold.timer);
    ev_timer_set(&s->hold.timer, HOLD_MS / 1000., 0.);
    ev_timer_start(s->config.loop, &s->hold.timer);
}

static void timer_cb(struct ev_loop *loop, ev_timer *w, int revents) {
    (void)loop;
    (void)revents;
    hold_end(w->data);
}

void hold_init(struct sched *s) {
    ev_timer_init(&s->hold.timer, timer_cb, 0., 0.);
    s->hold.timer.data = s;
}

void hold_fini(struct sched *s) {
    ev_timer_stop(s->config.loop, &s->hold.timer);
}
