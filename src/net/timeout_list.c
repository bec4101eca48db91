#include "config.h"

#include "net/timeout_list.h"

#include "net/lane_impl.h"

static const ev_tstamp LATE = 0.5; /* seconds after which the loop is to blame: it was paused, or held up */

/* While nobody read, the peer could send no more than the socket takes; on the same machine it may also have been
 * paused. */
bool timeout_is_excused(const struct lane *lane, ev_tstamp due) {
    return due + LATE <= lane_now(lane);
}

/* For the oldest. It may run already, or be about to be called. */
static void timer_start(struct timeouts *all) {
    ev_tstamp after = TAILQ_FIRST(&all->list)->began_at + all->after - lane_now(all->lane);
    ev_timer_stop(all->lane->loop, &all->timer);
    ev_timer_set(&all->timer, after > 0.001 ? after : 0.001, 0.);
    ev_timer_start(all->lane->loop, &all->timer);
}

/* The time of the oldest is over. Reading may end it, or begin it again. */
static void look_at(struct timeouts *all, struct timeout *oldest) {
    struct lane *lane = all->lane;
    struct conn *c = oldest->conn;
    ev_tstamp due = oldest->began_at + all->after;
    conn_ref(c);
    (void)conn_catch_up(c);
    conn_poll(c); /* one that parts may not be yet */
    if (TAILQ_FIRST(&all->list) == oldest && oldest->began_at + all->after <= lane_now(lane)) {
        if (timeout_is_excused(lane, due))
            timeout_again(all, oldest);
        else
            oldest->late(oldest);
    }
    conn_unref(c);
}

static void timer_cb(struct ev_loop *loop, ev_timer *w, int revents) {
    (void)revents;
    (void)loop;
    struct timeouts *all = w->data;
    struct timeout *oldest;
    while ((oldest = TAILQ_FIRST(&all->list))) {
        if (oldest->began_at + all->after > lane_now(all->lane)) {
            timer_start(all);
            return;
        }
        look_at(all, oldest);
    }
}

void timeouts_init_rare(struct timeouts *all, struct lane *lane, ev_tstamp after) {
    all->lane = lane;
    TAILQ_INIT(&all->list);
    all->after = after;
    ev_timer_init(&all->timer, timer_cb, 0., 0.);
    all->timer.data = all;
}

void timeouts_init(struct timeouts *all, struct lane *lane, ev_tstamp after) {
    timeouts_init_rare(all, lane, after);
    SLIST_INSERT_HEAD(&lane->timeouts, all, link);
}

static __attribute__((noinline)) void settle(struct timeouts *all) {
    if (TAILQ_EMPTY(&all->list))
        ev_timer_stop(all->lane->loop, &all->timer);
    else if (all->after > 0)
        timer_start(all);
}

void timeouts_settle(struct lane *lane) {
    struct timeouts *all;
    SLIST_FOREACH(all, &lane->timeouts, link) {
        bool active = ev_is_active(&all->timer); /* libev tells where it stands in its heap */
        if (active == TAILQ_EMPTY(&all->list))
            settle(all);
    }
}

void timeout_begins(struct timeouts *all, struct timeout *to, struct conn *conn, void (*late)(struct timeout *to)) {
    to->conn = conn;
    to->began_at = lane_now(all->lane);
    to->late = late;
    TAILQ_INSERT_TAIL(&all->list, to, link);
}

void timeout_begins_rarely(struct timeouts *all, struct timeout *to, struct conn *conn,
                           void (*late)(struct timeout *to)) {
    timeout_begins(all, to, conn, late);
    if (!ev_is_active(&all->timer))
        timer_start(all);
}

void timeout_ends(struct timeouts *all, struct timeout *to) {
    TAILQ_REMOVE(&all->list, to, link);
}

void timeout_moves(struct timeouts *all, struct timeout *from, struct timeout *to) {
    to->conn = from->conn;
    to->began_at = from->began_at;
    to->late = from->late;
    TAILQ_INSERT_BEFORE(from, to, link);
    TAILQ_REMOVE(&all->list, from, link);
}

void timeout_again(struct timeouts *all, struct timeout *to) {
    to->began_at = lane_now(all->lane);
    if (TAILQ_NEXT(to, link)) {
        TAILQ_REMOVE(&all->list, to, link);
        TAILQ_INSERT_TAIL(&all->list, to, link);
    }
}
