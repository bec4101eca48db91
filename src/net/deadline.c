#include "config.h"

#include "net/deadline.h"

#include "base/clock.h"
#include "base/log.h"
#include "net/exchange.h"
#include "net/lane_impl.h"
#include "net/refusal.h"
#include "net/who.h"

#include <stddef.h>
#include <stdio.h>

enum {
    NOT_BEGUN_NS = 10000000, /* until a call that is to run on a thread that has yet to wake is looked at again */
    LOOK_CALLS = 128,        /* looked at in LANE_LOOK_MS, so that looks cost a percent of a processor at most */
    LINE_SIZE = 1200
};

/* The list. */

static struct lane *lane_of(const struct exchange *x) {
    return x->conn->lane;
}

/* A call that was handed over in advance may not have begun: its own deadline comes with it. */
static uint64_t due_of(const struct exchange *x) {
    uint64_t due = atomic_load_explicit(&x->r.deadline, memory_order_relaxed);
    if (due == REQUEST_NOT_BEGUN)
        due = deadline_from(&lane_of(x)->deadlines, x->r.job.begun_at);
    return due ? due : UINT64_MAX;
}

/* Most deadlines are as far away as all others, so the last one is the place to begin. */
static void insert(struct deadlines *d, struct exchange *x, uint64_t due) {
    struct exchange *before = TAILQ_LAST(&d->timed, exchanges);
    x->due = due;
    x->timed = true;
    while (before && before->due > due)
        before = TAILQ_PREV(before, exchanges, deadline_link);
    if (before)
        TAILQ_INSERT_AFTER(&d->timed, before, x, deadline_link);
    else
        TAILQ_INSERT_HEAD(&d->timed, x, deadline_link);
}

static void take_out(struct deadlines *d, struct exchange *x) {
    if (x->timed)
        TAILQ_REMOVE(&d->timed, x, deadline_link);
    x->timed = false;
}

/* Those that are lost. */

static void tell_lost(const struct lane *lane) {
    if (lane->config.lost)
        lane->config.lost(sched_lost(lane->sched), lane->config.overdue_arg);
}

static void lose(struct exchange *x) {
    struct lane *lane = lane_of(x);
    if (x->lost || !x->detached)
        return;
    x->lost = true;
    sched_lose(lane->sched, &x->r.job);
    tell_lost(lane);
}

/* The time of a call is over. */

/* Who has said how long it may take. */
static const char *who_has_set(const struct exchange *x) {
    uint64_t deadline = atomic_load_explicit(&x->r.deadline, memory_order_relaxed);
    return deadline == deadline_from(&lane_of(x)->deadlines, x->r.job.begun_at) ? "--request-timeout"
                                                                                : "wsgi_fcgi.set_timeout";
}

/* Since the call has begun. */
static unsigned long long milliseconds(const struct exchange *x) {
    uint64_t now = clock_ns();
    return now > x->r.job.begun_at ? (now - x->r.job.begun_at) / 1000000 : 0;
}

/* What has come from the peer comes last. */
static void put_line(const struct exchange *x, enum conn_overdue how, char line[static LINE_SIZE]) {
    static const char *const hows[] = {[CONN_OVERDUE_CUT] = "cut off", [CONN_OVERDUE_GONE] = "nobody waits for it"};
    const struct request *r = &x->r;
    char whom[WHO_TEXT_SIZE], text[REQUEST_TEXT_SIZE];
    struct who who = who_find(x->conn, r);
    unsigned long long ms = milliseconds(x);
    const char *what = how == CONN_OVERDUE_ANSWERED ? refusal_status(REFUSED_OVERDUE) : hows[how];
    snprintf(
        line, LINE_SIZE,
        "connection %llu: request %u: %s (%s): its call did not end in time (%s), and goes on after %llu.%03llu s: %s",
        x->conn->number, x->id, what, who_text(&who, whom), who_has_set(x), ms / 1000, ms % 1000,
        request_text(r, text, sizeof text));
}

static void tell(struct exchange *x, struct sched_thread *thread, enum conn_overdue how) {
    const struct lane *lane = lane_of(x);
    char line[LINE_SIZE];
    sched_pause(lane->sched);
    put_line(x, how, line);
    if (lane->config.overdue)
        lane->config.overdue(&x->r, thread, line, lane->config.overdue_arg);
    else
        log_warning("%s", line);
}

static void end_of_time(struct exchange *x, struct sched_thread *thread) {
    struct conn *c = x->conn;
    take_out(&c->lane->deadlines, x);
    atomic_store(&x->r.overdue, true);
    conn_ref(c);
    enum conn_overdue how = c->ops->overdue(c, &x->r);
    tell(x, thread, how);
    lose(x);
    conn_unref(c);
}

/* Something is due, or was: the call may have got more time since. */
static void look_at(struct exchange *x, uint64_t now) {
    struct lane *lane = lane_of(x);
    struct sched_thread *thread;
    uint64_t due = due_of(x);
    if (due <= now && atomic_load_explicit(&x->r.deadline, memory_order_relaxed) == REQUEST_NOT_BEGUN)
        due = now + NOT_BEGUN_NS;
    if (due > now) {
        take_out(&lane->deadlines, x);
        insert(&lane->deadlines, x, due);
    } else if ((thread = sched_thread_of(lane->sched, &x->r.job)))
        end_of_time(x, thread);
    else
        take_out(&lane->deadlines, x); /* it has just ended, and is settled next */
}

static void look(struct lane *lane) {
    struct exchange *first;
    uint64_t now = clock_ns();
    while ((first = TAILQ_FIRST(&lane->deadlines.timed)) && first->due <= now)
        look_at(first, now);
}

static void timer_cb(struct ev_loop *loop, ev_timer *w, int revents) {
    (void)loop;
    (void)revents;
    look(w->data);
}

/* By the time of the last poll, to which libev adds it. */
static void timer_start(struct lane *lane, uint64_t due) {
    struct deadlines *d = &lane->deadlines;
    double after = (double)due / 1e9 - lane_now(lane);
    d->timer_due = due;
    ev_timer_stop(lane->loop, &d->timer);
    ev_timer_set(&d->timer, after > 0.0001 ? after : 0.0001, 0.);
    ev_timer_start(lane->loop, &d->timer);
}

void deadlines_settle(struct lane *lane) {
    struct deadlines *d = &lane->deadlines;
    struct sched_job *job = sched_looping(lane->sched);
    /* Not every job is a request. */
    if (job && job->ops->detached == exchange_detached) {
        struct exchange *x = exchange_of_job(job);
        if (!x->timed && !atomic_load_explicit(&x->r.overdue, memory_order_relaxed))
            insert(d, x, due_of(x));
    }
    /* A timer that runs for one that has ended does no harm, and there is seldom more than one of them. */
    const struct exchange *first = TAILQ_FIRST(&d->timed);
    if (first && first->due != UINT64_MAX && !(ev_is_active(&d->timer) && d->timer_due <= first->due))
        timer_start(lane, first->due);
}

/* Looks at calls that take long. */

static unsigned visit_old(const struct lane *lane, struct exchanges *list, lane_visit_fn *visit, void *arg) {
    const uint64_t before = clock_ns() - LANE_LOOK_MS * UINT64_C(1000000);
    unsigned visited = 0;
    struct exchange *x;
    TAILQ_FOREACH(x, list, deadline_link) {
        struct sched_thread *thread = x->r.job.begun_at <= before ? sched_thread_of(lane->sched, &x->r.job) : NULL;
        if (thread) {
            visit(thread, &x->processor_time, arg);
            visited++;
        }
    }
    return visited;
}

void lane_visit_calls(struct lane *lane, lane_visit_fn *visit, void *arg) {
    struct deadlines *d = &lane->deadlines;
    d->visited = visit_old(lane, &d->late, visit, arg) + visit_old(lane, &d->timed, visit, arg);
}

static void looks_cb(struct ev_loop *loop, ev_timer *w, int revents) {
    struct lane *lane = w->data;
    struct deadlines *d = &lane->deadlines;
    (void)revents;
    bool wanted = lane->config.look(lane->config.overdue_arg);
    w->repeat = LANE_LOOK_MS / 1e3 * (1 + d->visited / LOOK_CALLS);
    if (!wanted && TAILQ_EMPTY(&d->timed) && TAILQ_EMPTY(&d->late))
        w->repeat = 0.;
    ev_timer_again(loop, w);
}

static void looks_start(struct lane *lane) {
    ev_timer *looks = &lane->deadlines.looks;
    if (ev_is_active(looks) || !lane->config.look)
        return;
    ev_timer_set(looks, LANE_LOOK_MS / 1e3, LANE_LOOK_MS / 1e3);
    ev_timer_start(lane->loop, looks);
}

/* Calls. */

/* A call that was handed over in advance has not had much by now; one that has lost the loop, some milliseconds. */
static void note_processor(struct exchange *x) {
    struct sched_thread *thread = sched_thread_of(lane_of(x)->sched, &x->r.job);
    if (!thread || !sched_thread_time(thread, &x->processor_from))
        x->processor_from = 0;
}

void deadline_begins(struct exchange *x) {
    struct deadlines *d = &lane_of(x)->deadlines;
    x->detached = true;
    x->processor_time = 0;
    note_processor(x);
    looks_start(lane_of(x));
    if (atomic_load_explicit(&x->r.overdue, memory_order_relaxed)) {
        lose(x);
        return;
    }
    take_out(d, x);
    insert(d, x, due_of(x));
}

void deadline_ends(struct exchange *x) {
    struct lane *lane = lane_of(x);
    take_out(&lane->deadlines, x);
    x->detached = false;
    if (x->lost) {
        x->lost = false;
        tell_lost(lane);
    }
}

void deadline_late_begins(struct exchange *x) {
    struct deadlines *d = &lane_of(x)->deadlines;
    x->late = true;
    TAILQ_INSERT_TAIL(&d->late, x, deadline_link);
    lane_count_add(&d->nlate, 1);
}

void deadline_late_ends(struct exchange *x) {
    const struct request *r = &x->r;
    struct deadlines *d = &lane_of(x)->deadlines;
    char whom[WHO_TEXT_SIZE], text[REQUEST_TEXT_SIZE];
    struct who who = who_find(x->conn, r);
    unsigned long long ms = milliseconds(x);
    sched_pause(lane_of(x)->sched);
    log_info("connection %llu: request %u (%s): its call, which was not waited for, has ended after %llu.%03llu s: %s",
             x->conn->number, x->id, who_text(&who, whom), ms / 1000, ms % 1000, request_text(r, text, sizeof text));
    x->late = false;
    TAILQ_REMOVE(&d->late, x, deadline_link);
    lane_count_add(&d->nlate, -1);
}

/* Who is in the way of all others. */

static struct request *find_holder(const struct sched *sched, const struct exchanges *list,
                                   struct sched_thread **thread) {
    struct exchange *x;
    TAILQ_FOREACH(x, list, deadline_link) {
        *thread = sched_thread_of(sched, &x->r.job);
        if (*thread && sched_has_lock(*thread))
            return &x->r;
    }
    return NULL;
}

struct request *lane_find_lock_holder(const struct lane *lane, struct sched_thread **thread) {
    struct request *late = find_holder(lane->sched, &lane->deadlines.late, thread);
    return late ? late : find_holder(lane->sched, &lane->deadlines.timed, thread);
}

/* Calls that set their own. */

static void note_cb(struct sched_note *note) {
    struct deadlines *d = (struct deadlines *)(void *)((char *)note - offsetof(struct deadlines, note));
    struct lane *lane = (struct lane *)(void *)((char *)d - offsetof(struct lane, deadlines));
    struct exchanges before = TAILQ_HEAD_INITIALIZER(before);
    struct exchange *x;
    (void)atomic_exchange(&d->noted, false); /* with which comes what the call has written */
    d->used = true;
    TAILQ_CONCAT(&before, &d->timed, deadline_link);
    while ((x = TAILQ_FIRST(&before))) {
        TAILQ_REMOVE(&before, x, deadline_link);
        insert(d, x, due_of(x));
    }
    look(lane);
}

void deadline_set(struct request *r) {
    struct lane *lane = lane_of(exchange_of(r));
    if (!atomic_exchange(&lane->deadlines.noted, true))
        sched_post(lane->sched, &lane->deadlines.note);
}

/* Life. */

void deadlines_init(struct lane *lane) {
    struct deadlines *d = &lane->deadlines;
    TAILQ_INIT(&d->timed);
    TAILQ_INIT(&d->late);
    d->note.call = note_cb;
    ev_timer_init(&d->timer, timer_cb, 0., 0.);
    ev_timer_init(&d->looks, looks_cb, 0., 0.);
    d->timer.data = d->looks.data = lane;
}

void deadlines_start(struct lane *lane) {
    double seconds = lane->config.request_timeout;
    atomic_store_explicit(&lane->deadlines.allowed, seconds > 0 ? (uint64_t)(seconds * 1e9) : 0, memory_order_relaxed);
    lane->deadlines.used |= seconds > 0;
}
