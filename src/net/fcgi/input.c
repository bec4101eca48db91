#include "config.h"

#include "net/fcgi/input.h"

#include "base/log.h"
#include "net/fcgi/peer.h"
#include "net/fcgi/request.h"
#include "net/fcgi/stall.h"
#include "net/lane_impl.h"
#include "net/peer.h"
#include "net/status_path.h"
#include "net/who.h"
#include "proto/fcgi_encode.h"

#include <errno.h>
#include <fastcgi.h>
#include <string.h>

enum {
    QUESTIONS_MAX = 1 << 20, /* bytes that may wait for a peer beyond its answers when it asks about the server */
    REQUESTS_FACTOR = 2      /* a peer that opens so many times more requests than it was told may is cut off */
};

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

/* Scans the parameters of a web server that is trusted about the client. Refuses the request if there is no memory.
 * Separate, so that it costs other web servers nothing. */
static __attribute__((noinline)) enum cgi_result scan_forwarded(struct fcgi_request *q, struct slice prefix,
                                                                bool *believed) {
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
    *believed = said.known;
    return result;
}

/* An authorizer is asked about other paths, too. */
static __attribute__((noinline)) enum refusal look_for_status(struct fcgi_request *q, bool believed) {
    if (q->x.r.role == REQUEST_AUTHORIZER)
        return NOT_REFUSED;
    return status_path_look(&q->x, believed                    ? STATUS_CLIENT_BELIEVED
                                   : q->x.r.vars.remote_addr.n ? STATUS_CLIENT_NAMED
                                                               : STATUS_CLIENT_UNKNOWN);
}

static enum refusal params_scan(struct fcgi_request *q) {
    const struct lane_config *config = &q->c->conn.lane->config;
    struct slice prefix = {config->script_name, strlen(config->script_name)};
    struct cgi_vars *vars = &q->x.r.vars;
    const char *params = buf_len(&q->x.r.params) ? buf_head(&q->x.r.params) : "";
    enum cgi_result result;
    bool believed = false;
    if (q->c->trusted)
        result = scan_forwarded(q, prefix, &believed);
    else
        result = cgi_scan(params, buf_len(&q->x.r.params), prefix, &q->c->conn.lane->memo, vars);
    if (result == CGI_MALFORMED) {
        *vars = (struct cgi_vars){.bad = vars->bad};
        return q->x.refusal ? q->x.refusal : REFUSED_MALFORMED;
    }
    if (vars->npairs > config->limit_param_count)
        return REFUSED_PARAMS_MANY;
    if (config->status_path) {
        enum refusal why = look_for_status(q, believed);
        if (why)
            return why;
    }
    /* An authorizer gets no STDIN and is told no length (FastCGI 1.0, 6.3). It is asked about other paths, too. */
    if (q->x.r.role == REQUEST_AUTHORIZER)
        vars->content_length = -1;
    else if (result == CGI_OUTSIDE && !q->x.status)
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
    exchange_identify(&q->x);
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

/* A CONTENT_LENGTH without a body: the web server has passed on that of another request, whose body it has kept (nginx:
 * auth_request with "fastcgi_pass_request_body off", error_page 413). The body of this request is empty, and the
 * application is told its true length. If it expected more, it would wait for it, or take the request for a broken
 * one. */
static void on_stdin_nothing(struct fcgi_request *q) {
    struct body *b = &q->x.r.body;
    bool called = q->state == FCGI_JOB_STATE, waits = q->state == FCGI_BODY_STATE || q->state == FCGI_BEHIND_STATE;
    if (!(called || waits) || q->stdin_ended || q->x.refusal || b->expected <= 0 || b->received || b->complete)
        return;
    body_begin_empty(b);
    if (waits || q->x.r.job.queued) /* else the application was told already (--stream-body) */
        q->x.r.vars.content_length = 0;
}

/* FastCGI 1.0, 5.4: the application ends the request as soon as it can; the id stays in use until END_REQUEST. A
 * request received in full is given to the application nevertheless. */
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
        exchange_note_drop(&q->x, DROPPED_WAITING);
    if (fcgi_request_is_behind(q)) {
        fcgi_request_set_state(q, FCGI_BEHIND_STATE);
        exchange_abort_body(&q->x, ECONNRESET);
    } else
        fcgi_request_abort(q);
}

/* Answers a management record. A peer that keeps asking and reads nothing is cut off early. */
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

/* Other protocols show in their first bytes. A user who has mixed up two ports, or two directives of the web server,
 * should read that in the log. */
static const struct conn_reason *name_protocol(const uint8_t *data, size_t len) {
    if (len > 1 && data[0] == 0x16 && data[1] == 3) /* a handshake, in its record (RFC 8446, 5.1) */
        return CONN_SPEAKS_TLS;
    if (len > 6 && !memcmp(data, "PROXY ", 6))
        return CONN_SPEAKS_PROXY;
    if (len > 0 && data[0] >= 'A' && data[0] <= 'Z' && memmem(data, len, " HTTP/", 6))
        return CONN_SPEAKS_HTTP;
    return CONN_NOT_FASTCGI;
}

bool fcgi_take_input(struct conn *conn, const uint8_t *data, size_t len) {
    struct fcgi_conn *c = fcgi_conn_of(conn);
    const uint8_t *begin = data, *end = data + len;
    struct fcgi_event e;
    while (conn->state == CONN_OPEN && (data < end || !fcgi_decoder_idle(&c->decoder)) &&
           !(conn->lane->retiring && fcgi_conn_settles(c, (size_t)(end - data))) &&
           fcgi_decode(&c->decoder, &data, end, &e) != FCGI_EVENT_MORE) {
        const struct conn_reason *reason = on_event(c, &e);
        if (reason != CONN_DONE) {
            conn_close(conn, reason == CONN_NOT_FASTCGI && !c->nbegun ? name_protocol(begin, len) : reason);
            break;
        }
    }
    if (conn->state == CONN_OPEN && conn->lane->retiring && fcgi_conn_settles(c, (size_t)(end - data)))
        fcgi_conn_settle(c, data, (size_t)(end - data));
    if (conn->state == CONN_OPEN && c->nrequests > 1)
        fcgi_stall_look(c);
    if (conn->state == CONN_OPEN && c->closing && !c->nrequests && fcgi_decoder_idle(&c->decoder))
        fcgi_conn_finish(c, CONN_DONE, CONN_END_DRAIN);
    else
        fcgi_conn_tell_rest(c);
    return conn->state == CONN_OPEN;
}
