#include "config.h"

#include "net/fcgi/stall.h"

#include "net/fcgi/request.h"
#include "net/lane_impl.h"

#include <errno.h>

static bool is_stalled(const struct fcgi_request *q, ev_tstamp before, bool called) {
    switch (q->state) {
    case FCGI_JOB_STATE:
        return called && !q->stdin_ended && q->stdin_at <= before;
    case FCGI_BODY_STATE:
        return !q->stdin_ended && q->stdin_at <= before;
    default:
        return false; /* parameters have a time of their own, and what is answered has too */
    }
}

/* Only this request ends: a multiplexing web server is not to blame for one slow client. STDIN that still comes for it
 * then has an inactive id. */
static void request_stalled(struct fcgi_request *q) {
    q->stdin_ended = true;
    if (q->state == FCGI_BODY_STATE) {
        q->x.refusal = REFUSED_BODY_STALLED;
        fcgi_request_maybe_start(q);
    } else if (!body_complete(&q->x.r.body)) {
        exchange_log_body(&q->x, REFUSED_BODY_STALLED);
        exchange_abort_body(&q->x, ETIMEDOUT);
    }
}

/* Finds a request whose body has stalled for so long, including those whose call runs (`called`); or NULL. */
static struct fcgi_request *find_stalled(const struct fcgi_conn *c, ev_tstamp seconds, bool called) {
    ev_tstamp before = lane_now(c->conn.lane) - seconds;
    struct fcgi_request *q;
    TAILQ_FOREACH(q, &c->requests, link) {
        if (is_stalled(q, before, called))
            return q;
    }
    return NULL;
}

void fcgi_stall_end(struct fcgi_conn *c, ev_tstamp seconds, bool called) {
    struct fcgi_request *q;
    if (find_stalled(c, seconds, called))
        (void)conn_catch_up(&c->conn); /* the rest of it may be behind what was read */
    while (c->conn.state == CONN_OPEN && (q = find_stalled(c, seconds, called)))
        request_stalled(q); /* may start or end others */
}

void fcgi_stall_look(struct fcgi_conn *c) {
    ev_tstamp now = lane_now(c->conn.lane), seconds = c->conn.lane->config.idle_timeout;
    if (seconds <= 0 || c->stalls_looked_at + 1 > now)
        return;
    c->stalls_looked_at = now;
    fcgi_stall_end(c, seconds, true);
}
