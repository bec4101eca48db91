#include "config.h"

#include "net/http/input.h"

#include "net/http/answer.h"
#include "net/http/pace.h"
#include "net/http/request.h"
#include "net/lane_impl.h"
#include "net/status_path.h"
#include "proto/http_token.h"

#include <errno.h>
#include <string.h>

static void head_late(struct timeout *to);

static const struct lane_config *config_of(const struct http_conn *c) {
    return &c->conn.lane->config;
}

/* Waiting for a header section. */

void http_head_wait_begins(struct http_conn *c) {
    if (!c->waiting)
        timeout_begins(&c->conn.lane->headers, &c->timeout, &c->conn, head_late);
    c->waiting = true;
}

void http_head_wait_ends(struct http_conn *c) {
    if (c->waiting)
        timeout_ends(&c->conn.lane->headers, &c->timeout);
    c->waiting = false;
}

/* A request that cannot be parsed is answered, and the connection ends: nobody knows what follows. */
static struct http_request *early_request(struct http_conn *c) {
    struct http_request *q = http_request_new(c);
    http_head_wait_ends(c);
    if (!q) {
        conn_close(&c->conn, CONN_NO_MEMORY);
        return NULL;
    }
    body_begin(&q->x.r.body, 0);
    q->wire.ended = q->input_bad = true;
    return q;
}

void http_refuse_head(struct http_conn *c, enum refusal why) {
    struct http_request *q = early_request(c);
    if (q)
        http_request_refuse(q, why);
}

static void refuse_malformed(struct http_conn *c, const char *why) {
    struct http_request *q = early_request(c);
    if (q)
        http_request_refuse_as(q, "400 Bad Request", why);
}

/* Input. Each function takes bytes from *pos on, and returns whether the next one may have something to do. */

/* Another protocol shows in its first byte, and its client would not understand an answer. */
static void refuse_first(struct http_conn *c, char first) {
    switch (first) {
    case 0x16: /* a handshake (RFC 8446, 5.1) */
        conn_close(&c->conn, CONN_SPEAKS_TLS);
        break;
    case 0x01: /* FCGI_VERSION_1 */
        conn_close(&c->conn, CONN_SPEAKS_FASTCGI);
        break;
    default:
        refuse_malformed(c, "the request does not begin with a method");
        break;
    }
}

static bool feed_proxy(struct http_conn *c, const char **pos, const char *end) {
    struct proxy_header header;
    size_t used = 0;
    switch (proxy_header_parse(*pos, (size_t)(end - *pos), &header, &used)) {
    case PROXY_MORE:
        return false;
    case PROXY_OK:
        http_peer_proxied(&c->peer, config_of(c), &header);
        *pos += used;
        c->state = HTTP_IDLE_STATE;
        return true;
    default:
        http_head_wait_ends(c);
        conn_close(&c->conn, CONN_BAD_PROXY);
        return false;
    }
}

static bool feed_idle(struct http_conn *c, const char **pos, const char *end) {
    /* A client that sends requests and reads no answers must not make them pile up here; one more may begin. */
    if (*pos == end || conn_is_unsent(&c->conn))
        return false;
    /* RFC 9112, 2.2: one empty line may come first. */
    if (**pos == '\r' && !c->skipped_line) {
        if (end - *pos < 2)
            return false;
        if ((*pos)[1] == '\n') {
            c->skipped_line = true;
            *pos += 2;
            return true;
        }
    }
    if (!http_is_token_char(**pos)) {
        refuse_first(c, **pos);
        return false;
    }
    c->state = HTTP_HEAD_STATE;
    c->lines = (struct http_lines){0};
    c->scanned = 0;
    return true;
}

static enum refusal check_limits(const struct lane_config *config, const struct http_head *head) {
    if (head->nfields > config->limit_param_count)
        return REFUSED_PARAMS_MANY;
    if (config->body.total && head->content_length > 0 && (uint64_t)head->content_length > config->body.total)
        return REFUSED_BODY_LARGE;
    return NOT_REFUSED;
}

static __attribute__((noinline)) enum refusal look_for_status(struct http_request *q, bool believed) {
    const struct http_peer *peer = &q->c->peer;
    return status_path_look(&q->x, peer->unknown                        ? STATUS_CLIENT_UNKNOWN
                                   : believed                           ? STATUS_CLIENT_BELIEVED
                                   : peer->address.ss_family == AF_UNIX ? STATUS_CLIENT_LOCAL
                                   : peer->proxied                      ? STATUS_CLIENT_NAMED
                                                                        : STATUS_CLIENT_PEER);
}

/* Fills the request from a complete header section. Returns false if it was refused, or the connection closed. */
static bool take_head(struct http_request *q, const char *data, size_t len) {
    struct http_conn *c = q->c;
    const struct lane_config *config = config_of(c);
    struct buf *params = &q->x.r.params;
    struct slice prefix = {config->script_name, strlen(config->script_name)};
    struct http_head head;
    struct http_refusal refusal;
    struct peer_said said;
    q->wire.ended = true;
    body_begin(&q->x.r.body, 0);
    if (buf_reserve(params, http_params_max(len) + HTTP_PEER_PARAMS_MAX)) {
        conn_close(&c->conn, CONN_NO_MEMORY);
        return false;
    }
    if (!http_parse_head(data, len, &head, buf_tail(params), &params->end, &q->wire, &refusal)) {
        q->input_bad = true;
        http_request_refuse_as(q, refusal.status, refusal.why);
        return false;
    }
    q->head_only = head.head_only;
    q->minor = head.minor;
    if (http_peer_params(&c->peer, config, &head, params, &said)) {
        conn_close(&c->conn, CONN_NO_MEMORY);
        return false;
    }
    enum cgi_result result = cgi_scan(buf_head(params), buf_len(params), prefix, &c->conn.lane->memo, &q->x.r.vars);
    if (result == CGI_MALFORMED) {
        q->x.r.vars = (struct cgi_vars){.bad = q->x.r.vars.bad};
        q->input_bad = true;
        http_request_refuse(q, REFUSED_MALFORMED);
        return false;
    }
    exchange_identify(&q->x);
    if (c->peer.trusted)
        peer_set_prefix(&said, params, &q->x.r.vars.script_name);
    bool last =
        (config->keepalive_requests && c->nbegun >= config->keepalive_requests) || lane_is_leaving(c->conn.lane);
    atomic_store_explicit(&q->keep, head.keep_alive && !last && !c->closing, memory_order_relaxed);
    body_begin(&q->x.r.body, head.content_length);
    if (config->status_path)
        q->x.refusal = look_for_status(q, c->peer.trusted && said.known);
    if (!q->x.refusal)
        q->x.refusal = result == CGI_OUTSIDE && !q->x.status ? REFUSED_OUTSIDE : check_limits(config, &head);
    atomic_store_explicit(&q->owes_continue, head.expects_continue, memory_order_relaxed);
    return true;
}

static void begin_body(struct http_request *q, bool waits) {
    if (waits)
        http_send_continue(q);
    else
        atomic_store_explicit(&q->owes_continue, false, memory_order_relaxed);
}

static bool feed_head(struct http_conn *c, const char **pos, const char *end) {
    const char *data = *pos;
    size_t used = 0;
    enum http_lines_result result =
        http_lines_scan(&c->lines, data + c->scanned, (size_t)(end - data) - c->scanned, &used);
    c->scanned += used;
    if (result != HTTP_LINES_MORE && result != HTTP_LINES_END) {
        refuse_malformed(c, http_lines_problem(result));
        return false;
    }
    if (c->scanned > config_of(c)->limit_params) {
        http_refuse_head(c, c->lines.nlines ? REFUSED_PARAMS_LARGE : REFUSED_LINE_LARGE);
        return false;
    }
    if (result == HTTP_LINES_MORE)
        return false;
    http_head_wait_ends(c);
    struct http_request *q = http_request_new(c);
    if (!q) {
        conn_close(&c->conn, CONN_NO_MEMORY);
        return false;
    }
    *pos += c->scanned;
    c->state = HTTP_BODY_STATE;
    if (take_head(q, data, c->scanned)) {
        http_request_maybe_start(q);
        /* The whole body is to come before the call. A client that has sent some of it does not wait (RFC 9110,
         * 10.1.1). */
        if (c->state == HTTP_BODY_STATE && atomic_load_explicit(&q->owes_continue, memory_order_relaxed))
            begin_body(q, *pos == end);
    }
    return true;
}

/* http_body_decode hands these bytes on. */
static void take_body(void *arg, const char *data, size_t len) {
    struct http_request *q = arg;
    struct http_conn *c = q->c;
    q->came += len;
    if (c->state == HTTP_DRAIN_STATE) {
        q->x.dropped += len;
        return;
    }
    if (q->x.r.body.complete)
        return;
    enum body_status status = exchange_take_body(&q->x, c->state == HTTP_JOB_STATE, data, len);
    if (status == BODY_OK)
        http_request_let_go(q); /* it is complete */
    else if (status != BODY_HELD)
        http_request_body_failed(q, exchange_body_refusal(status));
}

/* The end of a window of time in which the peer was to send some of the body. */
static void body_late(struct timeout *to) {
    struct http_request *q = http_pace_request(to);
    enum refusal why = http_pace_look(q);
    if (!why)
        http_pace_begins(q, body_late);
    else if (q->c->state == HTTP_DRAIN_STATE)
        conn_close(&q->c->conn, CONN_DRAINED);
    else
        http_request_cut_body(q, ETIMEDOUT, why);
}

static bool feed_body(struct http_conn *c, const char **pos, const char *end) {
    struct http_request *q = c->q;
    const char *why = NULL;
    if (q->wire.ended)
        return false;
    if (q->input_bad)
        *pos = end;
    else if (*pos == end)
        http_pace_begins(q, body_late);
    if (*pos == end)
        return false;
    enum http_body_result result = http_body_decode(&q->wire, pos, end, take_body, q, &why);
    if (result == HTTP_BODY_BAD) {
        http_request_body_malformed(q, why);
        return false;
    }
    if (c->state == HTTP_DRAIN_STATE) {
        if (result == HTTP_BODY_END) {
            http_request_release(q);
            http_conn_become_idle(c);
        } else if (q->x.dropped > HTTP_DRAIN_MAX)
            conn_close(&c->conn, CONN_DRAINED);
        return true;
    }
    if (result == HTTP_BODY_END) {
        http_pace_ends(q);
        http_request_let_go(q);
        body_end(&q->x.r.body);
    }
    http_request_maybe_start(q);
    return true;
}

static bool feed_one(struct http_conn *c, const char **pos, const char *end) {
    switch (c->state) {
    case HTTP_PROXY_STATE:
        return feed_proxy(c, pos, end);
    case HTTP_IDLE_STATE:
        return feed_idle(c, pos, end);
    case HTTP_HEAD_STATE:
        return feed_head(c, pos, end);
    case HTTP_BODY_STATE:
    case HTTP_JOB_STATE:
    case HTTP_DRAIN_STATE:
        return feed_body(c, pos, end);
    case HTTP_ENDED_STATE:
        break;
    }
    return false;
}

/* Handles as many of the bytes as it can. Returns how many. */
static size_t feed(struct http_conn *c, const char *data, size_t len) {
    const char *pos = data;
    while (http_conn_works(c) && feed_one(c, &pos, data + len))
        ;
    if (c->conn.state == CONN_OPEN && c->state == HTTP_HEAD_STATE)
        http_head_wait_begins(c);
    return http_conn_works(c) ? (size_t)(pos - data) : len;
}

void http_take_kept(struct http_conn *c) {
    size_t used = feed(c, buf_head(&c->in), buf_len(&c->in));
    /* Ending the connection empties the buffer. */
    buf_consume(&c->in, used < buf_len(&c->in) ? used : buf_len(&c->in));
    if (!buf_len(&c->in))
        buf_reset(&c->in, REQUEST_KEEP_BYTES);
}

static bool take_input(struct conn *conn, const uint8_t *bytes, size_t len) {
    struct http_conn *c = http_conn_of(conn);
    const char *data = (const char *)bytes;
    size_t used = 0;
    bool kept = buf_len(&c->in) > 0;
    if (!kept)
        used = feed(c, data, len);
    if (conn->state != CONN_OPEN)
        return false;
    if (used < len && buf_append(&c->in, data + used, len - used)) {
        conn_close(conn, CONN_NO_MEMORY);
        return false;
    }
    if (kept)
        http_take_kept(c);
    /* A header section has a bound of its own. */
    if (conn->state == CONN_OPEN && c->state != HTTP_HEAD_STATE && buf_len(&c->in) >= HTTP_PIPELINE_MAX)
        conn_pause(conn);
    return conn->state == CONN_OPEN;
}

bool http_take_input(struct conn *conn, const uint8_t *bytes, size_t len) {
    bool open = take_input(conn, bytes, len);
    http_conn_tell_rest(http_conn_of(conn));
    return open;
}

static void head_late(struct timeout *to) {
    struct http_conn *c = (struct http_conn *)(void *)((char *)to - offsetof(struct http_conn, timeout));
    http_head_wait_ends(c);
    if (c->state == HTTP_HEAD_STATE) {
        http_refuse_head(c, REFUSED_PARAMS_LATE);
    } else
        /* Not 408: a browser that opened a connection in advance would show it as the answer to its next request. */
        conn_close(&c->conn, c->state == HTTP_PROXY_STATE && buf_len(&c->in) ? CONN_BAD_PROXY : CONN_NO_REQUEST);
}
