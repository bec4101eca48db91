#include "config.h"

#include "net/conn_impl.h"

#include "net/lane_impl.h"

#include <stddef.h>
#include <sys/socket.h>

static struct timeouts *lingerers(const struct conn *c) {
    return c->end == CONN_END_DRAIN ? &c->lane->draining : &c->lane->parting;
}

static void linger_late(struct timeout *to) {
    conn_close(to->conn, CONN_DRAINED);
}

void conn_linger(struct conn *c) {
    struct lane *lane = c->lane;
    shutdown(c->fd, SHUT_WR);
    c->rested = 0;
    TAILQ_REMOVE(&lane->conns, c, link);
    TAILQ_INSERT_TAIL(&lane->lingering, c, link);
    c->state = CONN_LINGERING;
    c->linger_since = lane_now(lane);
    timeout_begins(lingerers(c), &c->linger, c, linger_late);
}

void conn_linger_ends(struct conn *c) {
    timeout_ends(lingerers(c), &c->linger);
    TAILQ_REMOVE(&c->lane->lingering, c, link);
}

/* A silence that would have ended the connection was one in which nobody looked: do not blame the peer for it. */
void conn_linger_touch(struct conn *c) {
    struct timeouts *all = lingerers(c);
    ev_tstamp silent = lane_now(c->lane) - c->linger.began_at;
    if (silent > all->after)
        c->linger_since += silent;
    timeout_again(all, &c->linger);
}

static struct conn *conn_of_linger(struct timeout *to) {
    return (struct conn *)(void *)((char *)to - offsetof(struct conn, linger));
}

struct conn *conn_first_lingering(const struct timeouts *all) {
    struct timeout *oldest = TAILQ_FIRST(&all->list);
    return oldest ? conn_of_linger(oldest) : NULL;
}

static bool is_silent(const struct conn *c, ev_tstamp seconds) {
    return c->state == CONN_LINGERING && c->linger.began_at + seconds <= lane_now(c->lane);
}

void conn_end_silent(struct conn *c, ev_tstamp seconds) {
    if (is_silent(c, seconds))
        (void)conn_catch_up(c);
    if (is_silent(c, seconds))
        conn_close(c, CONN_DRAINED);
}

uint64_t conn_drop_max(const struct conn *c) {
    uint64_t body = c->lane->config.body.total;
    return body > CONN_DROP_MAX ? body : CONN_DROP_MAX;
}

void conn_drop_input(struct conn *c, size_t len) {
    c->drained += len;
    ev_tstamp most = CONN_DROP_SECONDS + (double)c->drained / CONN_DROP_PACE;
    if (c->drained > conn_drop_max(c) || (c->state == CONN_LINGERING && lane_now(c->lane) > c->linger_since + most))
        conn_close(c, CONN_DRAINED);
}
