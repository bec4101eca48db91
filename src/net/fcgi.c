#include "config.h"

#include "net/fcgi.h"

#include "base/log.h"
#include "net/fcgi_answer.h"
#include "net/lane_impl.h"
#include "proto/fcgi_encode.h"

#include <errno.h>
#include <fastcgi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    REQUESTS_FACTOR = 2 /* a peer that opens so many times more requests than it was told may is cut off */
};

static const struct conn_ops fcgi_conn_ops;
static const struct sched_job_ops fcgi_job_ops;

static struct fcgi_conn *conn_of(struct conn *c) {
    return (struct fcgi_conn *)(void *)((char *)c - offsetof(struct fcgi_conn, conn));
}

static struct fcgi_request *request_of_job(struct sched_job *job) {
    return (struct fcgi_request *)(void *)((char *)job - offsetof(struct fcgi_request, r.job));
}

/* Requests: taken from and given back to a pool. */

static struct fcgi_request *request_new(struct fcgi_conn *c, const struct fcgi_event *begin) {
    struct lane *lane = c->conn.lane;
    struct fcgi_request *q = LIST_FIRST(&lane->free_requests);
    if (q) {
        LIST_REMOVE(q, free);
        lane->nfree_requests--;
    } else {
        q = malloc(sizeof *q);
        if (!q)
            return NULL;
        request_init(&q->r);
        q->r.frontend = &fcgi_frontend;
        q->r.job.ops = &fcgi_job_ops;
    }
    q->c = c;
    q->state = FCGI_PARAMS_STATE;
    q->id = begin->id;
    q->role = begin->role;
    q->keep_conn = begin->keep_conn;
    q->stdin_ended = q->stdin_read = q->stderr_used = q->aborted = false;
    q->refusal = NULL;
    q->dropped = 0;
    q->r.vars = (struct cgi_vars){0};
    q->r.authorizer = begin->role == FCGI_AUTHORIZER;
    q->began_at = ev_now(lane->loop);
    TAILQ_INSERT_TAIL(&lane->incomplete, q, incomplete);
    TAILQ_INSERT_TAIL(&c->requests, q, link);
    c->nrequests++;
    c->nbegun++;
    conn_ref(&c->conn);
    atomic_fetch_add_explicit(&lane->nrequests, 1, memory_order_relaxed);
    return q;
}

static void request_free(struct fcgi_request *q) {
    request_fini(&q->r);
    free(q);
}

/* The only way out of FCGI_PARAMS_STATE. */
static void set_state(struct fcgi_request *q, enum fcgi_request_state state) {
    if (q->state == FCGI_PARAMS_STATE)
        TAILQ_REMOVE(&q->c->conn.lane->incomplete, q, incomplete);
    q->state = state;
}

/* The last thing that happens to a request; the connection may be gone afterwards. */
static void request_release(struct fcgi_request *q) {
    struct fcgi_conn *c = q->c;
    struct lane *lane = c->conn.lane;
    set_state(q, FCGI_ENDED_STATE);
    TAILQ_REMOVE(&c->requests, q, link);
    c->nrequests--;
    atomic_fetch_sub_explicit(&lane->nrequests, 1, memory_order_relaxed);
    request_reset(&q->r);
    if (lane->nfree_requests < LANE_POOL_MAX) {
        LIST_INSERT_HEAD(&lane->free_requests, q, free);
        lane->nfree_requests++;
    } else
        request_free(q);
    conn_unref(&c->conn);
}

/* The request that records with this id belong to: of several, the one that is still being received. */
static struct fcgi_request *request_find(struct fcgi_conn *c, uint16_t id) {
    struct fcgi_request *q;
    TAILQ_FOREACH_REVERSE(q, &c->requests, fcgi_requests, link) {
        if (q->id == id)
            return q;
    }
    return NULL;
}

/* Answers. */

static void release_held(struct fcgi_conn *c, uint16_t id);

/* Ends the connection when its last request was answered and it is not to be kept. STDIN that was not read to its end
 * would turn a plain close into a reset (FastCGI 1.0, 5.1 has no early end for the web server's side). */
static void conn_after_request(struct fcgi_conn *c, bool stdin_read) {
    if (c->closing && !c->nrequests)
        conn_finish(&c->conn, CONN_DONE, !stdin_read || !fcgi_decoder_idle(&c->decoder));
}

/* Sends what is stored of the answer and END_REQUEST behind it, and ends the request. */
static void request_end(struct fcgi_request *q, uint32_t app_status) {
    struct fcgi_conn *c = q->c;
    uint16_t id = q->id;
    bool stdin_read = q->stdin_read;
    set_state(q, FCGI_ENDED_STATE);
    conn_ref(&c->conn);
    if (c->conn.state == CONN_OPEN) {
        if (fcgi_put_end(q, app_status, FCGI_REQUEST_COMPLETE))
            conn_close(&c->conn, CONN_NO_MEMORY);
        else
            conn_output(&c->conn, buf_head(&q->r.out), buf_len(&q->r.out));
    }
    request_release(q);
    release_held(c, id);
    conn_after_request(c, stdin_read);
    conn_unref(&c->conn);
}

/* The answer is complete. On a kept connection END_REQUEST waits until STDIN was read to its end: proxies take the
 * records that come later for those of the next request. */
static void request_answered(struct fcgi_request *q) {
    struct fcgi_conn *c = q->c;
    if (q->stdin_ended || !q->keep_conn || c->conn.state != CONN_OPEN || c->conn.read_ended) {
        request_end(q, 0);
        return;
    }
    set_state(q, FCGI_ENDED_STATE);
    body_abort(&q->r.body, ECONNRESET);
    conn_ref(&c->conn);
    if (buf_len(&q->r.out))
        conn_output(&c->conn, buf_head(&q->r.out), buf_len(&q->r.out));
    buf_reset(&q->r.out, REQUEST_KEEP_BYTES);
    set_state(q, FCGI_STDIN_STATE);
    if (c->conn.state != CONN_OPEN)
        request_release(q);
    conn_unref(&c->conn);
}

/* Answers without the application. */
static void request_refuse(struct fcgi_request *q, const char *status) {
    char text[REQUEST_STATUS_MAX + 2];
    const char *extra = strncmp(status, "503", 3) ? NULL : "Retry-After: 5\r\n";
    set_state(q, FCGI_ENDED_STATE);
    log_info("connection %llu: request %u: answered \"%s\": %s", q->c->conn.number, q->id, status,
             request_text(&q->r, (char[600]){0}, 600));
    snprintf(text, sizeof text, "%s\n", status);
    if (request_answer(&q->r, status, extra, text))
        conn_close(&q->c->conn, CONN_NO_MEMORY);
    request_answered(q);
}

/* Starting the application. */

static void job_submit(struct fcgi_request *q) {
    set_state(q, FCGI_JOB_STATE);
    q->r.job.key = q->r.vars.key;
    if (!sched_submit(q->c->conn.lane->sched, &q->r.job))
        request_refuse(q, "503 Service Unavailable");
}

static bool earlier_same_id(const struct fcgi_request *q) {
    const struct fcgi_request *p;
    TAILQ_FOREACH(p, &q->c->requests, link) {
        if (p == q)
            return false;
        if (p->id == q->id)
            return true;
    }
    return false;
}

static void request_start(struct fcgi_request *q) {
    if (q->aborted)
        request_end(q, 0);
    else if (q->refusal)
        request_refuse(q, q->refusal);
    else if (body_short(&q->r.body) && q->r.body.complete)
        request_refuse(q, "400 Bad Request");
    else
        job_submit(q);
}

/* Whether the request has what it needs to start: all of its body, or a good piece of it. */
static void request_maybe_start(struct fcgi_request *q) {
    if (q->state != FCGI_BODY_STATE)
        return;
    if (!q->refusal && !q->r.body.complete && q->r.body.received < REQUEST_BODY_START)
        return;
    set_state(q, FCGI_HELD_STATE);
    if (!earlier_same_id(q))
        request_start(q);
}

static void release_held(struct fcgi_conn *c, uint16_t id) {
    struct fcgi_request *q;
    TAILQ_FOREACH(q, &c->requests, link) {
        if (q->id == id) {
            if (q->state == FCGI_HELD_STATE)
                request_start(q);
            return;
        }
    }
}

/* Jobs. */

static void job_run(struct sched_job *job, struct sched_thread *thread) {
    struct fcgi_request *q = request_of_job(job);
    const struct lane_config *config = &q->c->conn.lane->config;
    q->r.thread = thread;
    config->run(&q->r, config->user);
}

/* The end of the connection is the only sign of a cut answer that proxies understand; but other requests on the same
 * connection must not pay for it, so there it is an END_REQUEST with an application status. */
static void request_break_off(struct fcgi_request *q) {
    struct conn *c = &q->c->conn;
    if (q->c->nrequests > 1) {
        request_end(q, 1);
        return;
    }
    conn_ref(c);
    /* nginx takes the bare end of a connection that is not kept, or whose answers it does not buffer, for the end of the
     * answer, and lets the client wait for what a Content-Length announced. A record of version 0 makes it end the
     * client's connection as well; to the others it is the same as the bare end. */
    static const char not_a_record[8];
    if (buf_append(&q->r.out, not_a_record, sizeof not_a_record))
        log_error("out of memory");
    if (buf_len(&q->r.out))
        conn_output(c, buf_head(&q->r.out), buf_len(&q->r.out));
    conn_finish(c, CONN_BROKEN_OFF, !q->stdin_read);
    request_release(q);
    conn_unref(c);
}

static void job_settle(struct sched_job *job) {
    struct fcgi_request *q = request_of_job(job);
    q->r.thread = NULL;
    set_state(q, FCGI_ENDED_STATE);
    if (q->aborted)
        request_end(q, 0);
    else if (q->r.broken_off || !q->r.head_stored)
        request_break_off(q);
    else
        request_answered(q);
}

static void job_expired(struct sched_job *job) {
    request_refuse(request_of_job(job), "503 Service Unavailable");
}

static const struct sched_job_ops fcgi_job_ops = {.run = job_run, .settle = job_settle, .expired = job_expired};

/* Records. Each function returns a reason to close the connection, or CONN_DONE. */

static enum conn_reason on_begin(struct fcgi_conn *c, const struct fcgi_event *e) {
    uint8_t record[FCGI_END_REQUEST_LEN];
    struct fcgi_request *earlier = request_find(c, e->id);
    if (earlier && (!earlier->stdin_ended || earlier->state == FCGI_PARAMS_STATE))
        return CONN_ID_IN_USE;
    if (e->role != FCGI_RESPONDER && e->role != FCGI_AUTHORIZER) {
        if (earlier)
            return CONN_ID_IN_USE;
        log_info("connection %llu: request %u: role %u is not served", c->conn.number, e->id, e->role);
        fcgi_put_end_request(record, e->id, 0, FCGI_UNKNOWN_ROLE);
        conn_output(&c->conn, record, sizeof record);
        if (!e->keep_conn)
            c->closing = true;
        return CONN_DONE;
    }
    bool full = c->nrequests >= c->conn.lane->config.limit_requests;
    if ((full && earlier) || c->nrequests >= REQUESTS_FACTOR * c->conn.lane->config.limit_requests)
        return CONN_TOO_MANY;
    struct fcgi_request *q = request_new(c, e);
    if (!q)
        return CONN_NO_MEMORY;
    if (full)
        q->refusal = "503 Service Unavailable";
    unsigned most = c->conn.lane->config.keepalive_requests;
    if (!e->keep_conn || (most && c->nbegun >= most))
        c->closing = true;
    return CONN_DONE;
}

static void on_params(struct fcgi_request *q, const struct fcgi_event *e) {
    const struct lane_config *config = &q->c->conn.lane->config;
    if (q->state != FCGI_PARAMS_STATE || q->refusal)
        return;
    if (buf_len(&q->r.params) + e->len > config->limit_params) {
        log_warning("connection %llu: request %u: more than %zu bytes of parameters (--limit-params)",
                    q->c->conn.number, q->id, config->limit_params);
        q->refusal = "431 Request Header Fields Too Large";
    } else if (buf_append(&q->r.params, e->data, e->len))
        q->refusal = "503 Service Unavailable";
}

static void params_scan(struct fcgi_request *q) {
    const struct lane_config *config = &q->c->conn.lane->config;
    struct slice prefix = {config->script_name, strlen(config->script_name)};
    struct cgi_vars *vars = &q->r.vars;
    const char *params = buf_len(&q->r.params) ? buf_head(&q->r.params) : "";
    if (cgi_scan(params, buf_len(&q->r.params), prefix, vars) != CGI_OK) {
        log_warning("connection %llu: request %u: malformed parameters", q->c->conn.number, q->id);
        *vars = (struct cgi_vars){0};
        q->refusal = "400 Bad Request";
    } else if (vars->npairs > config->limit_param_count) {
        log_warning("connection %llu: request %u: %u parameters (--limit-param-count is %u)", q->c->conn.number, q->id,
                    vars->npairs, config->limit_param_count);
        q->refusal = "431 Request Header Fields Too Large";
    } else if (config->body.total && vars->content_length > 0 && (uint64_t)vars->content_length > config->body.total)
        q->refusal = "413 Content Too Large";
}

static void on_params_end(struct fcgi_request *q) {
    if (q->state != FCGI_PARAMS_STATE)
        return;
    set_state(q, FCGI_BODY_STATE);
    if (!q->refusal)
        params_scan(q);
    /* An authorizer gets no STDIN (FastCGI 1.0, 6.3). */
    if (q->role == FCGI_AUTHORIZER)
        q->stdin_ended = true;
    body_begin(&q->r.body, q->role == FCGI_AUTHORIZER ? 0 : q->r.vars.content_length);
    if (q->stdin_ended)
        body_end(&q->r.body);
    request_maybe_start(q);
}

static enum conn_reason on_stdin(struct fcgi_request *q, const struct fcgi_event *e) {
    if (q->state == FCGI_STDIN_STATE)
        return (q->dropped += e->len) > CONN_DROP_MAX ? CONN_DRAINED : CONN_DONE;
    if (q->state == FCGI_PARAMS_STATE || q->refusal)
        return CONN_DONE;
    enum body_status status = body_append(&q->r.body, &q->c->conn.lane->config.body, e->data, e->len);
    if (status == BODY_FAILED)
        log_error("connection %llu: request %u: cannot keep the body: %s: see --spool-dir", q->c->conn.number, q->id,
                  strerror(q->r.body.error));
    if (status != BODY_OK && q->state == FCGI_BODY_STATE)
        q->refusal = status == BODY_TOO_LARGE ? "413 Content Too Large" : "507 Insufficient Storage";
    request_maybe_start(q);
    return CONN_DONE;
}

static void on_stdin_end(struct fcgi_request *q) {
    q->stdin_read = true;
    if (q->stdin_ended)
        return;
    q->stdin_ended = true;
    if (q->state == FCGI_STDIN_STATE)
        request_end(q, 0);
    else if (q->state != FCGI_PARAMS_STATE) {
        body_end(&q->r.body);
        request_maybe_start(q);
    }
}

/* The running application learns that nobody waits for its answer any more. */
static void request_gone(struct fcgi_request *q) {
    atomic_store(&q->r.gone, true);
    body_abort(&q->r.body, ECONNRESET);
}

/* FastCGI 1.0, 5.4: the application ends the request as soon as it can; the id stays in use until END_REQUEST. */
static void on_abort(struct fcgi_request *q) {
    q->aborted = q->stdin_ended = true;
    if (q->state == FCGI_JOB_STATE && !sched_cancel(q->c->conn.lane->sched, &q->r.job)) {
        request_gone(q);
        return;
    }
    if (earlier_same_id(q)) {
        set_state(q, FCGI_HELD_STATE);
        body_abort(&q->r.body, ECONNRESET);
    } else
        request_end(q, 0);
}

static void on_values_end(struct fcgi_conn *c) {
    uint8_t record[FCGI_VALUES_RESULT_MAX];
    struct lane *lane = c->conn.lane;
    size_t n = fcgi_values_result(&c->values, record, lane->config.max_connections, lane->config.limit_requests, true);
    conn_output(&c->conn, record, n);
}

static enum conn_reason on_request_event(struct fcgi_conn *c, const struct fcgi_event *e) {
    struct fcgi_request *q = request_find(c, e->id);
    if (!q)
        return CONN_DONE; /* FastCGI 1.0, 3.3: records of ids that are not active are ignored */
    switch (e->type) {
    case FCGI_EVENT_PARAMS:
        on_params(q, e);
        break;
    case FCGI_EVENT_PARAMS_END:
        on_params_end(q);
        break;
    case FCGI_EVENT_STDIN:
        return on_stdin(q, e);
    case FCGI_EVENT_STDIN_END:
        on_stdin_end(q);
        break;
    default:
        on_abort(q);
        break;
    }
    return CONN_DONE;
}

static enum conn_reason on_event(struct fcgi_conn *c, const struct fcgi_event *e) {
    uint8_t record[16];
    switch (e->type) {
    case FCGI_EVENT_BEGIN:
        return on_begin(c, e);
    case FCGI_EVENT_VALUES:
        fcgi_values_feed(&c->values, e->data, e->len);
        return CONN_DONE;
    case FCGI_EVENT_VALUES_END:
        on_values_end(c);
        return CONN_DONE;
    case FCGI_EVENT_UNKNOWN:
        fcgi_put_unknown_type(record, e->record_type);
        conn_output(&c->conn, record, sizeof record);
        return CONN_DONE;
    case FCGI_EVENT_ERROR:
        log_warning("connection %llu: %s", c->conn.number, fcgi_decode_error_text(e->error));
        return CONN_NOT_FASTCGI;
    default:
        return on_request_event(c, e);
    }
}

/* What the connection asks of the front end. */

static bool on_input(struct conn *conn, const uint8_t *data, size_t len) {
    struct fcgi_conn *c = conn_of(conn);
    const uint8_t *end = data + len;
    struct fcgi_event e;
    while (conn->state == CONN_OPEN && fcgi_decode(&c->decoder, &data, end, &e) != FCGI_EVENT_MORE) {
        enum conn_reason reason = on_event(c, &e);
        if (reason != CONN_DONE) {
            conn_close(conn, reason);
            break;
        }
    }
    if (conn->state == CONN_OPEN && c->closing && !c->nrequests && fcgi_decoder_idle(&c->decoder))
        conn_finish(conn, CONN_DONE, true);
    return conn->state == CONN_OPEN;
}

/* Requests that did not start, or only wait in the queue, are dropped; running ones are told and end by themselves. */
static void on_gone(struct conn *conn) {
    struct fcgi_conn *c = conn_of(conn);
    struct fcgi_request *q, *next;
    for (q = TAILQ_FIRST(&c->requests); q; q = next) {
        next = TAILQ_NEXT(q, link);
        if (q->state == FCGI_JOB_STATE && !sched_cancel(conn->lane->sched, &q->r.job))
            request_gone(q);
        else if (q->state != FCGI_ENDED_STATE)
            request_release(q);
    }
}

/* Whether the end of the peer's side cuts this request off before it could start. */
static bool request_cut(const struct fcgi_request *q) {
    return q->state == FCGI_PARAMS_STATE || (q->state == FCGI_BODY_STATE && !q->stdin_ended);
}

static void on_half_closed(struct conn *conn) {
    struct fcgi_conn *c = conn_of(conn);
    struct fcgi_request *q;
    c->closing = true;
    /* Ending one request may start or end others: look from the beginning again. */
    do {
        TAILQ_FOREACH(q, &c->requests, link) {
            if (!q->stdin_ended || request_cut(q))
                break;
        }
        if (q && request_cut(q))
            request_release(q);
        else if (q)
            on_stdin_end(q);
    } while (q);
    conn_after_request(c, true);
}

static enum conn_reason on_idle(struct conn *conn) {
    struct fcgi_conn *c = conn_of(conn);
    struct fcgi_request *q;
    if (conn_blocked(conn))
        return CONN_SLOW_READER;
    if (!c->nrequests)
        return fcgi_decoder_idle(&c->decoder) ? CONN_IDLE : CONN_SLOW_REQUEST;
    TAILQ_FOREACH(q, &c->requests, link) {
        if (q->state == FCGI_PARAMS_STATE || q->state == FCGI_STDIN_STATE ||
            (!q->stdin_ended && !body_complete(&q->r.body)))
            return CONN_SLOW_REQUEST;
    }
    return CONN_DONE;
}

static bool on_complete(struct conn *conn) {
    struct fcgi_conn *c = conn_of(conn);
    struct fcgi_request *only = TAILQ_FIRST(&c->requests);
    return c->closing && c->nrequests == 1 && only->stdin_read;
}

static void conn_free(struct fcgi_conn *c) {
    conn_alloc_fini(&c->conn);
    free(c);
}

static void on_free(struct conn *conn) {
    struct fcgi_conn *c = conn_of(conn);
    struct lane *lane = conn->lane;
    if (lane->nfree_conns < LANE_POOL_MAX) {
        LIST_INSERT_HEAD(&lane->free_conns, c, free);
        lane->nfree_conns++;
    } else
        conn_free(c);
    lane->nlive--;
    lane_check_stopped(lane);
}

static const struct conn_ops fcgi_conn_ops = {
    .input = on_input,
    .gone = on_gone,
    .half_closed = on_half_closed,
    .idle = on_idle,
    .complete = on_complete,
    .free = on_free,
};

void fcgi_accept(struct lane *lane, int fd, bool is_unix) {
    struct fcgi_conn *c = LIST_FIRST(&lane->free_conns);
    if (c) {
        LIST_REMOVE(c, free);
        lane->nfree_conns--;
    } else {
        c = calloc(1, sizeof *c);
        if (!c) {
            log_error("cannot accept a connection: out of memory");
            close(fd);
            return;
        }
        conn_alloc_init(&c->conn);
    }
    c->decoder = (struct fcgi_decoder){0};
    c->values = (struct fcgi_values){0};
    c->closing = lane->stopping;
    c->nrequests = c->nbegun = 0;
    TAILQ_INIT(&c->requests);
    lane->nlive++;
    conn_init(&c->conn, lane, fd, is_unix, &fcgi_conn_ops);
    conn_ref(&c->conn);
    conn_read(&c->conn);
    /* A request that came whole, on a connection that ends with it, needs no watcher: it is answered before the loop
     * runs again, or else the loop starts to watch (lane.c). */
    if (c->conn.state == CONN_OPEN && !on_complete(&c->conn))
        conn_watch(&c->conn);
    conn_unref(&c->conn);
}

void fcgi_stop(struct conn *conn) {
    struct fcgi_conn *c = conn_of(conn);
    if (conn->state != CONN_OPEN)
        return;
    c->closing = true;
    conn_ref(conn);
    conn_read(conn);
    if (conn->used && !c->nrequests && fcgi_decoder_idle(&c->decoder))
        conn_finish(conn, CONN_STOPPING, false);
    conn_unref(conn);
}

void fcgi_end(struct conn *conn) {
    if (!conn_of(conn)->nrequests && conn->state != CONN_FLUSHING)
        conn_close(conn, CONN_STOPPING);
}

ev_tstamp fcgi_expire_incomplete(struct lane *lane) {
    struct fcgi_request *q;
    while ((q = TAILQ_FIRST(&lane->incomplete))) {
        ev_tstamp due = q->began_at + lane->config.header_timeout;
        if (due > ev_now(lane->loop))
            return due;
        log_warning("connection %llu: request %u: its parameters have not come within %g seconds (--header-timeout)",
                    q->c->conn.number, q->id, lane->config.header_timeout);
        /* What still comes for this id belongs to no request, and is ignored. */
        q->keep_conn = false;
        q->refusal = "408 Request Timeout";
        set_state(q, FCGI_HELD_STATE);
        if (!earlier_same_id(q))
            request_start(q);
    }
    return 0;
}

void fcgi_free_pools(struct lane *lane) {
    struct fcgi_conn *c;
    struct fcgi_request *q;
    while ((c = LIST_FIRST(&lane->free_conns))) {
        LIST_REMOVE(c, free);
        conn_free(c);
    }
    while ((q = LIST_FIRST(&lane->free_requests))) {
        LIST_REMOVE(q, free);
        request_free(q);
    }
}
