#include "config.h"

#include "net/level.h"

#include "ipc/scoreboard.h"
#include "net/handover.h"
#include "net/lane_impl.h"

static const ev_tstamp LOOK = 0.002; /* seconds between two questions whether another process is idle */

static bool another_is_idle(const struct lane *lane) {
    const struct handover_config *config = lane->config.handover;
    return scoreboard_find_idle(config->board, config->slot) >= 0;
}

static void tell(struct lane *lane, bool computing) {
    const struct handover_config *config = lane->config.handover;
    atomic_store(&config->board->slots[config->slot].computing, computing);
}

static void look(struct lane *lane) {
    bool leaves = lane->level.caught && another_is_idle(lane);
    if (leaves == lane->level.leaves)
        return;
    lane->level.leaves = leaves;
    lane_accept_level(lane);
}

static void timer_cb(struct ev_loop *loop, ev_timer *w, int revents) {
    (void)loop;
    (void)revents;
    look(w->data);
}

static void caught_cb(bool caught, void *arg) {
    struct lane *lane = arg;
    lane->level.caught = caught;
    tell(lane, caught);
    if (caught)
        ev_timer_again(lane->loop, &lane->level.timer);
    else
        ev_timer_stop(lane->loop, &lane->level.timer);
    look(lane);
}

/* By the watch, and by the owner. */
static bool hurries_cb(void *arg) {
    return another_is_idle(arg);
}

void level_configure(struct lane *lane, struct sched_config *config) {
    if (!lane->config.handover)
        return;
    config->caught = caught_cb;
    config->hurries = hurries_cb;
    config->others_arg = lane;
}

void level_init(struct lane *lane) {
    ev_timer_init(&lane->level.timer, timer_cb, 0., LOOK);
    lane->level.timer.data = lane;
    if (lane->config.handover)
        tell(lane, false);
}
