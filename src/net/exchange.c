#include "config.h"

#include "net/exchange.h"

#include "base/probes.h"
#include "net/calls.h"
#include "net/deadline.h"
#include "net/lane_impl.h"
#include "net/overload.h"
#include "net/request_log.h"
#include "net/slow.h"
#include "net/traces.h"

#include <errno.h>
#include <stdio.h>

/* Life. */

static void body_room(struct body *body) {
    struct exchange *x = (struct exchange *)(void *)((char *)body - offsetof(struct exchange, r.body));
    conn_note_room(x->conn);
}

void exchange_init(struct exchange *x, const struct answer_ops *answers, const struct sched_job_ops *jobs) {
    request_init(&x->r);
    x->r.answer_ops = answers;
    x->r.job.ops = jobs;
    x->r.body.room = body_room;
    x->told_at = 0;
    x->late = x->detached = x->timed = x->lost = x->slow_timed = false;
}

void exchange_fini(struct exchange *x) {
    request_fini(&x->r);
}

/* Before its parameters have come, so that each has one, however it ends. */
static void begin_id(struct request *r, struct lane *lane) {
    if (lane->config.request_id == REQUEST_ID_OFF)
        return;
    request_ids_make(&lane->request_ids, r->made_id);
    r->id = (struct slice){r->made_id, sizeof r->made_id};
    r->echoes_id = lane->config.request_id == REQUEST_ID_ECHO;
}

void exchange_begin(struct exchange *x, struct conn *c, unsigned id) {
    x->conn = c;
    x->id = id;
    x->refusal = NOT_REFUSED;
    x->dropped = 0;
    x->body_held = x->handed_over = x->status = x->slow_told = false;
    x->processor_from = 0;
    x->called_on = 0;
    x->r.begun_at = (uint64_t)(int64_t)(lane_now(c->lane) * 1e9);
    begin_id(&x->r, c->lane);
    conn_ref(c);
    lane_count_add(&c->lane->nrequests, 1);
    PROBE4(request__begin, &x->r, c->number, x->id, x->r.begun_at);
}

void exchange_identify(struct exchange *x) {
    struct request *r = &x->r;
    if (r->vars.request_id.n)
        request_take_id(r);
    if (r->vars.traceparent.n)
        request_take_trace(r);
    if (x->conn->lane->config.spans && r->vars.method.n)
        traces_begin(x);
}

void exchange_end(struct exchange *x) {
    struct conn *c = x->conn;
    struct lane *lane = c->lane;
    if (x->timed)
        deadline_ends(x);
    if (x->slow_timed)
        slow_ends(x);
    if (lane->slow.after)
        slow_look_back(x);
    if (c->lost && !x->handed_over &&
        (x->r.end == REQUEST_ANSWERED || x->r.end == REQUEST_OVERDUE || x->r.end == REQUEST_CUT))
        x->r.end = REQUEST_ABORTED;
    PROBE6(answer__sent, &x->r, (const char *)x->r.status, x->r.vars.path_info[0].p, x->r.vars.path_info[0].n,
           x->r.begun_at, x->r.end);
    request_log_end(c, x->id, &x->r);
    if (lane->config.access_log && lane->accepts) /* before it does, requests are those of --warm-up */
        access_log_write(lane->config.access_log, x);
    if (x->r.recorded && !x->status) /* no span of the application is a child of that one */
        traces_end(x);
    count_end(x);
    lane_request_ends(lane);
    lane_body_ends(lane, &x->r.body);
    request_reset(&x->r, &lane->body_spares);
    conn_unref(c);
}

/* When the time of its call is over. */

enum answer_state exchange_stand_in(struct exchange *x, struct exchange *instead) {
    struct conn *c = x->conn;
    instead->conn = c;
    instead->id = x->id;
    instead->refusal = NOT_REFUSED;
    instead->dropped = x->dropped;
    instead->slow_told = x->slow_told;
    instead->called_on = 0;
    instead->body_held = instead->handed_over = instead->status = false;
    conn_ref(c);
    request_stand_in(&instead->r, &x->r);
    instead->r.end = REQUEST_OVERDUE;
    deadline_late_begins(x);
    enum answer_state before = request_close_answer(&x->r);
    if (request_was_sent(before))
        request_take_sent(&instead->r, &x->r);
    conn_wake(c);
    body_cut(&x->r.body, ECONNRESET);
    return before;
}

void exchange_answer_overdue(struct exchange *instead) {
    count_refusal(instead->conn->lane, REFUSED_OVERDUE);
    if (refusal_answer(instead->conn->lane, &instead->r, REFUSED_OVERDUE))
        conn_close(instead->conn, CONN_NO_MEMORY);
}

void exchange_end_late(struct exchange *x) {
    struct conn *c = x->conn;
    if (x->timed)
        deadline_ends(x);
    if (x->slow_timed)
        slow_ends(x);
    deadline_late_ends(x);
    count_end_late(x);
    lane_body_ends(c->lane, &x->r.body);
    request_reset(&x->r, &c->lane->body_spares);
    conn_unref(c);
}

/* Starting the application. */

void exchange_run(struct sched_job *job, struct sched_thread *thread) {
    struct exchange *x = exchange_of_job(job);
    const struct lane *lane = x->conn->lane;
    const struct lane_config *config = &lane->config;
    atomic_store_explicit(&x->r.deadline, deadline_from(&lane->deadlines, job->begun_at), memory_order_relaxed);
    x->r.thread = thread;
    if (config->access_log) /* at its end the thread may be gone */
        x->called_on = sched_thread_tid(thread);
    PROBE6(call__begin, &x->r, x->r.vars.method.p, x->r.vars.method.n, x->r.vars.path_info[0].p,
           x->r.vars.path_info[0].n, job->queued_at);
    config->run(&x->r, config->user);
    PROBE5(call__end, &x->r, (const char *)x->r.status, x->r.vars.path_info[0].p, x->r.vars.path_info[0].n,
           job->begun_at);
}

void exchange_detached(struct sched_job *job) {
    conn_send_left(exchange_of_job(job)->conn);
    calls_add(exchange_of_job(job));
    deadline_begins(exchange_of_job(job));
    slow_begins(exchange_of_job(job));
}

void exchange_rejoined(struct sched_job *job) {
    calls_remove(exchange_of_job(job));
    deadline_ends(exchange_of_job(job));
    slow_ends(exchange_of_job(job));
}

bool exchange_check_client(struct exchange *x) {
    if (!abandon_is_likely(x->conn))
        return false;
    if (abandon_drops(x->conn))
        return true;
    abandon_tell(x->conn, &x->r);
    return false;
}

static __attribute__((noinline)) bool submit_left(struct sched *sched, struct sched_job *job) {
    bool submitted = sched_submit(sched, job);
    sched_job_left(sched, job);
    return submitted;
}

bool exchange_submit(struct exchange *x, const void *group) {
    struct request *r = &x->r;
    struct lane *lane = x->conn->lane;
    r->job.key = r->vars.key;
    r->job.group = group;
    request_tell_length(r, lane->config.stream_body);
    if (atomic_load_explicit(&r->left, memory_order_relaxed) || request_is_gone(r))
        return submit_left(lane->sched, &r->job);
    return sched_submit(lane->sched, &r->job);
}

bool exchange_cancel(struct exchange *x) {
    return sched_cancel(x->conn->lane->sched, &x->r.job);
}

/* Ending it without the application. */

void exchange_refuse(struct exchange *x, enum refusal why) {
    x->r.end = REQUEST_REFUSED;
    count_refusal(x->conn->lane, why);
    refusal_log(x->conn, why, x->id, &x->r, false);
    if (why == REFUSED_QUEUE_FULL || why == REFUSED_QUEUE_LATE)
        overload_note(x->conn->lane, false);
    if (refusal_answer(x->conn->lane, &x->r, why))
        conn_close(x->conn, CONN_NO_MEMORY);
}

void exchange_refuse_as(struct exchange *x, const char *status, const char *why) {
    char text[REQUEST_STATUS_MAX + 2];
    x->r.end = REQUEST_REFUSED;
    count_refusal(x->conn->lane, REFUSED_MALFORMED);
    refusal_log_as(x->conn, status, why, x->id, &x->r);
    snprintf(text, sizeof text, "%s\n", status);
    if (request_answer(&x->r, status, NULL, text))
        conn_close(x->conn, CONN_NO_MEMORY);
}

void exchange_note_drop(struct exchange *x, enum drop why) {
    x->r.end = REQUEST_DROPPED;
    abandon_log(x->conn, why, x->id, &x->r);
    if (why == DROPPED_OVERLOAD)
        overload_note(x->conn->lane, true);
}

/* Bodies. */

static void hold_body(struct exchange *x) {
    if (x->body_held)
        return;
    x->body_held = true;
    count_one(x->conn->lane, METRICS_SPOOL_FAILURES);
    body_is_held(&x->r.body, &x->body_taken);
    conn_pause(x->conn);
    refusal_log_held(x->conn, x->id, &x->r);
}

enum body_status exchange_take_body(struct exchange *x, bool called, const void *data, size_t len) {
    struct request *r = &x->r;
    struct lane *lane = x->conn->lane;
    r->body.has_reader = called && (!r->job.queued || sched_has_threads(lane->sched));
    enum body_status status = body_append(&r->body, &lane->config.body, data, len);
    if (status == BODY_HELD)
        hold_body(x);
    return status;
}

enum refusal exchange_body_refusal(enum body_status status) {
    return status == BODY_TOO_LARGE ? REFUSED_BODY_LARGE : REFUSED_NO_SPOOL;
}

void exchange_log_body(struct exchange *x, enum refusal why) {
    if (why == REFUSED_NO_SPOOL)
        count_one(x->conn->lane, METRICS_SPOOL_FAILURES);
    refusal_log(x->conn, why, x->id, &x->r, true);
}

void exchange_abort_body(struct exchange *x, int error) {
    lane_body_ends(x->conn->lane, &x->r.body);
    body_abort(&x->r.body, error);
}

void exchange_gone(struct exchange *x) {
    request_close_answer(&x->r);
    sched_job_left(x->conn->lane->sched, &x->r.job);
    conn_wake(x->conn);
    body_cut(&x->r.body, ECONNRESET);
}

bool exchange_has_room(struct exchange *x) {
    return x->body_held && !body_is_held(&x->r.body, &x->body_taken);
}

bool exchange_stands_still(struct exchange *x) {
    uint64_t before = x->body_taken;
    return x->body_held && body_is_held(&x->r.body, &x->body_taken) && x->body_taken == before;
}

void exchange_give_up_body(struct exchange *x) {
    lane_body_ends(x->conn->lane, &x->r.body);
    body_give_up_held(&x->r.body);
}

/* Answers. */

int exchange_transmit(struct exchange *x, const struct iovec *pieces, unsigned count) {
    return conn_transmit(x->conn, &x->r, pieces, count);
}

ssize_t exchange_transmit_file(struct exchange *x, const struct iovec *head, int fd, off_t offset) {
    return conn_transmit_file(x->conn, &x->r, head, fd, offset, REQUEST_FILE_BLOCK);
}

int exchange_transmit_stored(struct exchange *x) {
    struct request *r = &x->r;
    struct iovec piece = {buf_head(&r->out), buf_len(&r->out)};
    int failed = piece.iov_len ? exchange_transmit(x, &piece, 1) : 0;
    /* What was given up is sent with the end of the answer, for which the rest of what is stored may be good. */
    if (!failed || !request_is_gone(r))
        buf_reset(&r->out, REQUEST_KEEP_BYTES);
    return failed;
}

bool exchange_leave_stored(struct exchange *x) {
    struct buf *out = &x->r.out;
    bool left = conn_leave(x->conn, &x->r, buf_head(out), buf_len(out));
    if (left)
        buf_reset(out, REQUEST_KEEP_BYTES);
    return left;
}

void exchange_given_up(struct request *r) {
    conn_wake(exchange_of(r)->conn);
}
