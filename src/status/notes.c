/* What somebody should know first who is called at night: what of a snapshot is not as it should be, and since when.
 * What it says has numbers and words of the server alone; what is at fault stands with the calls. */
#include "config.h"

#include "status/snapshot.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

/* The interpreter lock changes hands many times a second, or something is wrong. */
static const uint64_t LOCK_NS = 1000000000;

__attribute__((format(printf, 2, 3))) static void note(struct snapshot *s, const char *format, ...) {
    if (s->note_count == SNAPSHOT_NOTES)
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(s->notes[s->note_count++], SNAPSHOT_NOTE_SIZE, format, args);
    va_end(args);
}

static const struct snapshot_call *find_holder(const struct snapshot *s, const struct snapshot_worker *w) {
    for (unsigned i = 0; i < s->call_count; i++) {
        if (s->calls[i]->pid == w->pid && s->calls[i]->call.has_lock)
            return s->calls[i];
    }
    return NULL;
}

static void note_lock(struct snapshot *s, const struct snapshot_worker *w) {
    if (w->lock_waited < LOCK_NS)
        return;
    const struct snapshot_call *holder = find_holder(s, w);
    const uint64_t seconds = w->lock_waited / 1000000000u;
    if (holder)
        note(s,
             "worker %u: thread %d has the interpreter lock, for which others have been waiting for %" PRIu64
             " s: see its line",
             w->number, holder->call.tid, seconds);
    else
        note(s, "worker %u: the interpreter lock has been waited for during %" PRIu64 " s", w->number, seconds);
}

static void note_worker(struct snapshot *s, const struct snapshot_worker *w) {
    note_lock(s, w);
    const uint64_t busy = w->running + w->lost;
    if (w->queued && busy && busy >= w->threads)
        note(s, "worker %u: all %" PRIu64 " threads are busy, and %" PRIu64 " request%s wait%s", w->number, w->threads,
             w->queued, w->queued == 1 ? "" : "s", w->queued == 1 ? "s" : "");
    if (w->stuck)
        note(s, "worker %u: %u call%s run for more than 10 s: see where under \"Running\"", w->number, w->stuck,
             w->stuck == 1 ? " has" : "s have");
    if (w->lost)
        note(s, "worker %u: %" PRIu64 " thread%s lost in calls that go on beyond --request-timeout", w->number, w->lost,
             w->lost == 1 ? " is" : "s are");
    if (w->full)
        note(s, "worker %u: --max-connections is reached, others wait to be accepted", w->number);
}

static bool serves(const struct snapshot *s) {
    for (unsigned i = 0; i < s->worker_count; i++) {
        if (s->workers[i].state == SCOREBOARD_SERVING)
            return true;
    }
    return false;
}

void snapshot_note(struct snapshot *s) {
    if (s->leaving)
        note(s, "the server has got SIGTERM, and goes on for --stop-delay");
    if (s->source.board && !serves(s))
        note(s, "no %s serves: the log says why", s->source.workers ? "worker" : "process");
    for (unsigned i = 0; i < s->worker_count; i++)
        note_worker(s, &s->workers[i]);
    const uint64_t spool = s->sums.counters[METRICS_SPOOL_FAILURES];
    if (spool)
        note(s, "%" PRIu64 " request bod%s found no room in the spool directory since the start", spool,
             spool == 1 ? "y has" : "ies have");
}
