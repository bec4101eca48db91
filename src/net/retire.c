#include "config.h"

#include "net/lane_impl.h"

#include "base/log.h"
#include "net/handover.h"

#include <stddef.h>

/* Seconds until the queue may have room again. */
static const ev_tstamp RETIRE_AGAIN = 0.001;

static void look_again(struct lane *lane, ev_tstamp after) {
    ev_timer_stop(lane->loop, &lane->retire_timer);
    ev_timer_set(&lane->retire_timer, after, 0.);
    ev_timer_start(lane->loop, &lane->retire_timer);
}

/* Gives away what rests, the oldest first, but few in one turn of the loop. Those that cannot go stay, and are looked
 * at again when that may have changed (lane.retire_look). Returns how many more may go in this turn, or -1 if none
 * can. */
static int give_all(struct lane *lane, enum conn_rest rest, int most) {
    struct conn *c, *next;
    for (c = TAILQ_FIRST(&lane->rests[rest]); c && most; c = next) {
        next = TAILQ_NEXT(c, rest_link);
        switch (handover_try(c)) {
        case HANDOVER_GIVEN:
            most--;
            break;
        case HANDOVER_KEPT:
            break;
        case HANDOVER_NOT_NOW:
        case HANDOVER_NOBODY:
            return -1;
        }
    }
    return most;
}

void lane_retire_settle(struct lane *lane) {
    if (!lane->retiring || !lane->retire_look || ev_is_active(&lane->retire_timer))
        return;
    if (handover_is_alone(lane)) {
        lane_stop_begins(lane);
        return;
    }
    int most = give_all(lane, CONN_RESTING, HANDOVER_BATCH);
    if (most > 0)
        most = give_all(lane, CONN_BEGUN, most);
    /* Who was to take them may have begun to end meanwhile. */
    if (most > 0 && !handover_is_alone(lane))
        lane->retire_look = false;
    else
        look_again(lane, most ? RETIRE_AGAIN : 0.);
}

/* That it is no longer active is enough: the loop is about to wait, and does what is due before. */
static void retire_timer_cb(struct ev_loop *loop, ev_timer *w, int revents) {
    (void)loop;
    (void)w;
    (void)revents;
}

static void retire_cb(struct sched_note *note) {
    struct lane *lane = (struct lane *)(void *)((char *)note - offsetof(struct lane, retire_note));
    struct conn *c, *next;
    if (lane->stopping)
        return;
    lane_accept_stop(lane); /* before anybody is told that it accepts no more */
    handover_ends(lane);
    if (handover_is_alone(lane)) {
        lane_stop_begins(lane);
        return;
    }
    lane->retiring = lane->retire_look = true;
    for (c = TAILQ_FIRST(&lane->conns); c; c = next) {
        next = TAILQ_NEXT(c, link);
        if (c->state == CONN_OPEN && c->ops->retire)
            c->ops->retire(c);
    }
    unsigned n = atomic_load_explicit(&lane->nconns, memory_order_relaxed);
    log_debug("%u connection%s open, for other workers to go on with", n, n == 1 ? " is" : "s are");
    lane_check_stopped(lane);
}

void lane_retire(struct lane *lane) {
    if (!atomic_flag_test_and_set(&lane->retire_posted)) {
        lane->retire_note.call = retire_cb;
        sched_post(lane->sched, &lane->retire_note);
    }
}

void lane_retire_init(struct lane *lane) {
    atomic_flag_clear(&lane->retire_posted);
    ev_timer_init(&lane->retire_timer, retire_timer_cb, 0., 0.);
}
