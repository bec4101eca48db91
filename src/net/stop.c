#include "config.h"

#include "net/lane_impl.h"

#include "ipc/scoreboard.h"
#include "net/handover.h"
#include "net/request_log.h"

#include <stddef.h>

/* Seconds, when the lane stops: between looks at what is left, the first of which ends what has no request; and without
 * a byte from a peer whose end is waited for. */
static const ev_tstamp STOP_LOOK = 0.1, STOP_SILENCE = 0.5;

void lane_check_stopped(struct lane *lane) {
    if (lane->quit || !(lane->listening_ended || lane->retiring) || lane->nlive)
        return;
    /* The last one to get a connection from here may have ended meanwhile, without having taken it. */
    if (lane->retiring && !lane->aborting && handover_is_alone(lane)) {
        lane_stop_begins(lane);
        return;
    }
    lane->quit = true;
    sched_quit(lane->sched);
}

/* Calls `visit` for every connection that is not closed; it may close the one that it is given. */
static void each_conn(struct lane *lane, void (*visit)(struct conn *c)) {
    struct conn *c, *next;
    for (c = TAILQ_FIRST(&lane->lingering); c; c = next) {
        next = TAILQ_NEXT(c, link);
        visit(c);
    }
    /* Reading moves a connection to the end of the list, so the connection that is last now is the last to visit. */
    struct conn *last = TAILQ_LAST(&lane->conns, conn_list);
    for (c = TAILQ_FIRST(&lane->conns); c; c = next) {
        next = c == last ? NULL : TAILQ_NEXT(c, link);
        visit(c);
    }
}

static void stop_one(struct conn *c) {
    conn_ref(c);
    c->ops->stop(c);
    conn_unref(c);
}

static void end_one(struct conn *c) {
    conn_ref(c);
    if (c->state == CONN_LINGERING)
        conn_end_silent(c, STOP_SILENCE);
    else if (c->state == CONN_OPEN && c->rest != CONN_BUSY)
        (void)conn_gives_way(c, CONN_STOPPING);
    else if (c->state == CONN_OPEN && !c->paused)
        c->ops->end(c);
    conn_unref(c);
}

void lane_stop_begins(struct lane *lane) {
    if (lane->stopping || lane->quit)
        return;
    lane->retiring = false;
    lane->stopping = true;
    if (lane->config.board)
        atomic_store(&lane->config.board->slots[lane->config.slot].state, SCOREBOARD_ENDING);
    handover_ends(lane);
    if (lane->config.stops)
        lane->config.stops(lane->config.stops_arg);
    lane_accept_end(lane);
    if (lane->handover && handover_is_alone(lane))
        handover_drain(lane);
    each_conn(lane, stop_one);
    ev_timer_start(lane->loop, &lane->stop_timer);
    lane_check_stopped(lane);
}

static void stop_cb(struct sched_note *note) {
    lane_stop_begins((struct lane *)(void *)((char *)note - offsetof(struct lane, stop_note)));
}

/* A peer that has just connected, or has sent a part of a header, may have its request on the way: so connections
 * without a complete one get until here. One that never sends it (a browser's spare connection, a health check) must
 * not delay the stop. */
static void stop_timer_cb(struct ev_loop *loop, ev_timer *w, int revents) {
    (void)loop;
    (void)revents;
    each_conn(w->data, end_one);
}

static void abort_one(struct conn *c) {
    conn_close(c, CONN_STOPPING);
}

/* Stops calling the application for complete requests whose peers have left. */
static void abort_closed(struct lane *lane) {
    struct conn *c, *next;
    for (c = TAILQ_FIRST(&lane->closed); c; c = next) {
        next = TAILQ_NEXT(c, link);
        c->left = false;
        conn_ref(c);
        c->ops->gone(c);
        conn_unref(c);
    }
}

static void abort_cb(struct sched_note *note) {
    struct lane *lane = (struct lane *)(void *)((char *)note - offsetof(struct lane, abort_note));
    lane->aborting = true;
    (void)request_log_oldest(lane, atomic_load_explicit(&lane->nrequests, memory_order_relaxed)
                                       ? "requests are cut off"
                                       : "calls whose time was over before are left behind");
    abort_closed(lane);
    each_conn(lane, abort_one);
}

void lane_stop(struct lane *lane) {
    if (!atomic_flag_test_and_set(&lane->stop_posted)) {
        lane->stop_note.call = stop_cb;
        sched_post(lane->sched, &lane->stop_note);
    }
}

void lane_abort(struct lane *lane) {
    if (!atomic_flag_test_and_set(&lane->abort_posted)) {
        lane->abort_note.call = abort_cb;
        sched_post(lane->sched, &lane->abort_note);
    }
}

void lane_stop_init(struct lane *lane) {
    atomic_flag_clear(&lane->stop_posted);
    atomic_flag_clear(&lane->abort_posted);
    ev_timer_init(&lane->stop_timer, stop_timer_cb, STOP_LOOK, STOP_LOOK);
    lane->stop_timer.data = lane;
}
