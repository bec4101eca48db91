#include "config.h"

#include "net/fcgi/conn.h"

#include "base/descriptors.h"
#include "base/log.h"
#include "net/fcgi/peer.h"
#include "net/fcgi/request.h"
#include "net/lane_impl.h"
#include "net/peer.h"
#include "net/who.h"
#include "proto/fcgi_encode.h"

#include <errno.h>
#include <fastcgi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    QUESTIONS_MAX = 1 << 20, /* bytes that may wait for a peer beyond its answers when it asks about the server */
    REQUESTS_FACTOR = 2      /* a peer that opens so many times more requests than it was told may is cut off */
};

static const ev_tstamp SILENCE = 0.05; /* seconds; a peer that means to send more of a body does so in less */
static const ev_tstamp STALL = 0.5;    /* unless it has too much else to do */

FCGI_REASONS(CONN_REASON_DEFINE)

static const struct conn_ops fcgi_conn_ops;

static struct fcgi_conn *conn_of(struct conn *c) {
    return (struct fcgi_conn *)(void *)((char *)c - offsetof(struct fcgi_conn, conn));
}

/* Records. Each function returns a reason to close the connection, or CONN_DONE. */

static void log_role(struct conn *c, const struct fcgi_event *e) {
    static const char topic;
    char more[LOG_TABLE_MORE_SIZE], whom[WHO_TEXT_SIZE];
    struct who who = who_find(c, NULL);
    if (!who_log_due(&who, &topic, more))
        return;
    sched_pause(c->lane->sched);
    log_info("connection %llu: request %u: role %u is not served (%s)%s", c->number, e->id, e->role,
             who_text(&who, whom), more);
}

static const struct conn_reason *on_begin(struct fcgi_conn *c, const struct fcgi_event *e) {
    uint8_t record[FCGI_END_REQUEST_LEN];
    struct fcgi_request *earlier = fcgi_request_find(c, e->id);
    if (earlier && (!earlier->stdin_ended || earlier->state == FCGI_PARAMS_STATE))
        return CONN_ID_IN_USE;
    if (e->role != FCGI_RESPONDER && e->role != FCGI_AUTHORIZER) {
        if (earlier)
            return CONN_ID_IN_USE;
        log_role(&c->conn, e);
        fcgi_put_end_request(record, e->id, 0, FCGI_UNKNOWN_ROLE);
        conn_output(&c->conn, record, sizeof record);
        if (!e->keep_conn)
            c->closing = c->not_kept = true;
        return CONN_DONE;
    }
    bool full = c->nrequests >= c->conn.lane->config.limit_requests;
    if ((full && earlier) || c->nrequests >= REQUESTS_FACTOR * c->conn.lane->config.limit_requests)
        return CONN_TOO_MANY;
    struct fcgi_request *q = fcgi_request_new(c, e);
    if (!q)
        return CONN_NO_MEMORY;
    if (full)
        q->x.refusal = REFUSED_CONN_FULL;
    unsigned most = c->conn.lane->config.keepalive_requests;
    c->not_kept |= !e->keep_conn;
    if (!e->keep_conn || (most && c->nbegun >= most))
        c->closing = true;
    return CONN_DONE;
}

static void on_params(struct fcgi_request *q, const struct fcgi_event *e) {
    if (q->state != FCGI_PARAMS_STATE || q->x.refusal)
        return;
    size_t room = q->c->conn.lane->config.limit_params - buf_len(&q->x.r.params);
    if (e->len > room) {
        q->x.refusal = REFUSED_PARAMS_LARGE;
        (void)buf_append(&q->x.r.params, e->data, room); /* may tell the log who the client is */
    } else if (buf_append(&q->x.r.params, e->data, e->len))
        q->x.refusal = REFUSED_NO_MEMORY;
}

/* Scans the parameters of a web server whose word about the client counts. Refuses the request when there is no memory.
 * Kept out of the way of all others. */
static __attribute__((noinline)) enum cgi_result scan_forwarded(struct fcgi_request *q, struct slice prefix) {
    const struct lane_config *config = &q->c->conn.lane->config;
    struct buf *params = &q->x.r.params;
    struct peer_said said;
    if (fcgi_peer_params(&said, config, params)) {
        q->x.refusal = REFUSED_NO_MEMORY;
        return CGI_MALFORMED;
    }
    const char *pairs = buf_len(params) ? buf_head(params) : "";
    enum cgi_result result = cgi_scan(pairs, buf_len(params), prefix, &q->c->conn.lane->memo, &q->x.r.vars);
    if (result != CGI_MALFORMED)
        peer_set_prefix(&said, params, &q->x.r.vars.script_name);
    return result;
}

static enum refusal params_scan(struct fcgi_request *q) {
    const struct lane_config *config = &q->c->conn.lane->config;
    struct slice prefix = {config->script_name, strlen(config->script_name)};
    struct cgi_vars *vars = &q->x.r.vars;
    const char *params = buf_len(&q->x.r.params) ? buf_head(&q->x.r.params) : "";
    enum cgi_result result;
    if (q->c->trusted)
        result = scan_forwarded(q, prefix);
    else
        result = cgi_scan(params, buf_len(&q->x.r.params), prefix, &q->c->conn.lane->memo, vars);
    if (result == CGI_MALFORMED) {
        *vars = (struct cgi_vars){.bad = vars->bad};
        return q->x.refusal ? q->x.refusal : REFUSED_MALFORMED;
    }
    if (vars->npairs > config->limit_param_count)
        return REFUSED_PARAMS_MANY;
    /* An authorizer gets no STDIN, and is not told of a length (FastCGI 1.0, 6.3). It is asked about other paths. */
    if (q->x.r.role == REQUEST_AUTHORIZER)
        vars->content_length = -1;
    else if (result == CGI_OUTSIDE)
        return REFUSED_OUTSIDE;
    if (config->body.total && vars->content_length > 0 && (uint64_t)vars->content_length > config->body.total)
        return REFUSED_BODY_LARGE;
    return NOT_REFUSED;
}

static void on_params_end(struct fcgi_request *q) {
    if (q->state != FCGI_PARAMS_STATE)
        return;
    fcgi_request_set_state(q, FCGI_BODY_STATE);
    q->stdin_at = lane_now(q->c->conn.lane);
    if (q->x.refusal)
        q->x.r.vars = (struct cgi_vars){0};
    else
        q->x.refusal = params_scan(q);
    if (q->x.r.role == REQUEST_AUTHORIZER)
        q->stdin_ended = true;
    body_begin(&q->x.r.body, q->x.r.role == REQUEST_AUTHORIZER ? 0 : q->x.r.vars.content_length);
    if (q->stdin_ended)
        body_end(&q->x.r.body);
    fcgi_request_maybe_start(q);
}

/* Nobody wants it, but the peer is to get to its answer. */
static const struct conn_reason *drop_stdin(struct fcgi_request *q, size_t len) {
    q->x.dropped += len;
    if (q->x.dropped <= conn_drop_max(&q->c->conn))
        fcgi_request_stdin_goes_on(q);
    else if (q->c->nrequests > 1)
        fcgi_request_stdin_given_up(q);
    else
        return CONN_DRAINED;
    return CONN_DONE;
}

static const struct conn_reason *on_stdin(struct fcgi_request *q, const struct fcgi_event *e) {
    struct conn *c = &q->c->conn;
    q->stdin_at = lane_now(c->lane);
    if (q->state == FCGI_STDIN_STATE)
        return drop_stdin(q, e->len);
    if (q->state == FCGI_PARAMS_STATE || q->x.refusal)
        return CONN_DONE;
    enum body_status status = exchange_take_body(&q->x, q->state == FCGI_JOB_STATE, e->data, e->len);
    if (status == BODY_OK) {
        fcgi_request_let_go(q); /* it is complete */
        fcgi_request_maybe_start(q);
    } else if (status != BODY_HELD)
        fcgi_request_body_failed(q, exchange_body_refusal(status));
    return CONN_DONE;
}

static void on_stdin_end(struct fcgi_request *q) {
    q->stdin_read = true;
    if (q->stdin_ended)
        return;
    q->stdin_ended = true;
    if (q->state == FCGI_STDIN_STATE)
        fcgi_request_end(q, 0);
    else if (q->state != FCGI_PARAMS_STATE) {
        fcgi_request_let_go(q);
        body_end(&q->x.r.body);
        fcgi_request_maybe_start(q);
    }
}

/* A CONTENT_LENGTH without a body: the web server has told of that of a request whose body it has kept (nginx: auth_request
 * with "fastcgi_pass_request_body off", error_page 413). The body of this request is empty, and its true length is told: an
 * application that was promised more would wait for it, or take the request for a broken one. */
static void on_stdin_nothing(struct fcgi_request *q) {
    struct body *b = &q->x.r.body;
    bool called = q->state == FCGI_JOB_STATE, waits = q->state == FCGI_BODY_STATE || q->state == FCGI_BEHIND_STATE;
    if (!(called || waits) || q->stdin_ended || q->x.refusal || b->expected <= 0 || b->received || b->complete)
        return;
    body_begin_empty(b);
    if (waits || q->x.r.job.queued) /* else the application was told already (--stream-body) */
        q->x.r.vars.content_length = 0;
}

/* FastCGI 1.0, 5.4: the application ends the request as soon as it can; the id stays in use until END_REQUEST. What has
 * come whole is called nevertheless. */
static void on_abort(struct fcgi_request *q) {
    struct lane *lane = q->c->conn.lane;
    bool started = q->state == FCGI_BEHIND_STATE || q->state == FCGI_JOB_STATE;
    bool whole = started && body_whole(&q->x.r.body), called = whole && !lane->config.drop_abandoned;
    q->aborted = q->stdin_ended = true;
    if (q->state == FCGI_JOB_STATE && (called || !exchange_cancel(&q->x))) {
        fcgi_request_gone(q);
        return;
    }
    if (q->state == FCGI_BEHIND_STATE && called) {
        request_close_answer(&q->x.r);
        return;
    }
    if (whole)
        exchange_drop(&q->x, DROPPED_WAITING);
    if (fcgi_request_is_behind(q)) {
        fcgi_request_set_state(q, FCGI_BEHIND_STATE);
        exchange_abort_body(&q->x, ECONNRESET);
    } else
        fcgi_request_abort(q);
}

/* Answers a management record: a peer that asks and asks, and reads nothing, is cut off early. */
static const struct conn_reason *manage(struct fcgi_conn *c, const uint8_t *record, size_t len) {
    conn_output(&c->conn, record, len);
    return conn_piled(&c->conn) > CONN_OUT_HIGH + QUESTIONS_MAX ? CONN_READS_NOTHING : CONN_DONE;
}

static const struct conn_reason *on_values_end(struct fcgi_conn *c) {
    uint8_t record[FCGI_VALUES_RESULT_MAX];
    struct lane *lane = c->conn.lane;
    c->asked = true;
    size_t n = fcgi_values_result(&c->values, record, lane->config.max_connections, lane->config.limit_requests, true);
    return manage(c, record, n);
}

static const struct conn_reason *on_request_event(struct fcgi_conn *c, const struct fcgi_event *e) {
    struct fcgi_request *q = fcgi_request_find(c, e->id);
    if (!q) {
        c->goes_on |= c->given_up && e->type == FCGI_EVENT_STDIN;
        return CONN_DONE; /* FastCGI 1.0, 3.3: records of ids that are not active are ignored */
    }
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
        on_stdin_nothing(q);
        on_stdin_end(q);
        break;
    default:
        on_abort(q);
        break;
    }
    return CONN_DONE;
}

static const struct conn_reason *on_event(struct fcgi_conn *c, const struct fcgi_event *e) {
    uint8_t record[16];
    switch (e->type) {
    case FCGI_EVENT_BEGIN:
        return on_begin(c, e);
    case FCGI_EVENT_VALUES:
        fcgi_values_feed(&c->values, e->data, e->len);
        return CONN_DONE;
    case FCGI_EVENT_VALUES_END:
        return on_values_end(c);
    case FCGI_EVENT_UNKNOWN:
        fcgi_put_unknown_type(record, e->record_type);
        return manage(c, record, sizeof record);
    case FCGI_EVENT_ERROR:
        return e->error == FCGI_DECODE_VERSION ? CONN_NOT_FASTCGI : CONN_BEGIN_SHORT;
    default:
        return on_request_event(c, e);
    }
}

/* Requests whose body stalls while others on the same connection are busy, which keeps that from being idle. */

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

/* Only this request ends: a multiplexing web server is not to blame for one slow client. What still comes of its STDIN
 * is then that of an id that is not active. */
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

/* One whose body has stalled for so long, also of a call that runs (`called`), or NULL. */
static struct fcgi_request *find_stalled(const struct fcgi_conn *c, ev_tstamp seconds, bool called) {
    ev_tstamp before = lane_now(c->conn.lane) - seconds;
    struct fcgi_request *q;
    TAILQ_FOREACH(q, &c->requests, link) {
        if (is_stalled(q, before, called))
            return q;
    }
    return NULL;
}

static void end_stalled(struct fcgi_conn *c, ev_tstamp seconds, bool called) {
    struct fcgi_request *q;
    while (c->conn.state == CONN_OPEN && (q = find_stalled(c, seconds, called)))
        request_stalled(q); /* may start or end others */
}

static void expire_stalled(struct fcgi_conn *c) {
    ev_tstamp now = lane_now(c->conn.lane), seconds = c->conn.lane->config.idle_timeout;
    if (c->nrequests < 2 || seconds <= 0 || c->stalls_looked_at + 1 > now)
        return;
    c->stalls_looked_at = now;
    if (find_stalled(c, seconds, true))
        (void)conn_catch_up(&c->conn); /* the rest of it may be behind what was read */
    end_stalled(c, seconds, true);
}

/* What the connection asks of the front end. */

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

/* What speaks another protocol says so in its first bytes: whoever has mixed up two ports, or two directives of the web
 * server, is to read that in the log. */
static const struct conn_reason *name_protocol(const uint8_t *data, size_t len) {
    if (len > 1 && data[0] == 0x16 && data[1] == 3) /* a handshake, in its record (RFC 8446, 5.1) */
        return CONN_SPEAKS_TLS;
    if (len > 6 && !memcmp(data, "PROXY ", 6))
        return CONN_SPEAKS_PROXY;
    if (len > 0 && data[0] >= 'A' && data[0] <= 'Z' && memmem(data, len, " HTTP/", 6))
        return CONN_SPEAKS_HTTP;
    return CONN_NOT_FASTCGI;
}

static bool on_input(struct conn *conn, const uint8_t *data, size_t len) {
    struct fcgi_conn *c = conn_of(conn);
    const uint8_t *begin = data, *end = data + len;
    struct fcgi_event e;
    while (conn->state == CONN_OPEN && (data < end || !fcgi_decoder_idle(&c->decoder)) &&
           fcgi_decode(&c->decoder, &data, end, &e) != FCGI_EVENT_MORE) {
        const struct conn_reason *reason = on_event(c, &e);
        if (reason != CONN_DONE) {
            conn_close(conn, reason == CONN_NOT_FASTCGI && !c->nbegun ? name_protocol(begin, len) : reason);
            break;
        }
    }
    if (conn->state == CONN_OPEN)
        expire_stalled(c);
    if (conn->state == CONN_OPEN && c->closing && !c->nrequests && fcgi_decoder_idle(&c->decoder))
        conn_finish(conn, CONN_DONE, CONN_END_DRAIN);
    else
        fcgi_conn_tell_rest(c);
    return conn->state == CONN_OPEN;
}

/* The end. */

void fcgi_conn_ending_over(struct fcgi_conn *c) {
    if (c->ending)
        timeout_ends(&c->fcgi->stall, &c->ending_timeout);
    c->ending = false;
}

static void ending_late(struct timeout *to) {
    struct fcgi_conn *c = (struct fcgi_conn *)(void *)((char *)to - offsetof(struct fcgi_conn, ending_timeout));
    fcgi_conn_ending_over(c);
    c->closing = true;
    conn_finish(&c->conn, CONN_DONE, c->goes_on || conn_readable(&c->conn) ? CONN_END_DRAIN : CONN_END_CLOSE);
}

/* A peer may be sending another request, which would be lost when the connection ended now. HAProxy 2.6, when it
 * multiplexes, goes on to use a connection on which a body was not sent to its end, and never notices that it has ended:
 * the next client has a 502. Such a peer asks GET_VALUES first; for it the connection stays until --idle-timeout. */
static void ending_begins(struct fcgi_conn *c) {
    if (c->asked || c->ending || c->conn.state != CONN_OPEN)
        return;
    timeout_begins(&c->fcgi->stall, &c->ending_timeout, &c->conn, ending_late);
    c->ending = true;
}

/* Ends the connection when its last request was answered and it is not to be kept. STDIN that was not read to its end
 * would turn a plain close into a reset (FastCGI 1.0, 5.1 has no early end for the web server's side). A peer that means
 * to keep it may be sending its next request: that must fail, and not seem to have arrived. */
void fcgi_conn_after_request(struct fcgi_conn *c) {
    if (c->given_up && !c->closing && !c->nrequests)
        ending_begins(c);
    if (!c->closing || c->nrequests)
        fcgi_conn_tell_rest(c);
    else if (c->unread || !fcgi_decoder_idle(&c->decoder))
        conn_finish(&c->conn, CONN_DONE, CONN_END_DRAIN);
    else
        conn_finish(&c->conn, CONN_DONE, c->not_kept ? CONN_END_PART : CONN_END_CLOSE);
}

/* Whether it is to be dropped. One that waits for a thread is taken off the queue then. */
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

/* The peer sends nothing more, or cannot be answered any more: drops the requests of which not everything came, and those
 * that wait, when what waits is to be dropped (abandon_drops). */
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
static void tell_all(struct conn *conn) {
    struct fcgi_request *q;
    TAILQ_FOREACH(q, &conn_of(conn)->requests, link) {
        abandon_tell(conn, &q->x.r);
    }
}

/* Requests of which not everything came are dropped. The others are told, and end by themselves. */
static void on_gone(struct conn *conn) {
    struct fcgi_conn *c = conn_of(conn);
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
    struct fcgi_conn *c = conn_of(conn);
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
    tell_all(conn);
    fcgi_conn_after_request(c);
}

/* A reader has come to what was held of its body. */
static void on_room(struct conn *conn) {
    struct fcgi_conn *c = conn_of(conn);
    struct fcgi_request *q;
    TAILQ_FOREACH(q, &c->requests, link) {
        if (exchange_has_room(&q->x))
            fcgi_request_let_go(q);
    }
}

/* The connection is paused for bodies that wait for their readers. The peer is not to blame; but who has read nothing for
 * so long does not hold up the other requests of the connection any more, and gives the room on the disk to others. */
static void expire_held(struct fcgi_conn *c) {
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
    struct fcgi_conn *c = conn_of(conn);
    struct fcgi_request *q;
    if (conn->paused) {
        expire_held(c);
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
    struct fcgi_conn *c = conn_of(conn);
    struct fcgi_request *only = TAILQ_FIRST(&c->requests);
    return c->closing && c->nrequests == 1 && only->stdin_read;
}

/* What was answered meanwhile, and is not read to its end, has had no time to be. */
static void on_drained(struct conn *conn) {
    struct fcgi_conn *c = conn_of(conn);
    struct fcgi_request *q;
    TAILQ_FOREACH(q, &c->requests, link) {
        if (q->state == FCGI_STDIN_STATE)
            fcgi_request_stdin_goes_on(q);
    }
    fcgi_conn_tell_rest(c);
}

/* The web server's word, unless it tells of a proxy and more of it was to come. */
static void on_client(const struct conn *conn, const struct request *r, union peer_address *client) {
    const struct fcgi_conn *c = (const struct fcgi_conn *)(const void *)conn;
    union peer_address remote;
    if (r && who_read_remote(&r->params, &remote) && !(c->trusted && peer_is_proxy(&conn->lane->config, &remote)))
        *client = remote;
}

static void on_running(const struct conn *conn, conn_visit *visit, void *arg) {
    const struct fcgi_request *q;
    TAILQ_FOREACH(q, &((const struct fcgi_conn *)(const void *)conn)->requests, link) {
        if (q->state == FCGI_JOB_STATE && !q->x.r.job.queued)
            visit(conn, q->x.id, &q->x.r, arg);
    }
}

static void conn_free(struct fcgi_conn *c) {
    conn_alloc_fini(&c->conn);
    free(c);
}

static void on_free(struct conn *conn) {
    struct fcgi_conn *c = conn_of(conn);
    struct fcgi_lane *fcgi = c->fcgi;
    if (fcgi->nconns < LANE_POOL_MAX) {
        LIST_INSERT_HEAD(&fcgi->conns, c, free);
        fcgi->nconns++;
    } else
        conn_free(c);
}

static void on_stop(struct conn *conn) {
    struct fcgi_conn *c = conn_of(conn);
    if (conn->state != CONN_OPEN)
        return;
    c->closing = true;
    conn_ref(conn);
    if (!conn->paused)
        conn_read(conn);
    if (conn->used && !c->nrequests && fcgi_decoder_idle(&c->decoder))
        conn_finish(conn, CONN_STOPPING, CONN_END_CLOSE);
    conn_unref(conn);
}

static void on_end(struct conn *conn) {
    struct fcgi_conn *c = conn_of(conn);
    if (find_stalled(c, CONN_STOP_SECONDS, false))
        (void)conn_catch_up(conn);
    end_stalled(c, CONN_STOP_SECONDS, false);
}

static const struct conn_ops fcgi_conn_ops = {
    .input = on_input,
    .lost = tell_all,
    .gone = on_gone,
    .half_closed = on_half_closed,
    .idle = on_idle,
    .complete = on_complete,
    .drained = on_drained,
    .room = on_room,
    .stop = on_stop,
    .end = on_end,
    .client = on_client,
    .running = on_running,
    .free = on_free,
};

/* What the lane asks of the front end. */

static void fcgi_accept(void *state, int fd, const struct listener *l, const struct sockaddr *peer, socklen_t len) {
    struct fcgi_lane *fcgi = state;
    struct lane *lane = fcgi->lane;
    struct fcgi_conn *c = LIST_FIRST(&fcgi->conns);
    if (c) {
        LIST_REMOVE(c, free);
        fcgi->nconns--;
    } else {
        c = calloc(1, sizeof *c);
        if (!c) {
            log_error("cannot accept a connection: out of memory");
            descriptors_close(fd);
            return;
        }
        conn_alloc_init(&c->conn);
    }
    c->fcgi = fcgi;
    c->decoder = (struct fcgi_decoder){0};
    c->values = (struct fcgi_values){0};
    c->closing = lane->stopping;
    c->nrequests = c->nbegun = 0;
    c->asked = c->unread = c->not_kept = c->given_up = c->goes_on = c->ending = false;
    c->trusted = peer_connection_is_trusted(&lane->config, l->is_unix, peer, len);
    c->stalls_looked_at = 0;
    TAILQ_INIT(&c->requests);
    conn_init(&c->conn, lane, fd, l->is_unix ? NULL : peer, &fcgi_conn_ops);
    conn_ref(&c->conn);
    conn_read(&c->conn);
    if (!c->conn.used)
        fcgi_conn_tell_rest(c);
    /* A request that came whole, on a connection that ends with it, is not polled: it is answered before the loop runs
     * again, or else that begins to poll it (lane.c). */
    if (c->conn.state == CONN_OPEN && !on_complete(&c->conn))
        conn_poll(&c->conn);
    conn_unref(&c->conn);
}

static void *fcgi_state_new(struct lane *lane) {
    struct fcgi_lane *fcgi = calloc(1, sizeof *fcgi);
    if (!fcgi)
        return NULL;
    fcgi->lane = lane;
    timeouts_init(&fcgi->silence, lane, SILENCE);
    timeouts_init(&fcgi->stall, lane, STALL);
    return fcgi;
}

static void fcgi_state_free(void *state) {
    struct fcgi_lane *fcgi = state;
    struct fcgi_conn *c;
    struct fcgi_request *q;
    while ((c = LIST_FIRST(&fcgi->conns))) {
        LIST_REMOVE(c, free);
        conn_free(c);
    }
    while ((q = LIST_FIRST(&fcgi->requests))) {
        LIST_REMOVE(q, free);
        fcgi_request_free(q);
    }
    free(fcgi);
}

const struct protocol fcgi_protocol = {
    .state_new = fcgi_state_new, .state_free = fcgi_state_free, .accept = fcgi_accept};
