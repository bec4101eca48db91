#include "config.h"

#include "net/fcgi/request.h"

#include "base/log.h"
#include "net/fcgi/answer.h"
#include "net/lane_impl.h"
#include "net/status_path.h"

#include <errno.h>
#include <fastcgi.h>
#include <stdlib.h>

enum {
    UNDER_WAY = 256 << 10 /* bytes; what two Unix sockets hold, generously */
};

static const struct sched_job_ops fcgi_job_ops;
static void params_late(struct timeout *to);
static void request_refuse(struct fcgi_request *q, enum refusal why);

static struct fcgi_request *request_of_job(struct sched_job *job) {
    return (struct fcgi_request *)(void *)((char *)job - offsetof(struct fcgi_request, x.r.job));
}

static struct fcgi_request *request_of_timeout(struct timeout *to) {
    return (struct fcgi_request *)(void *)((char *)to - offsetof(struct fcgi_request, timeout));
}

/* Requests: taken from and given back to a pool. */

static inline struct fcgi_request *request_take(struct fcgi_lane *fcgi) {
    struct fcgi_request *q = free_list_take(&fcgi->requests);
    if (q)
        return q;
    q = malloc(sizeof *q);
    if (q)
        exchange_init(&q->x, &fcgi_answer_ops, &fcgi_job_ops);
    return q;
}

static inline void give_back(struct fcgi_lane *fcgi, struct fcgi_request *q) {
    if (!free_list_put(&fcgi->requests, q))
        fcgi_request_free(q);
}

struct fcgi_request *fcgi_request_new(struct fcgi_conn *c, const struct fcgi_event *begin) {
    struct lane *lane = c->conn.lane;
    struct fcgi_request *q = request_take(c->fcgi);
    if (!q)
        return NULL;
    q->c = c;
    q->state = FCGI_PARAMS_STATE;
    q->keep_conn = begin->keep_conn;
    q->stdin_ended = q->stdin_read = q->stderr_used = q->aborted = q->gave_way = false;
    q->x.r.vars.method.n = 0; /* the rest of r.vars is set when the parameters end, in whichever way */
    q->x.r.role = begin->role == FCGI_AUTHORIZER ? REQUEST_AUTHORIZER : REQUEST_RESPONDER;
    if (c->ending)
        fcgi_conn_ending_over(c);
    timeout_begins(&lane->headers, &q->timeout, &c->conn, params_late);
    q->timeouts = &lane->headers;
    TAILQ_INSERT_TAIL(&c->requests, q, link);
    c->nrequests++;
    c->nbegun++;
    exchange_begin(&q->x, &c->conn, begin->id);
    return q;
}

void fcgi_request_free(struct fcgi_request *q) {
    exchange_fini(&q->x);
    free(q);
}

/* The last thing that happens to a request; the connection may be gone afterwards. */
void fcgi_request_release(struct fcgi_request *q) {
    struct fcgi_conn *c = q->c;
    struct fcgi_lane *fcgi = c->fcgi;
    fcgi_request_set_state(q, FCGI_ENDED_STATE);
    fcgi_request_let_go(q);
    c->unread |= !q->stdin_read;
    TAILQ_REMOVE(&c->requests, q, link);
    c->nrequests--;
    exchange_end(&q->x);
    give_back(fcgi, q);
}

void fcgi_request_set_state(struct fcgi_request *q, enum fcgi_request_state state) {
    if (q->timeouts)
        timeout_ends(q->timeouts, &q->timeout);
    q->timeouts = NULL;
    q->state = state;
}

struct fcgi_request *fcgi_request_find(struct fcgi_conn *c, uint16_t id) {
    struct fcgi_request *q;
    TAILQ_FOREACH_REVERSE(q, &c->requests, fcgi_requests, link) {
        if (q->x.id == id)
            return q;
    }
    return NULL;
}

/* Starting the application. */

/* No thread was free for it in time. */
static void turn_away(struct fcgi_request *q, enum refusal why) {
    if (!request_is_gone(&q->x.r))
        request_refuse(q, why);
    else if (q->aborted) {
        exchange_note_drop(&q->x, DROPPED_OVERLOAD);
        fcgi_request_abort(q);
    } else
        fcgi_request_drop(q, DROPPED_OVERLOAD);
}

static void job_submit(struct fcgi_request *q) {
    if (exchange_check_client(&q->x)) {
        fcgi_request_drop(q, DROPPED_WAITING);
        return;
    }
    fcgi_request_set_state(q, FCGI_JOB_STATE);
    if (q->x.status)
        status_path_answer(&q->x);
    else if (!exchange_submit(&q->x, q->c))
        turn_away(q, REFUSED_QUEUE_FULL);
}

bool fcgi_request_is_behind(const struct fcgi_request *q) {
    const struct fcgi_request *p;
    TAILQ_FOREACH(p, &q->c->requests, link) {
        if (p == q)
            return false;
        if (p->x.id == q->x.id)
            return true;
    }
    return false;
}

void fcgi_request_start(struct fcgi_request *q) {
    if (q->aborted && !body_whole(&q->x.r.body))
        fcgi_request_abort(q);
    else if (q->x.refusal)
        request_refuse(q, q->x.refusal);
    else if (body_short(&q->x.r.body) && q->x.r.body.complete)
        request_refuse(q, REFUSED_BODY_SHORT);
    else
        job_submit(q);
}

void fcgi_request_maybe_start(struct fcgi_request *q) {
    if (q->state != FCGI_BODY_STATE)
        return;
    if (!q->x.refusal && !request_has_enough(&q->x.r, q->c->conn.lane->config.stream_body))
        return;
    fcgi_request_set_state(q, FCGI_BEHIND_STATE);
    if (!fcgi_request_is_behind(q))
        fcgi_request_start(q);
}

static void start_next(struct fcgi_conn *c, uint16_t id) {
    struct fcgi_request *q;
    TAILQ_FOREACH(q, &c->requests, link) {
        if (q->x.id == id) {
            if (q->state == FCGI_BEHIND_STATE)
                fcgi_request_start(q);
            return;
        }
    }
}

static void params_late(struct timeout *to) {
    struct fcgi_request *q = request_of_timeout(to);
    if (q->c->conn.paused) { /* nothing is read from the peer */
        timeout_again(q->timeouts, to);
        return;
    }
    /* Records that still come for this id belong to no request, and are ignored. */
    q->keep_conn = false;
    q->x.refusal = REFUSED_PARAMS_LATE;
    q->x.r.vars = (struct cgi_vars){0};
    fcgi_request_set_state(q, FCGI_BEHIND_STATE);
    if (!fcgi_request_is_behind(q))
        fcgi_request_start(q);
}

/* Answers. */

/* A peer that multiplexes could always have a request open on a connection of a server that stops. "Cannot multiplex"
 * after a complete answer makes HAProxy, which is the one that does this, start no further request on this connection.
 * Strictly, it is for requests that were turned away (FastCGI 1.0, 5.5). */
static uint8_t protocol_status(const struct fcgi_conn *c) {
    return c->conn.lane->stopping && c->nrequests > 1 ? FCGI_CANT_MPX_CONN : FCGI_REQUEST_COMPLETE;
}

void fcgi_request_end(struct fcgi_request *q, uint32_t app_status) {
    struct fcgi_conn *c = q->c;
    uint16_t id = q->x.id;
    fcgi_request_set_state(q, FCGI_ENDED_STATE);
    conn_ref(&c->conn);
    if (c->conn.state == CONN_OPEN) {
        if (fcgi_put_end(q, app_status, protocol_status(c)))
            conn_close(&c->conn, CONN_NO_MEMORY);
        else
            exchange_flush(&q->x);
    }
    fcgi_request_release(q);
    start_next(c, id);
    fcgi_conn_after_request(c);
    conn_unref(&c->conn);
}

void fcgi_request_abort(struct fcgi_request *q) {
    if (q->x.r.end == REQUEST_ANSWERED && !q->x.handed_over)
        q->x.r.end = REQUEST_ABORTED;
    fcgi_request_end(q, 0);
}

/* Ends a request without a call and without an answer, and logs that. */
void fcgi_request_drop(struct fcgi_request *q, enum drop why) {
    struct fcgi_conn *c = q->c;
    uint16_t id = q->x.id;
    if (q->state == FCGI_PARAMS_STATE)
        q->x.r.vars = (struct cgi_vars){0};
    exchange_note_drop(&q->x, why);
    conn_ref(&c->conn);
    fcgi_request_release(q);
    start_next(c, id);
    fcgi_conn_after_request(c);
    conn_unref(&c->conn);
}

/* The answer is complete. On a kept connection END_REQUEST waits until STDIN was read to its end, because H2O and
 * HAProxy take later records for those of the next request. nginx sends no more of STDIN once it has the head of the
 * answer, and waits for END_REQUEST; so it is sent when the peer has fallen silent. A peer that has sent more than can
 * have been under way before the answer means to send all of it, and gets more time: on a busy machine H2O 2.2 pauses,
 * and ends itself by a failing assertion if END_REQUEST comes then. */
static void request_answered(struct fcgi_request *q) {
    struct fcgi_conn *c = q->c;
    if (q->stdin_ended || !q->keep_conn || c->conn.state != CONN_OPEN || c->conn.read_ended) {
        fcgi_request_end(q, 0);
        return;
    }
    fcgi_request_set_state(q, FCGI_ENDED_STATE);
    fcgi_request_let_go(q);
    exchange_abort_body(&q->x, ECONNRESET);
    conn_ref(&c->conn);
    exchange_flush(&q->x);
    buf_reset(&q->x.r.out, REQUEST_KEEP_BYTES);
    fcgi_request_set_state(q, FCGI_STDIN_STATE);
    if (c->conn.state == CONN_OPEN)
        fcgi_request_stdin_goes_on(q);
    else
        fcgi_request_release(q);
    conn_unref(&c->conn);
}

/* Answers without the application. */
static void request_refuse(struct fcgi_request *q, enum refusal why) {
    fcgi_request_set_state(q, FCGI_ENDED_STATE);
    exchange_refuse(&q->x, why);
    request_answered(q);
}

/* The answer was sent, and nothing of STDIN has come for a while. */
static void stdin_silent(struct timeout *to) {
    struct fcgi_request *q = request_of_timeout(to);
    struct fcgi_conn *c = q->c;
    if (conn_blocked(&c->conn)) {
        /* A peer that takes nothing may send nothing for that reason (fcgi_request_stdin_goes_on is called when it has
         * taken everything). */
        timeout_ends(q->timeouts, to);
        q->timeouts = NULL;
    } else if (c->conn.paused || conn_readable(&c->conn))
        timeout_again(q->timeouts, to); /* the loop does not read, or was late, not the peer */
    else
        fcgi_request_stdin_given_up(q);
}

void fcgi_request_stdin_goes_on(struct fcgi_request *q) {
    struct fcgi_lane *fcgi = q->c->fcgi;
    struct timeouts *all = q->x.dropped > UNDER_WAY ? &fcgi->stall : &fcgi->silence;
    if (q->timeouts == all) {
        timeout_again(all, &q->timeout);
        return;
    }
    if (q->timeouts)
        timeout_ends(q->timeouts, &q->timeout);
    timeout_begins(all, &q->timeout, &q->c->conn, stdin_silent);
    q->timeouts = all;
}

void fcgi_request_stdin_given_up(struct fcgi_request *q) {
    log_debug("connection %llu: request %u: answered, and the rest of its body does not come", q->c->conn.number,
              q->x.id);
    q->c->given_up = true;
    q->stdin_ended = true;
    fcgi_request_end(q, 0);
}

/* Jobs. */

/* The end of the connection is the only sign of a cut answer that proxies understand; but other requests on the same
 * connection must not pay for it, so there it is an END_REQUEST with an application status. */
static void request_break_off(struct fcgi_request *q, enum request_end end) {
    struct conn *c = &q->c->conn;
    q->x.r.end = end;
    if (q->c->nrequests > 1) {
        fcgi_request_end(q, 1);
        return;
    }
    conn_ref(c);
    /* nginx takes the plain end of a connection that is not kept, or whose answers it does not buffer, for the end of
     * the answer, and lets the client wait for what a Content-Length announced. A record of version 0 makes nginx end
     * the client's connection as well; to other servers it is the same as the plain end. */
    static const char not_a_record[8];
    if (buf_append(&q->x.r.out, not_a_record, sizeof not_a_record)) {
        sched_pause(c->lane->sched);
        log_error("out of memory");
    }
    exchange_flush(&q->x);
    q->c->unread |= !q->stdin_read;
    fcgi_conn_finish(q->c, CONN_BROKEN_OFF, q->c->unread ? CONN_END_DRAIN : CONN_END_PART);
    fcgi_request_release(q);
    conn_unref(c);
}

/* Nobody waits for it any more. */
static void late_settle(struct fcgi_request *q) {
    struct fcgi_lane *fcgi = q->c->fcgi;
    exchange_end_late(&q->x);
    give_back(fcgi, q);
}

static void request_settle(struct fcgi_request *q) {
    if (q->x.late) {
        late_settle(q);
        return;
    }
    q->x.r.thread = NULL;
    fcgi_request_set_state(q, FCGI_ENDED_STATE);
    if (q->aborted)
        fcgi_request_abort(q);
    else if (q->gave_way || q->x.r.broken_off || !q->x.r.head_stored)
        request_break_off(q, REQUEST_CUT);
    else
        request_answered(q);
}

/* Answers on a multiplexed connection that are ready together leave together. */
static void job_settle(struct sched_job *job) {
    struct fcgi_request *q = request_of_job(job);
    struct conn *c = &q->c->conn;
    bool more = sched_settles_more(c->lane->sched, job);
    if (!more && !c->corked) {
        request_settle(q);
        return;
    }
    conn_ref(c);
    if (more)
        conn_cork(c);
    request_settle(q);
    if (!more)
        conn_uncork(c);
    conn_unref(c);
}

static void job_expired(struct sched_job *job) {
    turn_away(request_of_job(job), REFUSED_QUEUE_LATE);
}

/* On a connection of several requests the others must not pay for it: they may wait for nothing, as that for the rest
 * of a body does not concern them. */
static void job_gives_way(struct sched_job *job) {
    struct fcgi_request *q = request_of_job(job);
    if (q->x.late)
        return; /* it does not wait any more */
    if (q->c->nrequests > 1) {
        q->gave_way = true;
        fcgi_request_gone(q);
    } else
        conn_close(&q->c->conn, CONN_GAVE_WAY);
}

/* When the time of a call is over. */

/* Makes the one that stands in, and puts it where `q` was. *before: the state of the answer. Returns NULL if there is no
 * memory. */
static struct fcgi_request *stand_in(struct fcgi_request *q, enum answer_state *before) {
    struct fcgi_conn *c = q->c;
    struct fcgi_request *instead = request_take(c->fcgi);
    if (!instead)
        return NULL;
    fcgi_request_let_go(q);
    instead->c = c;
    instead->state = FCGI_ENDED_STATE;
    instead->timeouts = NULL;
    instead->keep_conn = q->keep_conn;
    instead->stdin_ended = q->stdin_ended;
    instead->stdin_read = q->stdin_read;
    instead->aborted = q->aborted;
    instead->gave_way = q->gave_way;
    instead->stdin_at = q->stdin_at;
    TAILQ_INSERT_BEFORE(q, instead, link);
    TAILQ_REMOVE(&c->requests, q, link);
    *before = exchange_stand_in(&q->x, &instead->x);
    /* Which streams were used the thread knows alone; those that were not may be ended, too (FastCGI 1.0, 5.3). */
    instead->stderr_used = instead->x.r.head_stored = request_was_sent(*before);
    return instead;
}

enum conn_overdue fcgi_request_overdue(struct fcgi_request *q) {
    struct conn *c = &q->c->conn;
    bool gone = c->lost || q->aborted || q->gave_way;
    enum answer_state before;
    struct fcgi_request *instead = stand_in(q, &before);
    if (!instead) {
        conn_close(c, CONN_NO_MEMORY);
        return CONN_OVERDUE_GONE;
    }
    if (instead->aborted) {
        instead->x.r.end = REQUEST_ABORTED;
        fcgi_request_abort(instead);
    } else if (instead->gave_way || request_was_sent(before))
        request_break_off(instead, instead->gave_way ? REQUEST_CUT : REQUEST_OVERDUE);
    else {
        exchange_answer_overdue(&instead->x);
        request_answered(instead);
    }
    return gone ? CONN_OVERDUE_GONE : request_was_sent(before) ? CONN_OVERDUE_CUT : CONN_OVERDUE_ANSWERED;
}

static const struct sched_job_ops fcgi_job_ops = {.run = exchange_run,
                                                  .detached = exchange_detached,
                                                  .rejoined = exchange_rejoined,
                                                  .settle = job_settle,
                                                  .expired = job_expired,
                                                  .gives_way = job_gives_way};

/* Bodies. */

static bool holds_body(const struct fcgi_conn *c) {
    const struct fcgi_request *q;
    TAILQ_FOREACH(q, &c->requests, link) {
        if (q->x.body_held)
            return true;
    }
    return false;
}

void fcgi_request_read_on(struct fcgi_request *q) {
    struct fcgi_conn *c = q->c;
    struct fcgi_request *p;
    q->x.body_held = false;
    if (holds_body(c) || c->conn.state == CONN_CLOSED)
        return;
    /* Time in which nothing was read from the connection does not count as time in which nothing came. */
    TAILQ_FOREACH(p, &c->requests, link) {
        p->stdin_at = lane_now(c->conn.lane);
        if (p->state == FCGI_PARAMS_STATE)
            timeout_again(p->timeouts, &p->timeout);
    }
    conn_touch(&c->conn);
    conn_resume(&c->conn);
}

void fcgi_request_body_failed(struct fcgi_request *q, enum refusal why) {
    q->x.refusal = why;
    if (q->state == FCGI_JOB_STATE && !exchange_cancel(&q->x)) {
        exchange_log_body(&q->x, why);
        return;
    }
    if (q->state == FCGI_JOB_STATE)
        fcgi_request_set_state(q, FCGI_BODY_STATE);
    fcgi_request_maybe_start(q);
}

void fcgi_request_gone(struct fcgi_request *q) {
    fcgi_request_let_go(q);
    exchange_gone(&q->x);
}
