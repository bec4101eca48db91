#include "config.h"

#include "net/lane_impl.h"

#include "net/timeout_list.h"

static void idle_close(struct conn *c, bool excused) {
    conn_ref(c);
    if (conn_catch_up(c) || c->state == CONN_CLOSED || c->state == CONN_LINGERING) {
        conn_unref(c);
        return;
    }
    const struct conn_reason *reason = excused || conn_blocked(c) ? CONN_DONE : c->ops->idle(c);
    if (reason != CONN_DONE)
        conn_close(c, reason);
    else if (c->state != CONN_CLOSED)
        conn_touch(c);
    conn_unref(c);
}

static void timer_start(struct lane *lane) {
    struct conn *oldest = TAILQ_FIRST(&lane->conns);
    if (!oldest || lane->config.idle_timeout <= 0)
        return;
    struct conn *slowest = TAILQ_FIRST(&lane->unsent);
    ev_tstamp since = slowest && slowest->out_at < oldest->active_at ? slowest->out_at : oldest->active_at;
    ev_tstamp after = since + lane->config.idle_timeout - lane_now(lane);
    ev_timer_set(&lane->idle_timer, after > 0.001 ? after : 0.001, 0.);
    ev_timer_start(lane->loop, &lane->idle_timer);
}

static void timer_cb(struct ev_loop *loop, ev_timer *w, int revents) {
    (void)loop;
    (void)revents;
    struct lane *lane = w->data;
    struct conn *c;
    ev_tstamp due;
    while ((c = TAILQ_FIRST(&lane->unsent)) && (due = c->out_at + lane->config.idle_timeout) <= lane_now(lane))
        conn_output_late(c, timeout_is_excused(lane, due)); /* holds threads up, whatever it sends meanwhile */
    while ((c = TAILQ_FIRST(&lane->conns)) && (due = c->active_at + lane->config.idle_timeout) <= lane_now(lane))
        idle_close(c, timeout_is_excused(lane, due));
    timer_start(lane);
}

void lane_idle_settle(struct lane *lane) {
    if (TAILQ_EMPTY(&lane->conns))
        ev_timer_stop(lane->loop, &lane->idle_timer);
    else if (!ev_is_active(&lane->idle_timer))
        timer_start(lane);
}

void lane_idle_init(struct lane *lane) {
    ev_timer_init(&lane->idle_timer, timer_cb, 0., 0.);
    lane->idle_timer.data = lane;
}
