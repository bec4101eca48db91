#include "config.h"

#include "net/http/request.h"

#include "net/http/answer.h"
#include "net/http/pace.h"
#include "net/lane_impl.h"
#include "net/status_path.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static const struct sched_job_ops http_job_ops;

static struct http_request *request_of_job(struct sched_job *job) {
    return (struct http_request *)(void *)((char *)job - offsetof(struct http_request, x.r.job));
}

/* Requests: taken from and given back to a pool. */

static inline struct http_request *request_take(struct http_lane *http) {
    struct http_request *q = free_list_take(&http->requests);
    if (q)
        return q;
    q = malloc(sizeof *q);
    if (q)
        exchange_init(&q->x, &http_answer_ops, &http_job_ops);
    return q;
}

static inline void give_back(struct http_lane *http, struct http_request *q) {
    if (!free_list_put(&http->requests, q))
        http_request_free(q);
}

struct http_request *http_request_new(struct http_conn *c) {
    struct http_request *q = request_take(c->http);
    if (!q)
        return NULL;
    q->c = c;
    q->head_only = q->input_bad = q->kept = false;
    q->minor = 1;
    q->framing = HTTP_NO_BODY; /* also where there is no memory for a head */
    q->came = 0;
    q->paced = false;
    q->x.r.vars = (struct cgi_vars){0};
    q->x.r.role = REQUEST_NO_ROLE;
    atomic_store_explicit(&q->keep, !c->closing, memory_order_relaxed);
    atomic_store_explicit(&q->owes_continue, false, memory_order_relaxed);
    c->q = q;
    exchange_begin(&q->x, &c->conn, ++c->nbegun);
    return q;
}

void http_request_free(struct http_request *q) {
    exchange_fini(&q->x);
    free(q);
}

void http_request_release(struct http_request *q) {
    struct http_conn *c = q->c;
    struct http_lane *http = c->http;
    http_pace_ends(q);
    http_request_let_go(q);
    c->q = NULL;
    exchange_end(&q->x);
    give_back(http, q);
}

/* Starting the application. */

/* No thread was free for it in time. */
static void turn_away(struct http_request *q, enum refusal why) {
    if (request_is_gone(&q->x.r))
        http_request_drop(q, DROPPED_OVERLOAD);
    else
        http_request_refuse(q, why);
}

static void job_submit(struct http_request *q) {
    if (exchange_check_client(&q->x)) {
        http_request_drop(q, DROPPED_WAITING);
        return;
    }
    q->c->state = HTTP_JOB_STATE;
    if (q->x.status)
        status_path_answer(&q->x);
    else if (!exchange_submit(&q->x, NULL))
        turn_away(q, REFUSED_QUEUE_FULL);
}

/* Whether the application decides if the client should send the body (RFC 9110, 10.1.1), which it then reads while it
 * comes. A body that is received in full before the call does not occupy a thread meanwhile. */
static bool asks_application(const struct http_request *q) {
    return atomic_load_explicit(&q->owes_continue, memory_order_relaxed) && q->x.r.body.expected > REQUEST_BODY_START;
}

void http_request_maybe_start(struct http_request *q) {
    if (q->c->state != HTTP_BODY_STATE)
        return;
    if (q->x.refusal)
        http_request_refuse(q, q->x.refusal);
    else if (request_has_enough(&q->x.r, q->c->conn.lane->config.stream_body) || asks_application(q))
        job_submit(q);
}

/* Answers. */

/* Whether there may be a request behind this one. The head of an answer says so as well, where somebody takes it. */
static bool may_go_on(struct http_request *q) {
    return q->wire.ended && !q->input_bad && atomic_load(&q->keep);
}

/* Ends a request whose answer nobody takes. */
static void request_unanswered(struct http_request *q, const struct conn_reason *reason) {
    struct http_conn *c = q->c;
    bool unread = !q->wire.ended || q->input_bad, goes_on = may_go_on(q) && http_conn_works(c);
    http_request_release(q);
    if (goes_on)
        http_conn_become_idle(c);
    else
        http_conn_finish(c, reason, unread ? CONN_END_DRAIN : CONN_END_PART);
}

void http_request_drop(struct http_request *q, enum drop why) {
    struct http_conn *c = q->c;
    c->state = HTTP_ENDED_STATE;
    exchange_note_drop(&q->x, why);
    request_unanswered(q, CONN_EOF);
}

/* The answer is complete and stored: sends it, and ends the request unless the rest of its body must be read. */
static void request_answered(struct http_request *q) {
    struct http_conn *c = q->c;
    bool unread = !q->wire.ended || q->input_bad;
    c->state = HTTP_ENDED_STATE;
    conn_ref(&c->conn);
    if (http_put_end(q))
        conn_close(&c->conn, CONN_NO_MEMORY);
    else
        exchange_flush(&q->x);
    bool kept = q->kept && !q->input_bad && http_conn_works(c);
    if (kept && unread && !c->conn.read_ended) {
        buf_reset(&q->x.r.out, REQUEST_KEEP_BYTES);
        http_request_let_go(q);
        exchange_abort_body(&q->x, ECONNRESET);
        c->state = HTTP_DRAIN_STATE;
    } else {
        http_request_release(q);
        if (kept)
            http_conn_become_idle(c);
        else
            http_conn_finish(c, CONN_DONE, unread ? CONN_END_DRAIN : CONN_END_PART);
    }
    conn_unref(&c->conn);
}

/* The connection is kept after a refusal only if all of the request has come. */
static void before_refusal(struct http_request *q) {
    q->c->state = HTTP_ENDED_STATE;
    if (!q->wire.ended || q->input_bad)
        atomic_store(&q->keep, false);
}

void http_request_refuse(struct http_request *q, enum refusal why) {
    before_refusal(q);
    exchange_refuse(&q->x, why);
    request_answered(q);
}

void http_request_refuse_as(struct http_request *q, const char *status, const char *why) {
    before_refusal(q);
    exchange_refuse_as(&q->x, status, why);
    request_answered(q);
}

/* Jobs. */

/* RFC 9112, 8: an answer in chunks without the last one, or with fewer bytes than its Content-Length, is incomplete. */
static void request_break_off(struct http_request *q, enum request_end end) {
    struct http_conn *c = q->c;
    conn_ref(&c->conn);
    c->state = HTTP_ENDED_STATE;
    q->x.r.end = end;
    exchange_flush(&q->x);
    if (conn_is_lost(&c->conn))
        request_unanswered(q, CONN_BROKEN_OFF);
    else {
        bool unread = !q->wire.ended;
        http_request_release(q);
        http_conn_finish(c, CONN_BROKEN_OFF, unread ? CONN_END_DRAIN : CONN_END_PART);
    }
    conn_unref(&c->conn);
}

static void request_settle(struct http_request *q) {
    q->x.r.thread = NULL;
    if (q->x.r.broken_off || !q->x.r.head_stored)
        request_break_off(q, REQUEST_CUT);
    else
        request_answered(q);
}

/* Nobody waits for it any more. */
static void late_settle(struct http_request *q) {
    struct http_lane *http = q->c->http;
    exchange_end_late(&q->x);
    give_back(http, q);
}

static void job_settle(struct sched_job *job) {
    struct http_request *q = request_of_job(job);
    struct http_conn *c = q->c;
    if (q->x.late) {
        late_settle(q);
        return;
    }
    conn_ref(&c->conn);
    /* What came after the request may go to a file. */
    if (buf_len(&c->in))
        sched_pause(c->conn.lane->sched);
    request_settle(q);
    http_conn_go_on(c);
    conn_unref(&c->conn);
}

static void job_expired(struct sched_job *job) {
    struct http_request *q = request_of_job(job);
    struct http_conn *c = q->c;
    conn_ref(&c->conn);
    turn_away(q, REFUSED_QUEUE_LATE);
    http_conn_go_on(c);
    conn_unref(&c->conn);
}

static void job_gives_way(struct sched_job *job) {
    struct http_request *q = request_of_job(job);
    if (!q->x.late) /* else it does not wait any more */
        conn_close(&q->c->conn, CONN_GAVE_WAY);
}

/* When the time of a call is over. */

/* Makes the one that stands in, and puts it where `q` was. *before: the state of the answer. Returns NULL if there is no
 * memory. */
static struct http_request *stand_in(struct http_request *q, enum answer_state *before) {
    struct http_conn *c = q->c;
    struct http_request *instead = request_take(c->http);
    if (!instead)
        return NULL;
    http_request_let_go(q);
    instead->c = c;
    instead->wire = q->wire;
    instead->head_only = q->head_only;
    instead->minor = q->minor;
    instead->input_bad = q->input_bad;
    instead->came = q->came;
    http_pace_moves(q, instead);
    atomic_store_explicit(&instead->keep, atomic_load(&q->keep), memory_order_relaxed);
    atomic_store_explicit(&instead->owes_continue, atomic_exchange(&q->owes_continue, false), memory_order_relaxed);
    instead->framing = HTTP_NO_BODY;
    instead->kept = false;
    c->q = instead;
    *before = exchange_stand_in(&q->x, &instead->x);
    return instead;
}

enum conn_overdue http_request_overdue(struct http_request *q) {
    struct http_conn *c = q->c;
    bool gone = c->conn.lost;
    enum answer_state before;
    struct http_request *instead = stand_in(q, &before);
    if (!instead) {
        conn_close(&c->conn, CONN_NO_MEMORY);
        return CONN_OVERDUE_GONE;
    }
    conn_ref(&c->conn);
    if (request_was_sent(before))
        request_break_off(instead, REQUEST_OVERDUE);
    else {
        before_refusal(instead);
        exchange_answer_overdue(&instead->x);
        request_answered(instead);
    }
    http_conn_go_on(c);
    conn_unref(&c->conn);
    return gone ? CONN_OVERDUE_GONE : request_was_sent(before) ? CONN_OVERDUE_CUT : CONN_OVERDUE_ANSWERED;
}

static const struct sched_job_ops http_job_ops = {.run = exchange_run,
                                                  .detached = exchange_detached,
                                                  .rejoined = exchange_rejoined,
                                                  .settle = job_settle,
                                                  .expired = job_expired,
                                                  .gives_way = job_gives_way};

/* Bodies. */

/* The idle time begins anew; a window of pace.h in which the connection was paused does not count. */
void http_request_read_on(struct http_request *q) {
    struct conn *c = &q->c->conn;
    q->x.body_held = false;
    if (c->state == CONN_CLOSED)
        return;
    conn_touch(c);
    conn_resume(c);
}

void http_request_body_failed(struct http_request *q, enum refusal why) {
    struct http_conn *c = q->c;
    q->x.refusal = why;
    if (c->state == HTTP_JOB_STATE && exchange_cancel(&q->x))
        c->state = HTTP_BODY_STATE;
    else if (c->state == HTTP_JOB_STATE)
        exchange_log_body(&q->x, why);
    /* What still comes of the body is read and dropped: the peer may send all of it before it reads. */
    atomic_store(&q->keep, false);
}

void http_request_cut_body(struct http_request *q, int error, enum refusal why) {
    struct http_conn *c = q->c;
    http_pace_ends(q);
    q->input_bad = true;
    atomic_store(&q->keep, false);
    if (c->state == HTTP_BODY_STATE || (c->state == HTTP_JOB_STATE && exchange_cancel(&q->x))) {
        http_request_refuse(q, why);
        return;
    }
    exchange_log_body(&q->x, why);
    body_cut(&q->x.r.body, error);
}

void http_request_body_malformed(struct http_request *q, const char *why) {
    struct http_conn *c = q->c;
    http_pace_ends(q);
    q->input_bad = true;
    atomic_store(&q->keep, false);
    if (c->state == HTTP_BODY_STATE)
        http_request_refuse_as(q, "400 Bad Request", why);
    else if (c->state == HTTP_JOB_STATE) {
        refusal_log_as(&c->conn, "400 Bad Request", why, q->x.id, &q->x.r);
        body_cut(&q->x.r.body, EPROTO);
    } else
        conn_close(&c->conn, CONN_DRAINED);
}

void http_request_gone(struct http_request *q) {
    if (!q->wire.ended) { /* nothing can be behind it */
        http_pace_ends(q);
        q->input_bad = true;
    }
    http_request_let_go(q);
    exchange_gone(&q->x);
}
