#include "config.h"

#include "net/fcgi/conn.h"

#include "net/fcgi/input.h"
#include "net/fcgi/request.h"
#include "net/fcgi/stall.h"
#include "net/lane_impl.h"
#include "net/peer.h"
#include "net/who.h"
#include "proto/handover.h"

#include <errno.h>
#include <stdlib.h>

FCGI_REASONS(CONN_REASON_DEFINE)

/* How busy the connection is, for when others need its place. */

static enum conn_rest rest_of(const struct fcgi_conn *c) {
    const struct fcgi_request *q;
    if (c->conn.state != CONN_OPEN)
        return CONN_BUSY;
    if (TAILQ_EMPTY(&c->requests) && fcgi_decoder_idle(&c->decoder))
        return CONN_RESTING;
    TAILQ_FOREACH(q, &c->requests, link) {
        if (q->state != FCGI_PARAMS_STATE)
            return CONN_BUSY;
    }
    return CONN_BEGUN;
}

void fcgi_conn_tell_rest(struct fcgi_conn *c) {
    conn_set_rest(&c->conn, rest_of(c));
}

/* The end of a connection, after those of its requests. */

/* What was left to another process came behind what ends the connection. */
void fcgi_conn_finish(struct fcgi_conn *c, const struct conn_reason *reason, enum conn_end end) {
    bool over = buf_len(&c->over) > 0;
    if (c->settling)
        conn_resume(&c->conn);
    c->settling = false;
    buf_reset(&c->over, 0);
    conn_finish(&c->conn, reason, over ? CONN_END_DRAIN : end);
}

void fcgi_conn_ending_over(struct fcgi_conn *c) {
    if (c->ending)
        timeout_ends(&c->fcgi->stall, &c->ending_timeout);
    c->ending = false;
}

static void ending_late(struct timeout *to) {
    struct fcgi_conn *c = (struct fcgi_conn *)(void *)((char *)to - offsetof(struct fcgi_conn, ending_timeout));
    fcgi_conn_ending_over(c);
    c->closing = true;
    fcgi_conn_finish(c, CONN_DONE, c->goes_on || conn_readable(&c->conn) ? CONN_END_DRAIN : CONN_END_CLOSE);
}

/* A peer may be sending another request, which would be lost if the connection ended now. HAProxy 2.6, when it
 * multiplexes, continues to use a connection on which a body was not sent to its end, and never notices that the
 * connection has ended: the next client gets a 502. Such a peer asks GET_VALUES first; for it the connection stays
 * until --idle-timeout. */
static void ending_begins(struct fcgi_conn *c) {
    if (c->asked || c->ending || c->conn.state != CONN_OPEN)
        return;
    timeout_begins(&c->fcgi->stall, &c->ending_timeout, &c->conn, ending_late);
    c->ending = true;
}

/* Ends the connection if its last request was answered and it is not to be kept. STDIN that was not read to its end
 * would turn a plain close into a reset (FastCGI 1.0, 5.1 has no early end for the web server's side). A peer that
 * means to keep the connection may be sending its next request: that must fail, and must not seem to have arrived. */
void fcgi_conn_after_request(struct fcgi_conn *c) {
    if (c->given_up && !c->closing && !c->nrequests)
        ending_begins(c);
    if (!c->closing || c->nrequests)
        fcgi_conn_tell_rest(c);
    else if (c->unread || !fcgi_decoder_idle(&c->decoder))
        fcgi_conn_finish(c, CONN_DONE, CONN_END_DRAIN);
    else
        fcgi_conn_finish(c, CONN_DONE, c->not_kept ? CONN_END_PART : CONN_END_CLOSE);
}

/* Giving it away. */

bool fcgi_conn_settles(const struct fcgi_conn *c, size_t more) {
    const struct fcgi_request *q;
    const uint8_t *begun;
    size_t nbegun;
    if (!c->nrequests || more > HANDOVER_LEFTOVER_MAX || !fcgi_decoder_begins(&c->decoder, &begun, &nbegun) ||
        (more && nbegun))
        return false;
    TAILQ_FOREACH(q, &c->requests, link) {
        if (q->state == FCGI_PARAMS_STATE || !q->stdin_ended)
            return false;
    }
    return true;
}

void fcgi_conn_settle(struct fcgi_conn *c, const uint8_t *more, size_t len) {
    if (buf_append(&c->over, more, len)) {
        conn_close(&c->conn, CONN_NO_MEMORY);
        return;
    }
    c->settling = true;
    conn_pause(&c->conn);
}

/* It is not given away after all. */
static void read_on(struct fcgi_conn *c) {
    struct buf over = c->over;
    if (!c->settling)
        return;
    c->settling = false;
    c->over = (struct buf){0};
    conn_resume(&c->conn);
    if (buf_len(&over))
        fcgi_take_input(&c->conn, (const uint8_t *)buf_head(&over), buf_len(&over));
    buf_fini(&over);
}

static bool on_give(struct conn *conn, struct handover_message *m) {
    struct fcgi_conn *c = fcgi_conn_of(conn);
    const uint8_t *begun;
    size_t nbegun;
    if (c->nrequests || c->closing || (c->given_up && !c->asked) || !fcgi_decoder_begins(&c->decoder, &begun, &nbegun))
        return false;
    m->protocol = HANDOVER_FASTCGI;
    m->asked = c->asked;
    m->unread = c->unread;
    m->requests = c->nbegun;
    if (nbegun) /* then there is nothing in `over` */
        m->leftover = (struct slice){(const char *)begun, nbegun};
    else
        m->leftover = (struct slice){buf_head(&c->over), buf_len(&c->over)};
    return true;
}

static void on_retire(struct conn *conn) {
    struct fcgi_conn *c = fcgi_conn_of(conn);
    if (!conn->paused && fcgi_conn_settles(c, 0))
        fcgi_conn_settle(c, NULL, 0);
}

/* What the connection asks of the front end. */

/* Whether the request is to be dropped. If it waits for a thread, it is taken off the queue. */
static bool request_drops(struct fcgi_request *q) {
    struct conn *c = &q->c->conn;
    bool whole = body_whole(&q->x.r.body);
    switch (q->state) {
    case FCGI_PARAMS_STATE:
    case FCGI_BODY_STATE:
        return true;
    case FCGI_BEHIND_STATE:
        return abandon_drops(c) || !(whole || q->x.refusal || q->aborted);
    case FCGI_JOB_STATE:
        return (abandon_drops(c) || !whole) && exchange_cancel(&q->x);
    case FCGI_STDIN_STATE:
        return c->lost; /* it was answered */
    case FCGI_ENDED_STATE:
        break;
    }
    return false;
}

/* The peer sends nothing more, or cannot be answered any more: drops incomplete requests, and requests that wait if
 * these are to be dropped (abandon_drops). */
static void cut_requests(struct fcgi_conn *c) {
    struct fcgi_request *q;
    /* Ending one request may start or end others: look from the beginning again. */
    do {
        TAILQ_FOREACH(q, &c->requests, link) {
            if (request_drops(q))
                break;
        }
        if (q && q->state == FCGI_STDIN_STATE)
            fcgi_request_end(q, 0);
        else if (q) {
            bool whole = q->state >= FCGI_BEHIND_STATE && body_whole(&q->x.r.body);
            fcgi_request_drop(q, whole ? DROPPED_WAITING : DROPPED_CUT);
        }
    } while (q);
}

/* Tells the applications of all open requests. */
static void on_lost(struct conn *conn) {
    struct fcgi_request *q;
    TAILQ_FOREACH(q, &fcgi_conn_of(conn)->requests, link) {
        abandon_tell(conn, &q->x.r);
    }
}

/* Drops requests that are incomplete. The others are told, and end by themselves. */
static void on_gone(struct conn *conn) {
    struct fcgi_conn *c = fcgi_conn_of(conn);
    struct fcgi_request *q;
    fcgi_conn_ending_over(c);
    cut_requests(c);
    TAILQ_FOREACH(q, &c->requests, link) {
        if (q->state != FCGI_ENDED_STATE)
            fcgi_request_gone(q);
    }
}

/* The rest of its STDIN does not come. */
static void stdin_cut(struct fcgi_request *q) {
    q->stdin_ended = q->stdin_read = true;
    if (q->state == FCGI_STDIN_STATE)
        fcgi_request_end(q, 0);
    else
        body_cut(&q->x.r.body, ECONNABORTED);
}

static void on_half_closed(struct conn *conn) {
    struct fcgi_conn *c = fcgi_conn_of(conn);
    struct fcgi_request *q;
    c->closing = true;
    cut_requests(c);
    /* Ending one request may start or end others: look from the beginning again. */
    do {
        TAILQ_FOREACH(q, &c->requests, link) {
            if (!q->stdin_ended)
                break;
        }
        if (q)
            stdin_cut(q);
    } while (q);
    on_lost(conn);
    fcgi_conn_after_request(c);
}

/* The connection is paused for bodies that wait for their readers. That is not the peer's fault. But an application
 * that has read nothing for so long must no longer hold up the other requests of the connection, and gives its disk
 * space to others. */
static void held_idle(struct fcgi_conn *c) {
    struct fcgi_request *q;
    TAILQ_FOREACH(q, &c->requests, link) {
        if (exchange_stands_still(&q->x))
            q->x.refusal = REFUSED_NO_SPOOL;
    }
    /* Ending one request may start or end others: look from the beginning again. */
    do {
        TAILQ_FOREACH(q, &c->requests, link) {
            if (q->x.body_held && q->x.refusal)
                break;
        }
        if (q) {
            exchange_give_up_body(&q->x);
            fcgi_request_let_go(q);
            fcgi_request_body_failed(q, q->x.refusal);
        }
    } while (q && c->conn.state == CONN_OPEN);
}

static const struct conn_reason *on_idle(struct conn *conn) {
    struct fcgi_conn *c = fcgi_conn_of(conn);
    struct fcgi_request *q;
    if (conn->paused) {
        held_idle(c);
        return CONN_DONE;
    }
    if (!c->nrequests)
        return fcgi_decoder_idle(&c->decoder) ? CONN_IDLE : CONN_SLOW_REQUEST;
    TAILQ_FOREACH(q, &c->requests, link) {
        if (q->state == FCGI_PARAMS_STATE || (!q->stdin_ended && !body_complete(&q->x.r.body)))
            return CONN_SLOW_REQUEST;
    }
    return CONN_DONE;
}

static bool on_complete(struct conn *conn) {
    struct fcgi_conn *c = fcgi_conn_of(conn);
    struct fcgi_request *only = TAILQ_FIRST(&c->requests);
    return c->closing && c->nrequests == 1 && only->stdin_read;
}

/* While output waited, the peer may have had no time to send the rest of STDIN of a request that is answered: its time
 * begins now. */
static void on_drained(struct conn *conn) {
    struct fcgi_conn *c = fcgi_conn_of(conn);
    struct fcgi_request *q;
    TAILQ_FOREACH(q, &c->requests, link) {
        if (q->state == FCGI_STDIN_STATE)
            fcgi_request_stdin_goes_on(q);
    }
    fcgi_conn_tell_rest(c);
}

/* A reader has reached what was held of its body. */
static void on_room(struct conn *conn) {
    struct fcgi_conn *c = fcgi_conn_of(conn);
    struct fcgi_request *q;
    TAILQ_FOREACH(q, &c->requests, link) {
        if (exchange_has_room(&q->x))
            fcgi_request_let_go(q);
    }
}

static void on_stop(struct conn *conn) {
    struct fcgi_conn *c = fcgi_conn_of(conn);
    if (conn->state != CONN_OPEN)
        return;
    c->closing = true;
    conn_ref(conn);
    read_on(c);
    if (!conn->paused && conn->state == CONN_OPEN)
        conn_read(conn);
    if (conn->used && !c->nrequests && fcgi_decoder_idle(&c->decoder))
        fcgi_conn_finish(c, CONN_STOPPING, CONN_END_CLOSE);
    conn_unref(conn);
}

static void on_end(struct conn *conn) {
    fcgi_stall_end(fcgi_conn_of(conn), CONN_STOP_SECONDS, false);
}

/* The web server's word, unless it describes a proxy and more parameters were to come. */
static void on_client(const struct conn *conn, const struct request *r, union peer_address *client) {
    const struct fcgi_conn *c = (const struct fcgi_conn *)(const void *)conn;
    union peer_address remote;
    if (r && who_read_remote(&r->params, &remote) && !(c->trusted && peer_is_proxy(&conn->lane->config, &remote)))
        *client = remote;
}

static enum conn_overdue on_overdue(struct conn *conn, struct request *r) {
    (void)conn;
    return fcgi_request_overdue((struct fcgi_request *)(void *)((char *)r - offsetof(struct fcgi_request, x.r)));
}

static void on_running(const struct conn *conn, conn_visit *visit, void *arg) {
    const struct fcgi_request *q;
    TAILQ_FOREACH(q, &((const struct fcgi_conn *)(const void *)conn)->requests, link) {
        if (q->state == FCGI_JOB_STATE && !q->x.r.job.queued)
            visit(conn, q->x.id, &q->x.r, arg);
    }
}

void fcgi_conn_free(struct fcgi_conn *c) {
    conn_alloc_fini(&c->conn);
    buf_fini(&c->over);
    free(c);
}

static void on_free(struct conn *conn) {
    struct fcgi_conn *c = fcgi_conn_of(conn);
    buf_reset(&c->over, 0);
    if (!free_list_put(&c->fcgi->conns, c))
        fcgi_conn_free(c);
}

const struct conn_ops fcgi_conn_ops = {
    .protocol = LISTENER_FASTCGI,
    .input = fcgi_take_input,
    .lost = on_lost,
    .gone = on_gone,
    .half_closed = on_half_closed,
    .idle = on_idle,
    .complete = on_complete,
    .drained = on_drained,
    .room = on_room,
    .stop = on_stop,
    .end = on_end,
    .give = on_give,
    .retire = on_retire,
    .client = on_client,
    .overdue = on_overdue,
    .running = on_running,
    .free = on_free,
};
