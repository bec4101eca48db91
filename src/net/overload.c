#include "config.h"

#include "net/overload.h"

#include "base/ascii.h"
#include "base/clock.h"
#include "base/text_line.h"
#include "net/lane_impl.h"
#include "net/request_log.h"

enum { LINE_SIZE = 700 };

/* Seconds. */
static const double FIRST_AFTER = 0.1; /* from the beginning to the first line: in a burst no call may have begun */
static const double EVERY = 10;        /* from one line to the next */
static const double STUCK_AFTER = 1;   /* without the end of a call; less if nobody has to wait so long... */
static const double STUCK_CALLS = 2;   /* ...and more than so many calls take: those that begin together end together */

static double seconds(uint64_t now, uint64_t then) {
    return now > then ? (double)(now - then) / 1e9 : 0;
}

static void add_seconds(struct text_line *l, double time) {
    char text[ASCII_SECONDS_SIZE];
    text_line_add(l, "%s s", ascii_put_seconds(text, time));
}

/* "2026-11-29T17:40:01.123Z (12.5 s)" */
static void add_since(struct text_line *l, double ago) {
    char time[LOG_TIME_SIZE];
    text_line_add(l, "%s (", log_time(time, (uint64_t)(ago * 1e9)));
    add_seconds(l, ago);
    text_line_add(l, ")");
}

/* Returns how many wait. */
static unsigned add_counts(struct text_line *l, struct lane *lane, uint64_t now) {
    const struct overload *o = &lane->overload;
    uint64_t oldest;
    unsigned queued = sched_queued(lane->sched, &oldest);
    text_line_add(l, ": %u request%s refused with 503", o->refused, ascii_plural(o->refused));
    if (o->left)
        text_line_add(l, " and %u dropped, which their clients had left,", o->left);
    text_line_add(l, " in the last ");
    add_seconds(l, seconds(now, o->told_at));
    text_line_add(l, "; %u wait%s", queued, queued == 1 ? "s" : "");
    if (queued) {
        text_line_add(l, "%s", queued == 1 ? ", for " : ", the oldest for ");
        add_seconds(l, (double)oldest / 1e9);
    }
    return queued;
}

/* Adds since when no call has ended, if that is long ago; returns whether it is. */
static bool add_stuck(struct text_line *l, const struct lane *lane, uint64_t now) {
    const struct lane_config *config = &lane->config;
    uint64_t since = sched_stuck_since(lane->sched);
    double patience = config->queue_timeout, time = seconds(now, since);
    double usual = STUCK_CALLS * (double)sched_usual(lane->sched) / 1e9;
    if (!since || time < usual || time < (patience > 0 && patience < STUCK_AFTER ? patience : STUCK_AFTER))
        return false;
    text_line_add(l, "no call has ended since ");
    add_since(l, time);
    text_line_add(l, ", and %u run, as many as --threads allows", config->threads);
    return true;
}

/* More threads help where calls wait for something, and end. */
static void tell(struct lane *lane, uint64_t now) {
    char l_text[LINE_SIZE];
    struct text_line l = text_line_in(l_text, sizeof l_text);
    text_line_add(&l, "overload since ");
    add_since(&l, seconds(now, lane->overload.begun_at));
    bool goes_on = add_counts(&l, lane, now) > 0;
    text_line_add(&l, "; ");
    if (add_stuck(&l, lane, now))
        text_line_add(&l, ": find out what they wait for; as long as none ends, more --threads do not help");
    else
        text_line_add(&l, "more %s: make calls shorter or, if they wait rather than compute, raise --threads (%u)",
                      goes_on ? "come than calls end" : "came than calls ended", lane->config.threads);
    if (!request_log_oldest(lane, l.text))
        log_warning("%s", l.text);
}

static void tell_end(struct lane *lane, uint64_t now) {
    const struct overload *o = &lane->overload;
    char l_text[LINE_SIZE];
    struct text_line l = text_line_in(l_text, sizeof l_text);
    text_line_add(&l, "overload since ");
    add_since(&l, seconds(now, o->begun_at));
    text_line_add(&l, " is over: %llu request%s refused or dropped, and none in the last ",
                  (unsigned long long)o->before, o->before == 1 ? " was" : "s were");
    add_seconds(&l, seconds(now, o->told_at));
    char stuck_text[LINE_SIZE];
    struct text_line stuck = text_line_in(stuck_text, sizeof stuck_text);
    if (add_stuck(&stuck, lane, now))
        log_warning("%s; but %s", l.text, stuck.text);
    else
        log_info("%s", l.text);
}

static void timer_cb(struct ev_loop *loop, ev_timer *w, int revents) {
    (void)revents;
    struct lane *lane = w->data;
    struct overload *o = &lane->overload;
    uint64_t now = clock_ns();
    sched_pause(lane->sched);
    if (!o->refused && !o->left) {
        tell_end(lane, now);
        return;
    }
    tell(lane, now);
    o->before += o->refused + o->left;
    o->refused = o->left = 0;
    o->told_at = now;
    ev_timer_set(w, EVERY, 0.);
    ev_timer_start(loop, w);
}

void overload_init(struct lane *lane) {
    ev_timer_init(&lane->overload.timer, timer_cb, 0., 0.);
    lane->overload.timer.data = lane;
}

void overload_note(struct lane *lane, bool left) {
    struct overload *o = &lane->overload;
    if (left)
        o->left++;
    else
        o->refused++;
    if (ev_is_active(&o->timer) || ev_is_pending(&o->timer))
        return;
    o->begun_at = o->told_at = clock_ns();
    o->before = 0;
    ev_timer_set(&o->timer, FIRST_AFTER, 0.);
    ev_timer_start(lane->loop, &o->timer);
}
