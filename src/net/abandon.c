#include "config.h"

#include "net/abandon.h"

#include "net/lane_impl.h"

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
        atomic_store(&r->gone, true);
    else if (abandon_is_likely(c))
        atomic_store(&r->left, true);
}

void abandon_log(struct lane *lane, enum drop why, unsigned long long connection, unsigned id,
                 const struct request *r) {
    char more[LOG_MORE_SIZE], text[600];
    if (lane->aborting || !log_limit_due(&lane->drop_limits[why], more))
        return;
    sched_pause(lane->sched);
    bool named = r->vars.method.n > 0;
    log_info("connection %llu: request %u dropped: %s%s%s%s", connection, id, drops[why], named ? ": " : "",
             named ? request_text(r, text, sizeof text) : "", more);
}
