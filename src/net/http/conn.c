#include "config.h"

#include "net/http/conn.h"

#include "base/descriptors.h"
#include "base/log.h"
#include "net/http/answer.h"
#include "net/http/pace.h"
#include "net/http/request.h"
#include "net/lane_impl.h"
#include "net/who.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    BODY_WINDOW_SECONDS = 30, /* without --header-timeout */
    PIPELINE_MAX = 65536      /* bytes behind the request in work that are kept; what comes then waits in the socket */
};

HTTP_REASONS(CONN_REASON_DEFINE)

static void head_late(struct timeout *to);

static struct http_conn *conn_of(struct conn *c) {
    return (struct http_conn *)(void *)((char *)c - offsetof(struct http_conn, conn));
}

static const struct lane_config *config_of(const struct http_conn *c) {
    return &c->conn.lane->config;
}

/* Waiting for a header section. */

static void wait_begins(struct http_conn *c) {
    if (!c->waiting)
        timeout_begins(&c->conn.lane->headers, &c->timeout, &c->conn, head_late);
    c->waiting = true;
}

static void wait_ends(struct http_conn *c) {
    if (c->waiting)
        timeout_ends(&c->conn.lane->headers, &c->timeout);
    c->waiting = false;
}

/* A request that did not get as far as being one is answered, and the connection ends: nobody knows what follows. */
static struct http_request *early_request(struct http_conn *c) {
    struct http_request *q = http_request_new(c);
    wait_ends(c);
    if (!q) {
        conn_close(&c->conn, CONN_NO_MEMORY);
        return NULL;
    }
    body_begin(&q->x.r.body, 0);
    q->wire.ended = q->input_bad = true;
    return q;
}

static void refuse_early(struct http_conn *c, enum refusal why) {
    struct http_request *q = early_request(c);
    if (q)
        http_request_refuse(q, why);
}

static void refuse_malformed(struct http_conn *c, const char *why) {
    struct http_request *q = early_request(c);
    if (q)
        http_request_refuse_as(q, "400 Bad Request", why);
}

/* Input. Each function takes bytes from *pos on, and returns whether there may be more for another one to do. */

/* What speaks another protocol says so with its first byte, and would not understand an answer. */
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
        wait_ends(c);
        conn_close(&c->conn, CONN_BAD_PROXY);
        return false;
    }
}

/* Whether the peer has yet to take answers. A note of the running thread about it may still be on its way: then one
 * request more is begun. */
static bool owes_output(struct http_conn *c) {
    return ev_is_active(&c->conn.write_io);
}

static bool feed_idle(struct http_conn *c, const char **pos, const char *end) {
    /* Who sends requests and reads no answers does not make them pile up here. */
    if (*pos == end || owes_output(c))
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

/* Fills the request from a whole header section. Returns false when it was refused. */
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
    if (c->peer.trusted)
        peer_set_prefix(&said, params, &q->x.r.vars.script_name);
    bool last = config->keepalive_requests && c->nbegun >= config->keepalive_requests;
    atomic_store_explicit(&q->keep, head.keep_alive && !last && !c->closing, memory_order_relaxed);
    body_begin(&q->x.r.body, head.content_length);
    q->x.refusal = result == CGI_OUTSIDE ? REFUSED_OUTSIDE : check_limits(config, &head);
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
        refuse_early(c, c->lines.nlines ? REFUSED_PARAMS_LARGE : REFUSED_LINE_LARGE);
        return false;
    }
    if (result == HTTP_LINES_MORE)
        return false;
    wait_ends(c);
    struct http_request *q = http_request_new(c);
    if (!q) {
        conn_close(&c->conn, CONN_NO_MEMORY);
        return false;
    }
    *pos += c->scanned;
    c->state = HTTP_BODY_STATE;
    if (take_head(q, data, c->scanned)) {
        http_request_maybe_start(q);
        /* All of the body is to come first. Who has sent some of it does not wait (RFC 9110, 10.1.1). */
        if (c->state == HTTP_BODY_STATE && atomic_load_explicit(&q->owes_continue, memory_order_relaxed))
            begin_body(q, *pos == end);
    }
    return true;
}

/* Nothing more of the body can be taken: it is answered (http_request_maybe_start), unless the application runs and reads
 * an error. */
static void body_failed(struct http_request *q, enum refusal why) {
    struct http_conn *c = q->c;
    q->x.refusal = why;
    if (c->state == HTTP_JOB_STATE && exchange_cancel(&q->x))
        c->state = HTTP_BODY_STATE;
    else if (c->state == HTTP_JOB_STATE)
        exchange_log_body(&q->x, why);
    /* What still comes of it is read for nothing: the peer may send all before it reads. */
    atomic_store(&q->keep, false);
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
        body_failed(q, exchange_body_refusal(status));
}

/* The rest of the body does not come, or not as it should. Reading it ends with `error`. */
static void cut_body(struct http_request *q, int error, enum refusal why) {
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

static void malformed_body(struct http_request *q, const char *why) {
    struct http_conn *c = q->c;
    http_pace_ends(q);
    q->input_bad = true;
    atomic_store(&q->keep, false);
    if (c->state == HTTP_BODY_STATE)
        http_request_refuse_as(q, "400 Bad Request", why);
    else if (c->state == HTTP_JOB_STATE) {
        refusal_log_as(&c->conn, "400 Bad Request", why, c->nbegun, &q->x.r);
        body_cut(&q->x.r.body, EPROTO);
    } else
        conn_close(&c->conn, CONN_DRAINED);
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
        cut_body(q, ETIMEDOUT, why);
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
        malformed_body(q, why);
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

/* Deals with as much of the bytes as it can. Returns how much that is. */
static size_t feed(struct http_conn *c, const char *data, size_t len) {
    const char *pos = data;
    while (http_conn_works(c) && feed_one(c, &pos, data + len))
        ;
    if (c->conn.state == CONN_OPEN && c->state == HTTP_HEAD_STATE)
        wait_begins(c);
    return http_conn_works(c) ? (size_t)(pos - data) : len;
}

static void feed_kept(struct http_conn *c) {
    size_t used = feed(c, buf_head(&c->in), buf_len(&c->in));
    /* Ending the connection empties the buffer. */
    buf_consume(&c->in, used < buf_len(&c->in) ? used : buf_len(&c->in));
    if (!buf_len(&c->in))
        buf_reset(&c->in, REQUEST_KEEP_BYTES);
}

/* Nothing more comes than what is there by now. */
static void input_ends(struct http_conn *c) {
    if (c->state == HTTP_DRAIN_STATE) { /* what is left belongs to a body that was cut off */
        http_request_release(c->q);
        http_conn_finish(c, CONN_EOF, CONN_END_CLOSE);
        return;
    }
    if (!c->q && owes_output(c) && buf_len(&c->in))
        return; /* on_drained goes on */
    if (!c->q) {
        wait_ends(c);
        http_conn_finish(c, CONN_EOF, CONN_END_CLOSE);
    } else if (!c->q->wire.ended && !c->q->input_bad)
        cut_body(c->q, ECONNABORTED, REFUSED_BODY_SHORT);
}

/* How it stands with the connection, for when others need its place. */
static void tell_rest(struct http_conn *c) {
    bool empty = !buf_len(&c->in);
    enum conn_rest rest = CONN_BUSY;
    if (c->conn.state == CONN_OPEN && (c->state == HTTP_IDLE_STATE || c->state == HTTP_PROXY_STATE))
        rest = empty ? CONN_RESTING : owes_output(c) ? CONN_BUSY : CONN_BEGUN;
    else if (c->conn.state == CONN_OPEN && c->state == HTTP_HEAD_STATE)
        rest = CONN_BEGUN;
    conn_set_rest(&c->conn, rest);
}

static void go_on(struct http_conn *c) {
    if (!http_conn_works(c) || c->state == HTTP_ENDED_STATE)
        return;
    if (buf_len(&c->in))
        feed_kept(c);
    if (http_conn_works(c) && c->conn.read_ended)
        input_ends(c);
    if (c->conn.state == CONN_OPEN && c->conn.paused && !(c->q && c->q->x.body_held) &&
        (c->state == HTTP_HEAD_STATE || buf_len(&c->in) < PIPELINE_MAX)) /* a head has a bound of its own */
        conn_resume(&c->conn);
}

void http_conn_go_on(struct http_conn *c) {
    go_on(c);
    tell_rest(c);
}

/* The end of a request, and of the connection. */

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

/* What the connection asks of the front end. */

static bool take_input(struct conn *conn, const uint8_t *bytes, size_t len) {
    struct http_conn *c = conn_of(conn);
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
        feed_kept(c);
    /* A header section has a bound of its own. */
    if (conn->state == CONN_OPEN && c->state != HTTP_HEAD_STATE && buf_len(&c->in) >= PIPELINE_MAX)
        conn_pause(conn);
    return conn->state == CONN_OPEN;
}

static bool on_input(struct conn *conn, const uint8_t *bytes, size_t len) {
    bool open = take_input(conn, bytes, len);
    tell_rest(conn_of(conn));
    return open;
}

static void on_lost(struct conn *conn) {
    struct http_request *q = conn_of(conn)->q;
    if (q)
        abandon_tell(conn, &q->x.r);
}

/* Its client may have left: a request that waits for a thread may be one to drop. Returns whether it was. */
static bool drop_waiting(struct http_request *q) {
    const struct conn *c = &q->c->conn;
    bool whole = body_whole(&q->x.r.body);
    if (!(abandon_drops(c) || (c->lost && !whole)) || !exchange_cancel(&q->x))
        return false;
    http_request_drop(q, whole ? DROPPED_WAITING : DROPPED_CUT);
    return true;
}

static void on_half_closed(struct conn *conn) {
    struct http_conn *c = conn_of(conn);
    if (c->state == HTTP_JOB_STATE && !drop_waiting(c->q))
        abandon_tell(conn, &c->q->x.r);
    http_conn_go_on(c);
}

/* A request whose rest does not come, so that nothing can be behind it. */
static void gone_in_body(struct http_request *q) {
    http_pace_ends(q);
    http_request_let_go(q);
    q->input_bad = true;
    body_cut(&q->x.r.body, ECONNRESET);
}

/* A running application learns that nobody waits for its answer any more. */
static void on_gone(struct conn *conn) {
    struct http_conn *c = conn_of(conn);
    struct http_request *q = c->q;
    wait_ends(c);
    if (!conn->left)
        buf_reset(&c->in, 0);
    if (c->state == HTTP_ENDED_STATE)
        return;
    if (c->state == HTTP_DRAIN_STATE) {
        c->state = HTTP_ENDED_STATE;
        http_request_release(q);
    } else if (c->state == HTTP_BODY_STATE)
        http_request_drop(q, DROPPED_CUT);
    else if (c->state == HTTP_JOB_STATE && !drop_waiting(q)) {
        abandon_tell(conn, &q->x.r);
        if (!q->wire.ended)
            gone_in_body(q);
    }
    http_conn_go_on(c);
}

static void on_drained(struct conn *conn) {
    http_conn_go_on(conn_of(conn));
}

/* The reader has come to what was held of the body. */
static void on_room(struct conn *conn) {
    struct http_request *q = conn_of(conn)->q;
    if (q && exchange_has_room(&q->x))
        http_request_let_go(q);
}

/* The body waits for its reader, not for the peer. Who has read nothing for so long gives the room on the disk to
 * others. */
static void held_idle(struct http_request *q) {
    if (!exchange_stands_still(&q->x))
        return;
    exchange_give_up_body(&q->x);
    http_request_let_go(q);
    body_failed(q, REFUSED_NO_SPOOL);
    http_request_maybe_start(q);
}

static const struct conn_reason *on_idle(struct conn *conn) {
    struct http_conn *c = conn_of(conn);
    struct http_request *q = c->q;
    if (q && q->x.body_held) {
        held_idle(q);
        return CONN_DONE;
    }
    switch (c->state) {
    case HTTP_IDLE_STATE:
        return CONN_IDLE;
    case HTTP_HEAD_STATE:
        refuse_early(c, REFUSED_HEAD_STALLED);
        return CONN_DONE;
    case HTTP_BODY_STATE:
    case HTTP_JOB_STATE:
        if (!q->wire.ended && !q->input_bad && !atomic_load(&q->owes_continue))
            cut_body(q, ETIMEDOUT, REFUSED_BODY_STALLED);
        return CONN_DONE;
    default:
        return CONN_SLOW_REQUEST;
    }
}

static void head_late(struct timeout *to) {
    struct http_conn *c = (struct http_conn *)(void *)((char *)to - offsetof(struct http_conn, timeout));
    wait_ends(c);
    if (c->state == HTTP_HEAD_STATE) {
        refuse_early(c, REFUSED_PARAMS_LATE);
    } else
        /* Not 408: a browser that opened a connection in advance would show it as the answer to its next request. */
        conn_close(&c->conn, c->state == HTTP_PROXY_STATE && buf_len(&c->in) ? CONN_BAD_PROXY : CONN_NO_REQUEST);
}

static bool on_complete(struct conn *conn) {
    struct http_conn *c = conn_of(conn);
    return c->state == HTTP_JOB_STATE && c->q->wire.ended && !atomic_load(&c->q->keep);
}

static void on_stop(struct conn *conn) {
    struct http_conn *c = conn_of(conn);
    if (conn->state != CONN_OPEN)
        return;
    conn_ref(conn);
    if (!conn->paused && !conn->read_ended)
        conn_read(conn);
    /* What has come of a client that has ended its side is all that comes of it, and nobody may be there to be told that
     * some of it is not dealt with: the connection ends by itself. */
    if (conn->state == CONN_OPEN && !conn->read_ended) {
        c->closing = true;
        if (c->q)
            atomic_store(&c->q->keep, false);
        if (c->nbegun && c->state == HTTP_IDLE_STATE)
            http_conn_finish(c, CONN_STOPPING, CONN_END_CLOSE);
    }
    conn_unref(conn);
}

/* Whether the lane, which stops, has waited long enough for more of a body. */
static bool is_stalled(const struct http_conn *c) {
    ev_tstamp silent = lane_now(c->conn.lane) - c->conn.active_at;
    if (c->conn.state != CONN_OPEN)
        return false;
    return (c->state == HTTP_BODY_STATE && silent >= CONN_STOP_SECONDS && !c->q->wire.ended && !c->q->input_bad) ||
           (c->state == HTTP_DRAIN_STATE && silent >= CONN_PART_SECONDS);
}

static void on_end(struct conn *conn) {
    struct http_conn *c = conn_of(conn);
    if (is_stalled(c))
        (void)conn_catch_up(conn);
    if (!is_stalled(c))
        return;
    if (c->state == HTTP_DRAIN_STATE)
        conn_close(conn, CONN_DRAINED);
    else
        cut_body(c->q, ETIMEDOUT, REFUSED_BODY_STALLED);
}

/* The peer, or whom a PROXY header tells of. What a proxy says in fields is in the parameters, when these are complete. */
static void on_client(const struct conn *conn, const struct request *r, union peer_address *client) {
    const struct http_conn *c = (const struct http_conn *)(const void *)conn;
    if ((!r || !who_read_remote(&r->params, client)) && !c->peer.trusted && c->peer.address.ss_family != AF_UNIX)
        memcpy(client, &c->peer.address, sizeof *client);
}

static void on_running(const struct conn *conn, conn_visit *visit, void *arg) {
    const struct http_conn *c = (const struct http_conn *)(const void *)conn;
    if (c->state == HTTP_JOB_STATE && !c->q->x.r.job.queued)
        visit(conn, c->nbegun, &c->q->x.r, arg);
}

static void conn_free(struct http_conn *c) {
    conn_alloc_fini(&c->conn);
    buf_fini(&c->in);
    free(c);
}

static void on_free(struct conn *conn) {
    struct http_conn *c = conn_of(conn);
    struct http_lane *http = c->http;
    buf_reset(&c->in, 0);
    if (http->nconns < LANE_POOL_MAX) {
        LIST_INSERT_HEAD(&http->conns, c, free);
        http->nconns++;
    } else
        conn_free(c);
}

static const struct conn_ops http_conn_ops = {
    .input = on_input,
    .lost = on_lost,
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

static struct http_conn *http_conn_new(struct http_lane *http) {
    struct http_conn *c = LIST_FIRST(&http->conns);
    if (c) {
        LIST_REMOVE(c, free);
        http->nconns--;
        return c;
    }
    c = calloc(1, sizeof *c);
    if (c)
        conn_alloc_init(&c->conn);
    return c;
}

static void http_accept(void *state, int fd, const struct listener *l, const struct sockaddr *peer, socklen_t len) {
    struct http_lane *http = state;
    struct lane *lane = http->lane;
    struct http_conn *c = http_conn_new(http);
    if (!c) {
        log_error("cannot accept a connection: out of memory");
        descriptors_close(fd);
        return;
    }
    c->http = http;
    http_peer_init(&c->peer, &lane->config, fd, l->is_unix, peer, len);
    c->state = lane->config.proxy_protocol && c->peer.trusted ? HTTP_PROXY_STATE : HTTP_IDLE_STATE;
    c->q = NULL;
    c->waiting = c->skipped_line = false;
    c->closing = lane->stopping;
    c->nbegun = 0;
    conn_init(&c->conn, lane, fd, l->is_unix ? NULL : peer, &http_conn_ops);
    conn_ref(&c->conn);
    conn_read(&c->conn);
    tell_rest(c);
    if (c->conn.state == CONN_OPEN) {
        if (!c->q && !c->nbegun)
            wait_begins(c);
        if (!on_complete(&c->conn))
            conn_poll(&c->conn);
    }
    conn_unref(&c->conn);
}

static void *http_state_new(struct lane *lane) {
    struct http_lane *http = calloc(1, sizeof *http);
    double window = lane->config.header_timeout;
    if (!http)
        return NULL;
    http->lane = lane;
    timeouts_init(&http->bodies, lane, window > 0 ? window : BODY_WINDOW_SECONDS);
    return http;
}

static void http_state_free(void *state) {
    struct http_lane *http = state;
    struct http_conn *c;
    struct http_request *q;
    while ((c = LIST_FIRST(&http->conns))) {
        LIST_REMOVE(c, free);
        conn_free(c);
    }
    while ((q = LIST_FIRST(&http->requests))) {
        LIST_REMOVE(q, free);
        http_request_free(q);
    }
    free(http);
}

const struct protocol http_protocol = {
    .state_new = http_state_new, .state_free = http_state_free, .accept = http_accept};
