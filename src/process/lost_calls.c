#include "config.h"

#include "process/lost_calls.h"

#include "base/ascii.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/thread_limit.h"
#include "cli/options.h"
#include "ipc/control.h"
#include "net/lane.h"
#include "process/signals.h"
#include "process/worker.h"
#include "python/interrupt.h"
#include "python/report.h"
#include "python/stack_doing.h"
#include "request/request.h"
#include "sched/sched.h"

#include <errno.h>
#include <stdio.h>
#include <sysexits.h>

#define SECOND_NS UINT64_C(1000000000)

/* Seconds for which calls may be as many as --threads until they count as too many; where they are interrupted, since most
 * end by the first interrupt. */
static const double PATIENCE = 1, INTERRUPT_PATIENCE = 2;

/* A call computes if it has had this part of a processor between two looks (LANE_LOOK_MS): others may compute as well. */
enum { COMPUTES_PART = 10 };
/* Turns stay short for so long behind the last call that computes: another one often follows. */
static const uint64_t SHORT_NS = 100000000;

enum { LINE_SIZE = 1000 };

/* One of them is noticed. */

/* A thousand calls may be overdue at once. Ten a second show where they hang, and the rest is counted. */
static bool is_line_due(struct lost_calls *l) {
    uint64_t now = clock_ns();
    if (now - l->since >= SECOND_NS) {
        l->since = now;
        l->lines = 0;
    }
    return l->lines++ < LOST_CALLS_REPORTS;
}

static void leave_out(struct lost_calls *l) {
    l->left_out++;
    if (!ev_is_active(&l->rest)) {
        ev_timer_set(&l->rest, 1., 0.);
        ev_timer_start(lane_loop(l->lane), &l->rest);
    }
}

static void tell_rest(struct lost_calls *l) {
    if (l->left_out)
        log_warning("%lu more call%s did not end in time (--request-timeout) since the last line about one",
                    l->left_out, ascii_plural(l->left_out));
    l->left_out = 0;
}

static void rest_cb(struct ev_loop *loop, ev_timer *w, int revents) {
    (void)loop;
    (void)revents;
    tell_rest(w->data);
}

/* struct lane_config.overdue */
static void overdue_cb(struct request *r, struct sched_thread *thread, const char *line, void *arg) {
    struct lost_calls *l = arg;
    if (is_line_due(l))
        report(r, thread, line);
    else
        leave_out(l);
    if (l->o->request_timeout_interrupts)
        interrupt_begin();
}

/* They are many. */

/* What a line ends with that says what they do to the others. */
static const char *say_remedy(const struct lost_calls *l) {
    if (!l->worker)
        return "nothing helps but a restart; with --workers the process would be replaced";
    return worker_wants(l->worker) == WORKER_GOES_ON ? "this worker is to be replaced" : "this worker ends already";
}

static void log_full(const struct lost_calls *l) {
    if (l->o->threads == 1)
        log_warning(
            "a call goes on beyond --request-timeout, and with --threads 1 no other begins before it has ended: "
            "%s",
            say_remedy(l));
    else
        log_warning(
            "%u calls go on beyond --request-timeout, as many as --threads: for each that is more, one less of the "
            "others runs at a time: %s",
            l->count, say_remedy(l));
}

/* The supervisor takes a wish once, and passes over others; it may have been executed anew. */
static void wish(const struct lost_calls *l, enum control_reason reason) {
    if (l->worker)
        worker_tell_wish(l->worker, reason);
}

static void get_full(struct lost_calls *l) {
    l->full = true;
    log_full(l);
    wish(l, CONTROL_REASON_LOST);
}

static void get_room(struct lost_calls *l) {
    l->full = false;
    if (!l->count)
        log_info("no call goes on beyond --request-timeout any more: others have all threads again");
    else
        log_info("%u call%s beyond --request-timeout, at most half of --threads: others have all theirs again",
                 l->count, l->count == 1 ? " goes on" : "s go on");
}

static void patience_cb(struct ev_loop *loop, ev_timer *w, int revents) {
    (void)loop;
    (void)revents;
    get_full(w->data);
}

/* Calls that end right behind their time are no reason to replace a worker. */
static void look_whether_full(struct lost_calls *l) {
    const bool many = l->count >= l->o->threads;
    if (!many)
        ev_timer_stop(lane_loop(l->lane), &l->patience);
    if (l->full && l->count <= l->o->threads / 2)
        get_room(l);
    if (l->full || !many || ev_is_active(&l->patience))
        return;
    ev_timer_set(&l->patience, l->o->request_timeout_interrupts ? INTERRUPT_PATIENCE : PATIENCE, 0.);
    ev_timer_start(lane_loop(l->lane), &l->patience);
}

/* One of them keeps the lock. */

static void get_stuck(struct lost_calls *l, uint64_t waited, const struct request *holder,
                      struct sched_thread *thread) {
    char line[LINE_SIZE], text[REQUEST_TEXT_SIZE], shown[ASCII_SECONDS_SIZE];
    l->stuck_at = clock_ns() - waited;
    atomic_store(&l->stuck, true);
    ascii_put_seconds(shown, (double)(waited / 100000000) / 10);
    log_error("nobody has got the interpreter lock for %s s (--stuck-timeout), so no call goes on: %s", shown,
              say_remedy(l));
    if (holder) {
        snprintf(line, sizeof line, "it is kept by %s", request_text(holder, text, sizeof text));
        report(holder, thread, line);
    } else
        log_warning("it is kept by none of the calls, but by a thread of the application's own");
    wish(l, CONTROL_REASON_STUCK);
}

static void get_loose(struct lost_calls *l) {
    char shown[ASCII_SECONDS_SIZE];
    atomic_store(&l->stuck, false);
    ascii_put_seconds(shown, (double)((clock_ns() - l->stuck_at) / 100000000) / 10);
    log_warning("the interpreter lock can be got again, after %s s", shown);
}

/* The lock cannot be got, for longer than it may be. A call that keeps it within its own time is waited for. */
static void look_at_holder(struct lost_calls *l, uint64_t waited) {
    struct sched_thread *thread;
    const struct request *holder = lane_find_lock_holder(l->lane, &thread);
    if (!holder || atomic_load(&holder->overdue))
        get_stuck(l, waited, holder, thread);
}

/* If the process is to end, nothing keeps it but those who wait: no call begins any more, so they had better ask another
 * one, or come again. The watch then finds that nobody waits for an answer. */
static void end_soon(const struct lost_calls *l) {
    if (lane_is_ending(l->lane))
        sched_refuse_all(lane_sched(l->lane));
    signals_wake();
}

static void look_cb(struct ev_loop *loop, ev_timer *w, int revents) {
    struct lost_calls *l = w->data;
    const uint64_t waited = interrupt_waits();
    (void)loop;
    (void)revents;
    if (!waited)
        interrupt_probe();
    if (waited <= (uint64_t)(l->o->stuck_timeout * 1e9)) {
        if (lost_calls_are_stuck(l))
            get_loose(l);
    } else if (!lost_calls_are_stuck(l))
        look_at_holder(l, waited);
    else
        end_soon(l);
}

static double look_interval(const struct lost_calls *l) {
    return l->o->stuck_timeout < 2 ? l->o->stuck_timeout / 2 : 1;
}

/* They compute, or others do for long. */

struct pace {
    uint64_t enough; /* nanoseconds of a processor */
    bool computes;
};

static void look_whether_computes(struct sched_thread *thread, uint64_t *processor_time, void *arg) {
    uint64_t now, before = *processor_time;
    struct pace *pace = arg;
    if (!stack_doing_time(sched_thread_tid(thread), &now))
        return;
    *processor_time = now;
    pace->computes |= before && now - before >= pace->enough;
}

/* struct lane_config.look. A first look behind a long pause finds no call that was there at the one before it. */
static bool pace_cb(void *arg) {
    struct lost_calls *l = arg;
    uint64_t now = clock_ns();
    struct pace pace = {.enough = (now - l->looked_at) / COMPUTES_PART};
    lane_visit_calls(l->lane, look_whether_computes, &pace);
    l->looked_at = now;
    if (pace.computes)
        l->short_until = now + SHORT_NS;
    interrupt_shorten_turns(now < l->short_until);
    return now < l->short_until;
}

/* struct lane_config.lost */
static void lost_cb(unsigned count, void *arg) {
    struct lost_calls *l = arg;
    const bool looks = count && l->o->stuck_timeout > 0;
    l->count = count;
    look_whether_full(l);
    if (looks && !ev_is_active(&l->look)) {
        ev_timer_set(&l->look, 0., look_interval(l));
        ev_timer_start(lane_loop(l->lane), &l->look);
    }
    if (looks || !ev_is_active(&l->look))
        return;
    ev_timer_stop(lane_loop(l->lane), &l->look);
    if (lost_calls_are_stuck(l))
        get_loose(l); /* or the last of them would not have ended */
}

/* Life. */

void lost_calls_init(struct lost_calls *l, const struct options *o, const struct worker *worker) {
    *l = (struct lost_calls){.o = o, .worker = worker, .is_on = o->request_timeout > 0};
    ev_timer_init(&l->look, look_cb, 0., 0.);
    ev_timer_init(&l->rest, rest_cb, 0., 0.);
    ev_timer_init(&l->patience, patience_cb, 0., 0.);
    l->look.data = l->rest.data = l->patience.data = l;
}

void lost_calls_configure(struct lost_calls *l, struct lane_config *config) {
    if (!l->is_on)
        return;
    config->request_timeout = l->o->request_timeout;
    config->lost_max = l->o->threads;
    config->overdue = overdue_cb;
    config->lost = lost_cb;
    config->look = pace_cb;
    config->overdue_arg = l;
}

int lost_calls_start(struct lost_calls *l, struct lane *lane) {
    char limit[THREAD_LIMIT_SIZE];
    if (!l->is_on)
        return 0;
    l->lane = lane;
    if (interrupt_start(l->o->request_timeout_interrupts)) {
        log_error("cannot start a thread: %s", thread_limit_explain(errno, limit));
        return EX_OSERR;
    }
    l->started = true;
    return 0;
}

void lost_calls_stop(struct lost_calls *l) {
    if (!l->started)
        return;
    l->started = false;
    interrupt_stop();
    tell_rest(l);
}
