#include "config.h"

#include "net/http/request.h"

#include "base/log.h"
#include "net/http/answer.h"
#include "net/http/pace.h"
#include "net/lane_impl.h"
#include "net/request_log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static const struct sched_job_ops http_job_ops;
static void body_room(struct body *body);

static struct http_request *request_of_job(struct sched_job *job) {
    return (struct http_request *)(void *)((char *)job - offsetof(struct http_request, r.job));
}

/* Requests: taken from and given back to a pool. */

struct http_request *http_request_new(struct http_conn *c) {
    struct lane *lane = c->conn.lane;
    struct http_lane *http = c->http;
    struct http_request *q = LIST_FIRST(&http->requests);
    if (q) {
        LIST_REMOVE(q, free);
        http->nrequests--;
    } else {
        q = malloc(sizeof *q);
        if (!q)
            return NULL;
        request_init(&q->r);
        q->r.answer_ops = &http_answer_ops;
        q->r.job.ops = &http_job_ops;
        q->r.body.room = body_room;
    }
    q->c = c;
    q->head_only = q->input_bad = q->kept = q->held = false;
    q->minor = 1;
    q->framing = HTTP_NO_BODY; /* also where there is no memory for a head */
    q->refusal = NOT_REFUSED;
    q->dropped = 0;
    q->came = 0;
    q->began_at = lane_now(lane);
    q->paced = false;
    q->r.vars = (struct cgi_vars){0};
    q->r.role = REQUEST_NO_ROLE;
    atomic_store_explicit(&q->keep, !c->closing, memory_order_relaxed);
    atomic_store_explicit(&q->owes_continue, false, memory_order_relaxed);
    c->q = q;
    c->nbegun++;
    conn_ref(&c->conn);
    lane_count_add(&lane->nrequests, 1);
    return q;
}

void http_request_free(struct http_request *q) {
    request_fini(&q->r);
    free(q);
}

void http_request_release(struct http_request *q) {
    struct http_conn *c = q->c;
    struct lane *lane = c->conn.lane;
    http_pace_ends(q);
    http_request_unhold(q);
    request_log_end(&c->conn, c->nbegun, &q->r, q->began_at);
    c->q = NULL;
    lane_request_ends(lane);
    lane_body_ends(lane, &q->r.body);
    request_reset(&q->r, &lane->body_spares);
    if (c->http->nrequests < LANE_POOL_MAX) {
        LIST_INSERT_HEAD(&c->http->requests, q, free);
        c->http->nrequests++;
    } else
        http_request_free(q);
    conn_unref(&c->conn);
}

/* Answers. */

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
    abandon_log(&c->conn, why, c->nbegun, &q->r);
    request_unanswered(q, CONN_EOF);
}

/* The answer is complete and stored: sends it, and ends the request unless the rest of its body is to be read. */
static void request_answered(struct http_request *q) {
    struct http_conn *c = q->c;
    bool unread = !q->wire.ended || q->input_bad;
    c->state = HTTP_ENDED_STATE;
    conn_ref(&c->conn);
    if (http_put_end(q))
        conn_close(&c->conn, CONN_NO_MEMORY);
    else if (buf_len(&q->r.out))
        conn_output(&c->conn, buf_head(&q->r.out), buf_len(&q->r.out));
    bool kept = q->kept && !q->input_bad && http_conn_works(c);
    if (kept && unread && !c->conn.read_ended) {
        buf_reset(&q->r.out, REQUEST_KEEP_BYTES);
        http_request_unhold(q);
        lane_body_ends(c->conn.lane, &q->r.body);
        body_abort(&q->r.body, ECONNRESET);
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

/* The answer of the server's own was stored, or failed to be. */
static void refused(struct http_request *q, int failed) {
    if (failed)
        conn_close(&q->c->conn, CONN_NO_MEMORY);
    request_answered(q);
}

static void before_refusal(struct http_request *q) {
    q->c->state = HTTP_ENDED_STATE;
    if (!q->wire.ended || q->input_bad)
        atomic_store(&q->keep, false);
}

void http_request_refuse(struct http_request *q, enum refusal why) {
    before_refusal(q);
    refusal_log(&q->c->conn, why, q->c->nbegun, &q->r, false);
    refused(q, refusal_answer(&q->r, why));
}

void http_request_refuse_as(struct http_request *q, const char *status, const char *why) {
    char text[REQUEST_STATUS_MAX + 2];
    before_refusal(q);
    refusal_log_as(&q->c->conn, status, why, q->c->nbegun, &q->r);
    snprintf(text, sizeof text, "%s\n", status);
    refused(q, request_answer(&q->r, status, NULL, text));
}

/* Jobs. */

static void job_submit(struct http_request *q) {
    struct conn *c = &q->c->conn;
    if (abandon_is_likely(c)) {
        if (abandon_drops(c)) {
            http_request_drop(q, DROPPED_WAITING);
            return;
        }
        abandon_tell(c, &q->r);
    }
    q->c->state = HTTP_JOB_STATE;
    q->r.job.key = q->r.vars.key;
    request_tell_length(&q->r, q->c->conn.lane->config.stream_body);
    if (!sched_submit(q->c->conn.lane->sched, &q->r.job))
        http_request_refuse(q, REFUSED_QUEUE_FULL);
}

static void job_run(struct sched_job *job, struct sched_thread *thread) {
    struct http_request *q = request_of_job(job);
    const struct lane_config *config = &q->c->conn.lane->config;
    q->r.thread = thread;
    config->run(&q->r, config->user);
}

/* RFC 9112, 8: an answer in chunks without the last one, or with fewer bytes than its Content-Length, is incomplete. */
static void request_break_off(struct http_request *q) {
    struct http_conn *c = q->c;
    conn_ref(&c->conn);
    c->state = HTTP_ENDED_STATE;
    if (buf_len(&q->r.out))
        conn_output(&c->conn, buf_head(&q->r.out), buf_len(&q->r.out));
    if (conn_is_lost(&c->conn))
        request_unanswered(q, CONN_BROKEN_OFF);
    else {
        bool unread = !q->wire.ended;
        http_request_release(q);
        http_conn_finish(c, CONN_BROKEN_OFF, unread ? CONN_END_DRAIN : CONN_END_PART);
    }
    conn_unref(&c->conn);
}

static void job_settle(struct sched_job *job) {
    struct http_request *q = request_of_job(job);
    struct http_conn *c = q->c;
    q->r.thread = NULL;
    conn_ref(&c->conn);
    /* What has come behind the request may go to a file. */
    if (buf_len(&c->in))
        sched_pause(c->conn.lane->sched);
    if (q->r.broken_off || !q->r.head_stored)
        request_break_off(q);
    else
        request_answered(q);
    http_conn_go_on(c);
    conn_unref(&c->conn);
}

static void job_expired(struct sched_job *job) {
    struct http_request *q = request_of_job(job);
    struct http_conn *c = q->c;
    conn_ref(&c->conn);
    http_request_refuse(q, REFUSED_QUEUE_LATE);
    http_conn_go_on(c);
    conn_unref(&c->conn);
}

static const struct sched_job_ops http_job_ops = {.run = job_run, .settle = job_settle, .expired = job_expired};

/* Bodies. */

void http_request_hold(struct http_request *q) {
    struct conn *c = &q->c->conn;
    if (q->held)
        return;
    q->held = true;
    body_is_held(&q->r.body, &q->held_taken);
    conn_pause(c);
    refusal_log_held(c, q->c->nbegun, &q->r);
}

/* The idle time begins anew; a window of http/pace.h in which the connection was paused does not count. */
void http_request_unhold(struct http_request *q) {
    struct conn *c = &q->c->conn;
    if (!q->held)
        return;
    q->held = false;
    if (c->state == CONN_CLOSED)
        return;
    conn_touch(c);
    conn_resume(c);
}

static void body_room(struct body *body) {
    struct http_request *q = (struct http_request *)(void *)((char *)body - offsetof(struct http_request, r.body));
    conn_note_room(&q->c->conn);
}

/* Whether the application decides if the client is to send the body (RFC 9110, 10.1.1), since it reads it while it comes.
 * What is taken whole first holds no thread meanwhile. */
static bool asks_application(const struct http_request *q) {
    return atomic_load_explicit(&q->owes_continue, memory_order_relaxed) && q->r.body.expected > REQUEST_BODY_START;
}

void http_request_maybe_start(struct http_request *q) {
    if (q->c->state != HTTP_BODY_STATE)
        return;
    if (q->refusal)
        http_request_refuse(q, q->refusal);
    else if (request_has_enough(&q->r, q->c->conn.lane->config.stream_body) || asks_application(q))
        job_submit(q);
}
