/* Whether a peer takes its output at --min-send-rate.
 *
 * Only time in which output waits for the peer counts, beyond what the system keeps for it, so an answer that fits
 * there is never late. What counts as taken is what the system no longer keeps: over TCP the peer's system has it, on a
 * Unix socket the peer itself. The system tells of that in steps, since a TCP window opens and a message is freed only
 * when much of it was read; so a peer may be CONN_RATE_SLACK behind. Whoever has caught up begins anew: having been
 * fast earns no credit for later.
 *
 * A look that comes late by the loop's fault is skipped, its time with it (timeout_is_excused).
 */
#include "config.h"

#include "net/conn_impl.h"

#include "net/lane_impl.h"

#include <inttypes.h>
#include <linux/sockios.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/ioctl.h>

int64_t conn_rate_ask(struct conn *c) {
    int before = c->unsent;
    int64_t taken = (int64_t)c->flushed;
    if (!ioctl(c->fd, SIOCOUTQ, &c->unsent))
        taken += before - c->unsent;
    c->flushed = 0;
    c->behind_taken += taken;
    return taken;
}

static void start_anew(struct conn *c) {
    c->behind_for = 0;
    c->behind_taken = 0;
}

static void rate_look(struct timeout *to) {
    struct conn *c = to->conn;
    struct lane *lane = c->lane;
    if (conn_rate_ask(c))
        conn_out_touch(c); /* --idle-timeout will not hear of it any more */
    c->behind_for += lane_now(lane) - to->began_at;
    double behind = lane->config.min_send_rate * c->behind_for - (double)c->behind_taken;
    if (behind > CONN_RATE_SLACK) {
        conn_close(c, CONN_READS_SLOWLY);
        return;
    }
    if (behind <= 0)
        start_anew(c);
    timeout_again(&lane->rates, to);
}

void conn_rate_begins(struct conn *c) {
    if (c->lane->config.min_send_rate <= 0)
        return;
    (void)conn_rate_ask(c);
    start_anew(c);
    timeout_begins_rarely(&c->lane->rates, &c->rate, c, rate_look);
}

void conn_rate_ends(struct conn *c) {
    if (c->lane->config.min_send_rate > 0)
        timeout_ends(&c->lane->rates, &c->rate);
}

const char *conn_rate_text(const struct conn *c, const struct conn_reason *reason,
                           char out[static CONN_RATE_TEXT_SIZE]) {
    out[0] = '\0';
    if (reason == CONN_READS_SLOWLY && c->behind_for > 0) {
        int64_t taken = c->behind_taken > 0 ? c->behind_taken : 0;
        snprintf(out, CONN_RATE_TEXT_SIZE, ": %" PRIu64 " bytes a second for %u s",
                 (uint64_t)((double)taken / c->behind_for), (unsigned)c->behind_for);
    }
    return out;
}
