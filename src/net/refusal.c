#include "config.h"

#include "net/refusal.h"

#include "base/clock.h"
#include "base/hash.h"
#include "net/lane_impl.h"
#include "net/who.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *status;
    enum log_level level;
    const char *text;
} refusals[] = {
#define REFUSAL_ROW(name, status, level, text) [name] = {status, LOG_LEVEL_##level, text},
    REFUSALS(REFUSAL_ROW)
#undef REFUSAL_ROW
};

/* What a line says of a refusal. */
struct refused {
    enum refusal why;
    enum log_level level;
    const char *status, *text;
    bool runs; /* the application does */
};

const char *refusal_status(enum refusal why) {
    return refusals[why].status;
}

/* Writes what to add to the text, starting with a colon; "" if there is nothing. */
static void put_detail(char *out, size_t size, enum refusal why, struct request *r) {
    char name[128];
    int error = why == REFUSED_NO_SPOOL ? body_error(&r->body) : 0;
    out[0] = '\0';
    if (error)
        snprintf(out, size, ": %s", strerror(error));
    else if (why == REFUSED_MALFORMED && r->vars.bad.n)
        snprintf(out, size, ": %s", log_escape(name, sizeof name, r->vars.bad.p, r->vars.bad.n));
    else if (why == REFUSED_QUEUE_LATE && r->job.queued_at) {
        uint64_t ms = (clock_ns() - r->job.queued_at) / 1000000;
        snprintf(out, size, ": it waited for %llu.%03llu s", (unsigned long long)(ms / 1000),
                 (unsigned long long)(ms % 1000));
    }
}

/* The peer's bytes come last, so that neither people nor programs can mistake the text before them. */
static void log_refused(struct conn *c, const struct refused *what, unsigned id, struct request *r) {
    char more[LOG_TABLE_MORE_SIZE], whom[WHO_TEXT_SIZE], text[REQUEST_TEXT_SIZE], detail[160];
    struct who who = who_find(c, r);
    if (!who_log_due(&who, &refusals[what->why], more))
        return;
    sched_pause(c->lane->sched);
    put_detail(detail, sizeof detail, what->why, r);
    bool named = r->vars.method.n > 0;
    log_printf(what->level, "connection %llu: request %u: %s (%s)%s: %s%s%s%s%s", c->number, id, what->status,
               who_text(&who, whom), what->runs ? " (the application runs, and reads an error)" : "", what->text, more,
               detail, named ? ": " : "", named ? request_text(r, text, sizeof text) : "");
}

void refusal_log(struct conn *c, enum refusal why, unsigned id, struct request *r, bool runs) {
    const struct refused what = {why, refusals[why].level, refusals[why].status, refusals[why].text, runs};
    log_refused(c, &what, id, r);
}

void refusal_log_as(struct conn *c, const char *status, const char *why, unsigned id, struct request *r) {
    const struct refused what = {REFUSED_MALFORMED, LOG_LEVEL_WARNING, status, why, false};
    log_refused(c, &what, id, r);
}

void refusal_log_held(struct conn *c, unsigned id, struct request *r) {
    static const char topic;
    char more[LOG_TABLE_MORE_SIZE], whom[WHO_TEXT_SIZE], text[REQUEST_TEXT_SIZE];
    struct who who = who_find(c, r);
    if (!who_log_due(&who, &topic, more))
        return;
    sched_pause(c->lane->sched);
    log_warning("connection %llu: request %u (%s): its body waits until the application reads it, since it cannot be "
                "kept: see --spool-dir: %s%s: %s",
                c->number, id, who_text(&who, whom), strerror(r->body.held_error), more,
                request_text(r, text, sizeof text));
}

static unsigned retry_after(struct lane *lane) {
    unsigned seconds = sched_retry_after(lane->sched);
    return seconds + (unsigned)(hash_next(&lane->chance) % (seconds / 2 + 1));
}

int refusal_answer(struct lane *lane, struct request *r, enum refusal why) {
    const char *status = refusals[why].status;
    char text[REQUEST_STATUS_MAX + 2], again[32] = "";
    snprintf(text, sizeof text, "%s\n", status);
    if (why == REFUSED_STATUS_METHOD) /* RFC 9110, 15.5.6 */
        return request_answer(r, status, "Allow: GET, HEAD\r\n", text);
    if (why == REFUSED_QUEUE_FULL || why == REFUSED_QUEUE_LATE)
        snprintf(again, sizeof again, "Retry-After: %u\r\n", retry_after(lane));
    return request_answer(r, status, again, text);
}
