#include "config.h"

#include "net/slow.h"

#include "base/ascii.h"
#include "base/clock.h"
#include "base/log.h"
#include "net/exchange.h"
#include "net/lane_impl.h"
#include "net/request_log.h"
#include "net/who.h"

#include <stdio.h>

#define SECOND_NS UINT64_C(1000000000)

enum { LINE_SIZE = 1000, SECONDS_SIZE = 32 };

static const double LOOK_MOST = 1, LOOK_LEAST = 0.05; /* seconds between looks whether calls end */

static struct lane *lane_of(const struct exchange *x) {
    return x->conn->lane;
}

static const char *put_seconds(char out[static SECONDS_SIZE], uint64_t ns) {
    snprintf(out, SECONDS_SIZE, "%llu.%03llu s", (unsigned long long)(ns / SECOND_NS),
             (unsigned long long)(ns / 1000000 % 1000));
    return out;
}

/* The list. */

/* When all was there for its call. */
static uint64_t came_at(const struct exchange *x) {
    const struct sched_job *job = &x->r.job;
    return job->queued_at && job->queued_at < job->begun_at ? job->queued_at : job->begun_at;
}

static void insert(struct slow *s, struct exchange *x) {
    struct exchange *before = NULL, *at;
    x->slow_timed = true;
    TAILQ_FOREACH(at, &s->timed, slow_link) {
        if (at->slow_due > x->slow_due)
            break;
        before = at;
    }
    if (before)
        TAILQ_INSERT_AFTER(&s->timed, before, x, slow_link);
    else
        TAILQ_INSERT_HEAD(&s->timed, x, slow_link);
}

static void take_out(struct slow *s, struct exchange *x) {
    if (x->slow_timed)
        TAILQ_REMOVE(&s->timed, x, slow_link);
    x->slow_timed = false;
}

static void time_call(struct exchange *x) {
    struct slow *s = &lane_of(x)->slow;
    if (x->slow_timed)
        return;
    x->slow_after = s->after;
    x->slow_due = came_at(x) + s->after;
    insert(s, x);
}

/* A request takes long. */

/* A thousand may do so at once. Ten a second show where they are, and the rest is counted. */
static bool is_line_due(struct slow *s, uint64_t now) {
    if (now - s->lines_since >= SECOND_NS) {
        s->lines_since = now;
        s->lines = 0;
    }
    if (s->lines++ < SLOW_LINES)
        return true;
    s->left_out++;
    return false;
}

static const char *say_wait(const struct request *r) {
    switch (atomic_load_explicit(&r->waits, memory_order_relaxed)) {
    case REQUEST_READS:
        return ", and waits for more of the request's body";
    case REQUEST_SENDS:
        return ", and waits for its client to take more of the answer";
    default:
        return "";
    }
}

/* What has come from the peer comes last. */
static void put_line(const struct exchange *x, uint64_t now, unsigned long left_out, char line[static LINE_SIZE]) {
    const struct request *r = &x->r;
    char whom[WHO_TEXT_SIZE], text[600], taken[SECONDS_SIZE], queued[SECONDS_SIZE], more[80] = "";
    struct who who = who_find(x->conn, r);
    if (left_out)
        snprintf(more, sizeof more, " (and %lu more since the last line about one)", left_out);
    snprintf(line, LINE_SIZE,
             "connection %llu: request %u (%s): takes long (--slow-request)%s: %s so far, %s of it for want of a "
             "thread%s: %s",
             x->conn->number, x->id, who_text(&who, whom), more, put_seconds(taken, now - came_at(x)),
             put_seconds(queued, r->job.begun_at - came_at(x)), say_wait(r), request_text(r, text, sizeof text));
}

static void tell(struct exchange *x, struct sched_thread *thread, uint64_t now) {
    struct lane *lane = lane_of(x);
    struct slow *s = &lane->slow;
    char line[LINE_SIZE];
    x->slow_told = true;
    if (!is_line_due(s, now))
        return;
    sched_pause(lane->sched);
    put_line(x, now, s->left_out, line);
    s->left_out = 0;
    if (lane->config.slow)
        lane->config.slow(&x->r, thread, line, lane->config.slow_arg);
    else
        log_warning("%s", line);
}

/* One is due. It has just ended, and is settled next, if no thread runs it. */
static void look_at(struct exchange *x, uint64_t now) {
    struct lane *lane = lane_of(x);
    struct sched_thread *thread = sched_thread_of(lane->sched, &x->r.job);
    take_out(&lane->slow, x);
    if (!thread)
        return;
    tell(x, thread, now);
    while (x->slow_due <= now) {
        x->slow_due += x->slow_after;
        x->slow_after *= 2;
    }
    insert(&lane->slow, x);
}

static void timer_cb(struct ev_loop *loop, ev_timer *w, int revents) {
    struct lane *lane = w->data;
    struct exchange *first;
    const uint64_t now = clock_ns();
    (void)loop;
    (void)revents;
    while ((first = TAILQ_FIRST(&lane->slow.timed)) && first->slow_due <= now)
        look_at(first, now);
}

void slow_look_back(struct exchange *x) {
    struct lane *lane = lane_of(x);
    struct slow *s = &lane->slow;
    const struct request *r = &x->r;
    const uint64_t waited = r->job.begun_at ? r->job.begun_at - came_at(x) : 0;
    char whom[WHO_TEXT_SIZE], text[600], shown[2][SECONDS_SIZE], more[80] = "";
    if (x->slow_told || waited < s->after || !is_line_due(s, clock_ns()))
        return;
    sched_pause(lane->sched);
    struct who who = who_find(x->conn, r);
    if (s->left_out)
        snprintf(more, sizeof more, " (and %lu more since the last line about one)", s->left_out);
    s->left_out = 0;
    const uint64_t took = r->job.ended_at > r->job.begun_at ? r->job.ended_at - r->job.begun_at : 0;
    log_warning(
        "connection %llu: request %u (%s): has waited long (--slow-request)%s: %s for want of a thread, and %s in "
        "the application: %s",
        x->conn->number, x->id, who_text(&who, whom), more, put_seconds(shown[0], waited), put_seconds(shown[1], took),
        request_text(r, text, sizeof text));
}

/* By the time of the last poll, to which libev adds it. */
static void timer_start(struct lane *lane, uint64_t due) {
    struct slow *s = &lane->slow;
    double after = (double)due / 1e9 - lane_now(lane);
    s->timer_due = due;
    ev_timer_stop(lane->loop, &s->timer);
    ev_timer_set(&s->timer, after > 0.001 ? after : 0.001, 0.);
    ev_timer_start(lane->loop, &s->timer);
}

void slow_settle(struct lane *lane) {
    struct slow *s = &lane->slow;
    struct sched_job *job = sched_looping(lane->sched);
    /* Not every job is a request. */
    if (job && job->ops->detached == exchange_detached)
        time_call(exchange_of_job(job));
    /* A timer that runs for one that has ended does no harm. */
    const struct exchange *first = TAILQ_FIRST(&s->timed);
    if (first && !(ev_is_active(&s->timer) && s->timer_due <= first->slow_due))
        timer_start(lane, first->slow_due);
}

/* No call ends. */

static void tell_stuck(struct lane *lane, uint64_t time, unsigned queued, uint64_t oldest) {
    char line[LINE_SIZE], stuck[SECONDS_SIZE], waited[SECONDS_SIZE];
    snprintf(line, sizeof line,
             "no call has ended for %s (--stuck-log), as many run as --threads allows (%u), and %u request%s wait%s, "
             "the oldest for %s",
             put_seconds(stuck, time), lane->config.threads, queued, ascii_plural(queued), queued == 1 ? "s" : "",
             put_seconds(waited, oldest));
    sched_pause(lane->sched);
    if (lane->config.stuck)
        lane->config.stuck(line, lane->config.slow_arg);
    else
        log_warning("%s", line);
}

static void tell_end(struct lane *lane, uint64_t now) {
    char time[SECONDS_SIZE];
    sched_pause(lane->sched);
    log_info("calls end again, or no request waits any more, %s after the last one had ended (--stuck-log)",
             put_seconds(time, now - lane->slow.stuck_since));
    lane->slow.stuck_since = 0;
}

/* Requests wait for a thread, and nothing of them can be told of but that. The calls that run are what they wait for. */
static void look_whether_wait(struct lane *lane) {
    struct slow *s = &lane->slow;
    char what[LINE_SIZE], waited[SECONDS_SIZE];
    uint64_t oldest;
    const unsigned queued = sched_queued(lane->sched, &oldest);
    if (!s->after || !queued || oldest < s->after) {
        s->wait_next = s->after;
        return;
    }
    if (oldest < s->wait_next)
        return;
    while (s->wait_next <= oldest)
        s->wait_next *= 2;
    snprintf(what, sizeof what, "%u request%s wait%s for a thread, the oldest for %s (--slow-request)", queued,
             ascii_plural(queued), queued == 1 ? "s" : "", put_seconds(waited, oldest));
    if (!request_log_oldest(lane, what))
        log_warning("%s", what);
}

static void look_whether_stuck(struct lane *lane) {
    struct slow *s = &lane->slow;
    const uint64_t now = clock_ns(), since = sched_stuck_since(lane->sched);
    uint64_t oldest;
    if (!s->stuck_after)
        return;
    const unsigned queued = sched_queued(lane->sched, &oldest);
    const bool stuck = since && queued && now > since;
    if (s->stuck_since && (!stuck || since != s->stuck_since))
        tell_end(lane, now);
    if (!s->stuck_since)
        s->stuck_next = s->stuck_after;
    if (!stuck || now - since < s->stuck_next)
        return;
    s->stuck_since = since;
    while (s->stuck_next <= now - since)
        s->stuck_next *= 2;
    tell_stuck(lane, now - since, queued, oldest);
}

static void looks_cb(struct ev_loop *loop, ev_timer *w, int revents) {
    struct lane *lane = w->data;
    (void)revents;
    look_whether_stuck(lane);
    look_whether_wait(lane);
    if (TAILQ_EMPTY(&lane->deadlines.timed) && TAILQ_EMPTY(&lane->deadlines.late))
        ev_timer_stop(loop, w);
}

static void looks_start(struct lane *lane) {
    struct slow *s = &lane->slow;
    const uint64_t first = s->stuck_after && (!s->after || s->stuck_after < s->after) ? s->stuck_after : s->after;
    double interval = (double)first / 4e9;
    if (!first || ev_is_active(&s->looks))
        return;
    interval = interval > LOOK_MOST ? LOOK_MOST : interval < LOOK_LEAST ? LOOK_LEAST : interval;
    ev_timer_set(&s->looks, interval, interval);
    ev_timer_start(lane->loop, &s->looks);
}

/* Calls. */

void slow_begins(struct exchange *x) {
    struct lane *lane = lane_of(x);
    looks_start(lane);
    if (lane->slow.after)
        time_call(x);
}

void slow_ends(struct exchange *x) {
    take_out(&lane_of(x)->slow, x);
}

void slow_init(struct lane *lane) {
    struct slow *s = &lane->slow;
    s->after = s->wait_next = (uint64_t)(lane->config.slow_request * 1e9);
    s->stuck_after = (uint64_t)(lane->config.stuck_log * 1e9);
    TAILQ_INIT(&s->timed);
    ev_timer_init(&s->timer, timer_cb, 0., 0.);
    ev_timer_init(&s->looks, looks_cb, 0., 0.);
    s->timer.data = s->looks.data = lane;
}
