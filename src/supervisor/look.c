#include "config.h"

#include "supervisor/supervisor.h"

#include "base/clock.h"
#include "supervisor/files.h"
#include "supervisor/take_signals.h"
#include "supervisor/tell.h"
#include "supervisor/workers.h"
#include "supervisor/zygotes.h"

#include <signal.h>

#define KILL_NS UINT64_C(1000000000)

enum { OUTDATED_MAX = 8 /* of one number, that end while files change again and again */ };

/* The first worker shows whether the application can be loaded. */
static void fill_places(struct supervisor *s, uint64_t now) {
    for (unsigned n = 0; n < s->wanted && (n == 0 || s->loaded) && !s->stopping; n++) {
        if (!workers_find_live(s, n, NULL) && supervisor_is_due(s, s->places[n].due_at, now))
            workers_start(s, n, now);
    }
}

static void retire_surplus(struct supervisor *s, uint64_t now) {
    for (unsigned i = 0; i < s->slots_made; i++) {
        struct worker *w = &s->workers[i];
        if (!worker_is_live(w) || w->number < s->wanted)
            continue;
        w->wish = WISH_FEWER;
        if (w->state == WORKER_SERVING)
            workers_retire(w, now);
        else
            workers_stop(w, now);
    }
}

static bool is_replaced(const struct worker *w) {
    return w->wish == WISH_REQUESTS || w->wish == WISH_MEMORY || w->wish == WISH_LIFETIME || w->wish == WISH_FILES ||
           workers_hangs(w);
}

/* Lets a worker whose replacement serves retire. Returns whether this one is being replaced. */
static bool go_on_replacing(struct supervisor *s, struct worker *w, uint64_t now) {
    if (!is_replaced(w))
        return false;
    if (w->state == WORKER_RETIRING)
        return true;
    struct worker *other = w->state == WORKER_SERVING ? workers_find_live(s, w->number, w) : NULL;
    if (other && other->state == WORKER_SERVING)
        workers_retire(other->started_at < w->started_at ? other : w, now);
    return other;
}

static struct worker *find_oldest_wish(struct supervisor *s, uint64_t now) {
    struct worker *oldest = NULL;
    for (unsigned i = 0; i < s->slots_made; i++) {
        struct worker *w = &s->workers[i];
        if (w->state != WORKER_SERVING || !is_replaced(w) || workers_hangs(w) || w->wish == WISH_FILES ||
            !supervisor_is_due(s, s->places[w->number].due_at, now))
            continue;
        if (!oldest || w->wished_at < oldest->wished_at)
            oldest = w;
    }
    return oldest;
}

/* How many of this number have been told to end, and have not. */
static unsigned count_ending(const struct supervisor *s, unsigned number) {
    unsigned count = 0;
    for (unsigned i = 0; i < s->slots_made; i++) {
        const struct worker *w = &s->workers[i];
        count += (w->state == WORKER_RETIRING || w->state == WORKER_STOPPING) && w->number == number;
    }
    return count;
}

/* Where calls hang, little or nothing is served: that does not wait until others were replaced. But where they hang again,
 * the predecessor has to be gone, or there would be ever more processes: so there are two for each number at most, as
 * at a reload. */
static void replace_hanging(struct supervisor *s, uint64_t now) {
    for (unsigned i = 0; i < s->slots_made; i++) {
        struct worker *w = &s->workers[i];
        if (w->state == WORKER_SERVING && workers_hangs(w) && !workers_find_live(s, w->number, w) &&
            !count_ending(s, w->number) && supervisor_is_due(s, s->places[w->number].due_at, now))
            workers_start(s, w->number, now);
    }
}

/* Somebody waits for what has been saved: neither for others, nor for requests that hang in predecessors, but that there
 * are not ever more of these. */
static void replace_outdated(struct supervisor *s, uint64_t now) {
    for (unsigned i = 0; i < s->slots_made; i++) {
        struct worker *w = &s->workers[i];
        if (w->state == WORKER_SERVING && w->wish == WISH_FILES && !workers_find_live(s, w->number, w) &&
            count_ending(s, w->number) < OUTDATED_MAX && supervisor_is_due(s, s->places[w->number].due_at, now))
            workers_start(s, w->number, now);
    }
}

/* One at a time: whatever their limits, at most one worker more than wanted is there, but for those that hang. */
static void replace(struct supervisor *s, uint64_t now) {
    bool busy = false;
    replace_hanging(s, now);
    replace_outdated(s, now);
    for (unsigned i = 0; i < s->slots_made; i++)
        busy |= go_on_replacing(s, &s->workers[i], now);
    struct worker *w = busy ? NULL : find_oldest_wish(s, now);
    if (w)
        workers_start(s, w->number, now);
}

static void look_at_lifetimes(struct supervisor *s, uint64_t now) {
    for (unsigned i = 0; i < s->slots_made; i++) {
        struct worker *w = &s->workers[i];
        if (w->state == WORKER_SERVING && w->wish == WISH_NONE && w->retire_at &&
            supervisor_is_due(s, w->retire_at, now))
            workers_wish(w, WISH_LIFETIME, now);
    }
}

static void plan(struct supervisor *s, uint64_t now) {
    reload_look(s, now);
    look_at_lifetimes(s, now);
    retire_surplus(s, now);
    if (!reload_is_starting(s)) {
        files_look(s, now);
        fill_places(s, now);
        if (s->served)
            replace(s, now);
    }
}

static void look_at_worker(struct worker *w, uint64_t now) {
    struct supervisor *s = w->supervisor;
    if (s->at_once_at && !w->killed && !w->waits) {
        w->killed = true;
        w->state = WORKER_STOPPING;
        workers_signal(w, SIGKILL);
    }
    if (w->killed)
        return;
    if (s->stopping && w->state != WORKER_STOPPING)
        workers_stop(w, now);
    tell_worker(w, now);
    if (w->kill_at && supervisor_is_due(s, w->kill_at, now))
        workers_kill(w, now);
}

/* It is over when all workers are; or a moment after they were killed, as one that hangs in the kernel does not end. */
static bool is_over(struct supervisor *s, uint64_t now) {
    for (unsigned i = 0; i < s->slots_made; i++) {
        if (s->workers[i].state != WORKER_NONE)
            return s->at_once_at && supervisor_is_due(s, s->at_once_at + KILL_NS, now);
    }
    return zygotes_are_gone(s) || (s->at_once_at && supervisor_is_due(s, s->at_once_at + KILL_NS, now));
}

void supervisor_look(struct supervisor *s) {
    atomic_store_explicit(&s->board->wanted, s->wanted, memory_order_relaxed);
    const uint64_t now = clock_ns();
    s->look_at = UINT64_MAX;
    take_signals_look(s, now);
    if (s->stopping)
        reload_stop(s);
    else
        plan(s, now);
    zygotes_look(s, now);
    for (unsigned i = 0; i < s->slots_made; i++) {
        if (s->workers[i].state != WORKER_NONE)
            look_at_worker(&s->workers[i], now);
    }
    if (!s->stopping)
        files_take(s, now);
    status_look(s);
    if (s->stopping && is_over(s, now))
        ev_break(s->loop, EVBREAK_ALL);
}
