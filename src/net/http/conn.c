#include "config.h"

#include "net/http/conn.h"

#include "net/http/input.h"
#include "net/http/pace.h"
#include "net/http/request.h"
#include "net/lane_impl.h"
#include "net/who.h"
#include "proto/handover.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

HTTP_REASONS(CONN_REASON_DEFINE)

/* How busy the connection is, for when others need its place. */

static enum conn_rest rest_of(struct http_conn *c) {
    if (c->conn.state != CONN_OPEN)
        return CONN_BUSY;
    switch (c->state) {
    case HTTP_PROXY_STATE:
    case HTTP_IDLE_STATE:
        if (!buf_len(&c->in))
            return CONN_RESTING;
        return conn_is_unsent(&c->conn) ? CONN_BUSY : CONN_BEGUN;
    case HTTP_HEAD_STATE:
        return CONN_BEGUN;
    default:
        return CONN_BUSY;
    }
}

void http_conn_tell_rest(struct http_conn *c) {
    conn_set_rest(&c->conn, rest_of(c));
}

/* Its end, or the next request, when one has come to its end. */

void http_conn_finish(struct http_conn *c, const struct conn_reason *reason, enum conn_end end) {
    c->state = HTTP_ENDED_STATE;
    conn_resume(&c->conn);
    conn_finish(&c->conn, reason, buf_len(&c->in) ? CONN_END_DRAIN : end);
    buf_reset(&c->in, 0);
}

void http_conn_become_idle(struct http_conn *c) {
    c->state = HTTP_IDLE_STATE;
    c->skipped_line = false;
    if (c->closing || (c->conn.read_ended && !buf_len(&c->in)))
        http_conn_finish(c, CONN_DONE, CONN_END_CLOSE);
    else if (lane_now(c->conn.lane) > c->conn.active_at + 1)
        conn_touch(&c->conn);
}

bool http_conn_works(const struct http_conn *c) {
    return c->conn.state == CONN_OPEN || (c->conn.state == CONN_CLOSED && c->conn.left);
}

/* Nothing more comes than what is there by now. */
static void input_ends(struct http_conn *c) {
    if (c->state == HTTP_DRAIN_STATE) { /* what is left belongs to a body that was cut off */
        http_request_release(c->q);
        http_conn_finish(c, CONN_EOF, CONN_END_CLOSE);
        return;
    }
    if (!c->q && conn_is_unsent(&c->conn) && buf_len(&c->in))
        return; /* on_drained goes on */
    if (!c->q) {
        http_head_wait_ends(c);
        http_conn_finish(c, CONN_EOF, CONN_END_CLOSE);
    } else if (!c->q->wire.ended && !c->q->input_bad)
        http_request_cut_body(c->q, ECONNABORTED, REFUSED_BODY_SHORT);
}

/* The lane retires: the connection can go to another process now, with what has come of further requests. */
static bool is_left_over(const struct http_conn *c) {
    return c->conn.lane->retiring && c->state == HTTP_IDLE_STATE && c->conn.state == CONN_OPEN && !c->conn.read_ended &&
           buf_len(&c->in) <= HANDOVER_LEFTOVER_MAX;
}

static void go_on(struct http_conn *c) {
    if (!http_conn_works(c) || c->state == HTTP_ENDED_STATE)
        return;
    if (buf_len(&c->in) && !is_left_over(c))
        http_take_kept(c);
    if (http_conn_works(c) && c->conn.read_ended)
        input_ends(c);
    if (c->conn.state == CONN_OPEN && c->conn.paused && !(c->q && c->q->x.body_held) &&
        (c->state == HTTP_HEAD_STATE || buf_len(&c->in) < HTTP_PIPELINE_MAX)) /* a head has a bound of its own */
        conn_resume(&c->conn);
}

void http_conn_go_on(struct http_conn *c) {
    go_on(c);
    http_conn_tell_rest(c);
}

/* What the connection asks of the front end. */

/* The client may have left: drops a request that waits for a thread, if it is to be dropped. Returns whether it was. */
static bool drop_waiting(struct http_request *q) {
    const struct conn *c = &q->c->conn;
    bool whole = body_whole(&q->x.r.body);
    if (!(abandon_drops(c) || (c->lost && !whole)) || !exchange_cancel(&q->x))
        return false;
    http_request_drop(q, whole ? DROPPED_WAITING : DROPPED_CUT);
    return true;
}

static void on_lost(struct conn *conn) {
    struct http_request *q = http_conn_of(conn)->q;
    if (q)
        abandon_tell(conn, &q->x.r);
}

/* Drops an incomplete request. One that was submitted is told, and ends by itself. */
static void on_gone(struct conn *conn) {
    struct http_conn *c = http_conn_of(conn);
    struct http_request *q = c->q;
    http_head_wait_ends(c);
    if (!conn->left)
        buf_reset(&c->in, 0);
    if (c->state == HTTP_ENDED_STATE)
        return;
    if (c->state == HTTP_DRAIN_STATE) {
        c->state = HTTP_ENDED_STATE;
        http_request_release(q);
    } else if (c->state == HTTP_BODY_STATE)
        http_request_drop(q, DROPPED_CUT);
    else if (c->state == HTTP_JOB_STATE && !drop_waiting(q))
        http_request_gone(q);
    http_conn_go_on(c);
}

static void on_half_closed(struct conn *conn) {
    struct http_conn *c = http_conn_of(conn);
    if (c->state == HTTP_JOB_STATE && !drop_waiting(c->q))
        abandon_tell(conn, &c->q->x.r);
    http_conn_go_on(c);
}

/* The body waits for its reader, not for the peer. An application that has read nothing for so long gives its disk
 * space to others. */
static void held_idle(struct http_request *q) {
    if (!exchange_stands_still(&q->x))
        return;
    exchange_give_up_body(&q->x);
    http_request_let_go(q);
    http_request_body_failed(q, REFUSED_NO_SPOOL);
    http_request_maybe_start(q);
}

static const struct conn_reason *on_idle(struct conn *conn) {
    struct http_conn *c = http_conn_of(conn);
    struct http_request *q = c->q;
    if (q && q->x.body_held) {
        held_idle(q);
        return CONN_DONE;
    }
    switch (c->state) {
    case HTTP_IDLE_STATE:
        return CONN_IDLE;
    case HTTP_HEAD_STATE:
        http_refuse_head(c, REFUSED_HEAD_STALLED);
        return CONN_DONE;
    case HTTP_BODY_STATE:
    case HTTP_JOB_STATE:
        if (!q->wire.ended && !q->input_bad && !atomic_load(&q->owes_continue))
            http_request_cut_body(q, ETIMEDOUT, REFUSED_BODY_STALLED);
        return CONN_DONE;
    default:
        return CONN_SLOW_REQUEST;
    }
}

static bool on_complete(struct conn *conn) {
    struct http_conn *c = http_conn_of(conn);
    return c->state == HTTP_JOB_STATE && c->q->wire.ended && !atomic_load(&c->q->keep);
}

static void on_drained(struct conn *conn) {
    http_conn_go_on(http_conn_of(conn));
}

/* The reader has reached what was held of the body. */
static void on_room(struct conn *conn) {
    struct http_request *q = http_conn_of(conn)->q;
    if (q && exchange_has_room(&q->x))
        http_request_let_go(q);
}

static bool on_give(struct conn *conn, struct handover_message *m) {
    const struct http_conn *c = http_conn_of(conn);
    if (c->q || c->closing || buf_len(&c->in) > HANDOVER_LEFTOVER_MAX)
        return false;
    m->protocol = HANDOVER_HTTP;
    m->requests = c->nbegun;
    m->leftover = (struct slice){buf_head(&c->in), buf_len(&c->in)};
    if (c->state == HTTP_PROXY_STATE)
        m->proxy = HANDOVER_PROXY_AWAITED;
    else
        http_peer_describe(&c->peer, m);
    return true;
}

static void on_stop(struct conn *conn) {
    struct http_conn *c = http_conn_of(conn);
    if (conn->state != CONN_OPEN)
        return;
    conn_ref(conn);
    if (c->state == HTTP_IDLE_STATE && buf_len(&c->in)) /* that was to go to another process */
        http_conn_go_on(c);
    if (conn->state == CONN_OPEN && !conn->paused && !conn->read_ended)
        conn_read(conn);
    /* A client that has ended its side sends nothing more, and may not be there to learn that some of its input was not
     * handled: the connection ends by itself. */
    if (conn->state == CONN_OPEN && !conn->read_ended) {
        c->closing = true;
        if (c->q)
            atomic_store(&c->q->keep, false);
        if (c->nbegun && c->state == HTTP_IDLE_STATE)
            http_conn_finish(c, CONN_STOPPING, CONN_END_CLOSE);
    }
    conn_unref(conn);
}

/* Whether a stopping lane has waited long enough for more of a body. */
static bool is_stalled(const struct http_conn *c) {
    ev_tstamp silent = lane_now(c->conn.lane) - c->conn.active_at;
    if (c->conn.state != CONN_OPEN)
        return false;
    return (c->state == HTTP_BODY_STATE && silent >= CONN_STOP_SECONDS && !c->q->wire.ended && !c->q->input_bad) ||
           (c->state == HTTP_DRAIN_STATE && silent >= CONN_PART_SECONDS);
}

static void on_end(struct conn *conn) {
    struct http_conn *c = http_conn_of(conn);
    if (is_stalled(c))
        (void)conn_catch_up(conn);
    if (!is_stalled(c))
        return;
    if (c->state == HTTP_DRAIN_STATE)
        conn_close(conn, CONN_DRAINED);
    else
        http_request_cut_body(c->q, ETIMEDOUT, REFUSED_BODY_STALLED);
}

/* The peer, or the client that a PROXY header names. What a proxy says in fields is in the parameters, once these are
 * complete. */
static void on_client(const struct conn *conn, const struct request *r, union peer_address *client) {
    const struct http_conn *c = (const struct http_conn *)(const void *)conn;
    if ((!r || !who_read_remote(&r->params, client)) && !c->peer.trusted && c->peer.address.ss_family != AF_UNIX)
        memcpy(client, &c->peer.address, sizeof *client);
}

static enum conn_overdue on_overdue(struct conn *conn, struct request *r) {
    (void)conn;
    return http_request_overdue((struct http_request *)(void *)((char *)r - offsetof(struct http_request, x.r)));
}

static void on_running(const struct conn *conn, conn_visit *visit, void *arg) {
    const struct http_conn *c = (const struct http_conn *)(const void *)conn;
    if (c->state == HTTP_JOB_STATE && !c->q->x.r.job.queued)
        visit(conn, c->q->x.id, &c->q->x.r, arg);
}

void http_conn_free(struct http_conn *c) {
    conn_alloc_fini(&c->conn);
    buf_fini(&c->in);
    free(c);
}

static void on_free(struct conn *conn) {
    struct http_conn *c = http_conn_of(conn);
    buf_reset(&c->in, 0);
    if (!free_list_put(&c->http->conns, c))
        http_conn_free(c);
}

const struct conn_ops http_conn_ops = {
    .protocol = LISTENER_HTTP,
    .input = http_take_input,
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
    .client = on_client,
    .overdue = on_overdue,
    .running = on_running,
    .free = on_free,
};
