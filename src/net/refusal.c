#include "config.h"

#include "net/refusal.h"

#include "net/lane_impl.h"

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

const char *refusal_status(enum refusal why) {
    return refusals[why].status;
}

/* What there is to say besides the text, from a colon on; *out is "" when there is nothing. */
static void put_detail(char *out, size_t size, enum refusal why, struct request *r) {
    char name[128];
    int error = why == REFUSED_NO_SPOOL ? body_error(&r->body) : 0;
    out[0] = '\0';
    if (error)
        snprintf(out, size, ": %s", strerror(error));
    else if (why == REFUSED_MALFORMED && r->vars.bad.n)
        snprintf(out, size, ": %s", log_escape(name, sizeof name, r->vars.bad.p, r->vars.bad.n));
}

void refusal_log(struct lane *lane, enum refusal why, unsigned long long connection, unsigned id, struct request *r,
                 bool runs) {
    char more[LOG_MORE_SIZE], text[600], detail[160];
    if (!log_limit_due(&lane->refusal_limits[why], more))
        return;
    sched_pause(lane->sched);
    put_detail(detail, sizeof detail, why, r);
    bool named = r->vars.method.n > 0;
    log_printf(refusals[why].level, "connection %llu: request %u: %s%s: %s%s%s%s%s", connection, id,
               refusals[why].status, runs ? " (the application runs, and reads an error)" : "", refusals[why].text,
               detail, named ? ": " : "", named ? request_text(r, text, sizeof text) : "", more);
}

void refusal_log_held(struct lane *lane, unsigned long long connection, unsigned id, struct request *r) {
    char more[LOG_MORE_SIZE], text[600];
    if (!log_limit_due(&lane->held_limit, more))
        return;
    sched_pause(lane->sched);
    log_warning("connection %llu: request %u: its body waits until the application reads it, since it cannot be kept: "
                "see --spool-dir: %s: %s%s",
                connection, id, strerror(r->body.held_error), request_text(r, text, sizeof text), more);
}

int refusal_answer(struct request *r, enum refusal why) {
    const char *status = refusals[why].status;
    char text[REQUEST_STATUS_MAX + 2];
    snprintf(text, sizeof text, "%s\n", status);
    return request_answer(r, status, strncmp(status, "503", 3) ? NULL : "Retry-After: 5\r\n", text);
}
