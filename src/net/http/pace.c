#include "config.h"

#include "net/http/pace.h"

#include "net/lane_impl.h"

#include <stddef.h>

struct http_request *http_pace_request(struct timeout *to) {
    return (struct http_request *)(void *)((char *)to - offsetof(struct http_request, pace));
}

void http_pace_begins(struct http_request *q, void (*late)(struct timeout *to)) {
    struct conn *c = &q->c->conn;
    const struct lane_config *config = &c->lane->config;
    /* No rate is required, or nothing more is expected of this body. */
    if (q->paced || (config->min_body_rate <= 0 && (config->header_timeout <= 0 || q->came)))
        return;
    q->paced = true;
    q->came_before = q->came;
    q->pace_excused = atomic_load_explicit(&q->owes_continue, memory_order_relaxed);
    c->was_paused = c->paused;
    timeout_begins(&q->c->http->bodies, &q->pace, c, late);
}

void http_pace_ends(struct http_request *q) {
    if (q->paced)
        timeout_ends(&q->c->http->bodies, &q->pace);
    q->paced = false;
}

void http_pace_moves(struct http_request *from, struct http_request *to) {
    to->paced = from->paced;
    if (!from->paced)
        return;
    from->paced = false;
    to->came_before = from->came_before;
    to->pace_excused = from->pace_excused;
    timeout_moves(&from->c->http->bodies, &from->pace, &to->pace);
}

enum refusal http_pace_look(struct http_request *q) {
    const struct lane *lane = q->c->conn.lane;
    http_pace_ends(q);
    if (q->pace_excused || q->c->conn.was_paused)
        return NOT_REFUSED;
    if (!q->came_before)
        return q->came || lane->config.header_timeout <= 0 ? NOT_REFUSED : REFUSED_BODY_LATE;
    double came = (double)(q->came - q->came_before);
    return came < lane->config.min_body_rate * q->c->http->bodies.after ? REFUSED_BODY_SLOW : NOT_REFUSED;
}
