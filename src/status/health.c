#include "config.h"

#include "status/health.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { WHY_SIZE = 160 };

static uint64_t least(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* Each thread has run the same call for long. Calls beyond --request-timeout have others in their places, up to as many
 * as there are threads. The scoreboard tells of so many calls, and no more. */
static bool has_no_thread(const struct snapshot_worker *w) {
    const uint64_t stuck = w->stuck > w->lost ? w->stuck - w->lost : 0;
    if (!w->threads_max)
        return false;
    if (w->lost >= 2 * w->threads_max)
        return true;
    const uint64_t places = w->lost > w->threads_max ? 2 * w->threads_max - w->lost : w->threads_max;
    return w->running >= places && stuck >= least(places, SCOREBOARD_CALLS - least(w->lost, SCOREBOARD_CALLS - 1));
}

/* Writes why a worker serves nobody. Returns false if it does. */
static bool is_stuck(const struct snapshot_worker *w, char why[static WHY_SIZE]) {
    const unsigned long long limit = SNAPSHOT_STUCK_NS / 1000000000;
    if (w->lock_waited >= SNAPSHOT_STUCK_NS)
        snprintf(why, WHY_SIZE, "worker %u: the interpreter lock has been waited for during %" PRIu64 " s", w->number,
                 w->lock_waited / 1000000000);
    else if (has_no_thread(w))
        snprintf(why, WHY_SIZE, "worker %u: all threads (%" PRIu64 ") are in calls that have run for more than %llu s",
                 w->number, w->threads_max, limit);
    else
        return false;
    return true;
}

/* Writes why the server is not fit. Returns false if it is. */
static bool is_unfit(const struct snapshot *s, char why[static WHY_SIZE]) {
    bool stuck = false;
    if (s->leaving) {
        snprintf(why, WHY_SIZE, "the server is about to stop (--stop-delay)");
        return true;
    }
    for (unsigned i = 0; i < s->worker_count; i++) {
        char this_one[WHY_SIZE];
        if (s->workers[i].state != SCOREBOARD_SERVING)
            continue;
        if (!is_stuck(&s->workers[i], this_one))
            return false;
        if (!stuck)
            memcpy(why, this_one, WHY_SIZE);
        stuck = true;
    }
    if (!stuck)
        snprintf(why, WHY_SIZE, "no %s serves", s->source.workers ? "worker" : "process");
    return true;
}

int health_put(const struct snapshot *s, struct buf *out) {
    char why[WHY_SIZE], line[WHY_SIZE + 16] = "ok\n";
    const bool unfit = is_unfit(s, why);
    if (unfit)
        snprintf(line, sizeof line, "not fit: %s\n", why);
    if (buf_append(out, line, strlen(line)))
        return -1;
    return unfit ? 503 : 200;
}
