#include "config.h"

#include "process/watchdog.h"

#include "base/notify.h"

static void timer_cb(struct ev_loop *loop, ev_timer *timer, int revents) {
    const struct watchdog *w = timer->data;
    (void)loop;
    (void)revents;
    if (!w->is_well || w->is_well(w->arg))
        notify_alive();
}

void watchdog_start(struct watchdog *w, struct ev_loop *loop, bool (*is_well)(const void *arg), const void *arg) {
    const double seconds = notify_watchdog();
    if (seconds <= 0)
        return;
    w->is_well = is_well;
    w->arg = arg;
    ev_timer_init(&w->timer, timer_cb, 0., seconds / 2);
    w->timer.data = w;
    ev_timer_start(loop, &w->timer);
}
