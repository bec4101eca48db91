#include "config.h"

#include "net/abandon.h"

#include "net/lane_impl.h"
#include "net/who.h"

static const char *const drops[] = {
#define DROP_ROW(name, text) [name] = (text),
    DROPS(DROP_ROW)
#undef DROP_ROW
};

bool abandon_is_likely(const struct conn *c) {
    return c->lost || (c->read_ended && !c->is_unix);
}

bool abandon_drops(const struct conn *c) {
    return c->lane->aborting || (c->lane->config.drop_abandoned && abandon_is_likely(c));
}

void abandon_tell(const struct conn *c, struct request *r) {
    if (c->lost)
        request_close_answer(r);
    else if (abandon_is_likely(c))
        atomic_store(&r->left, true);
    else
        return;
    sched_job_left(c->lane->sched, &r->job);
}

void abandon_log(const struct conn *c, enum drop why, unsigned id, const struct request *r) {
    char more[LOG_TABLE_MORE_SIZE], whom[WHO_TEXT_SIZE], text[REQUEST_TEXT_SIZE];
    struct who who = who_find(c, r);
    if (c->lane->aborting || !who_log_due(&who, &drops[why], more))
        return;
    sched_pause(c->lane->sched);
    bool named = r->vars.method.n > 0;
    log_info("connection %llu: request %u dropped (%s): %s%s%s%s", c->number, id, who_text(&who, whom), drops[why],
             more, named ? ": " : "", named ? request_text(r, text, sizeof text) : "");
}
