/* A whole connection of HTTP/1.1 without Python (conn_rig.h): peers send requests and bodies, and anything else. */
#include "config.h"

/* A promise that is not kept is a finding. */
#undef NDEBUG
#include <assert.h>

#include "conn_rig.h"
#include "net/http/request.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *const texts[] = {
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /a/b?c=%20 HTTP/1.0\r\n\r\n",
    "HEAD / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 65536\r\nConnection: close\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 999999\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n",
    "0\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    ("GET http://b/ HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.7, ::1\r\nX-Forwarded-Proto: https\r\n"
     "X-Forwarded-Host: c:443\r\nForwarded: for=\"[2001:db8::1]:80\";proto=https;host=d\r\n\r\n"),
    "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "GET / HTTP/1.1\r\nX-Long: ",
    "\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
};

static const struct {
    const char *status, *lines;
} heads[] = {
    {"200 OK", ""},
    {"200 OK", "Content-Length: 100\r\n"},
    {"204 No Content", "Content-Length: 0\r\nX: y\r\n"},
    {"304 Not Modified", "Date: x\r\nServer: y\r\n"},
    {"200", "Content-Type: text/plain\r\n"},
};

static size_t nreceived[RIG_PEERS];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What holds between any two steps. */

static struct http_conn *http_of(struct conn *conn) {
    return (struct http_conn *)(void *)((char *)conn - offsetof(struct http_conn, conn));
}

static unsigned check_conn(struct conn *conn) {
    const struct http_conn *c = http_of(conn);
    const struct http_request *q = c->q;
    assert(conn->refs == 1 + (q != NULL) + rig_late_requests(conn));
    assert((conn->state == CONN_OPEN) == (c->state != HTTP_ENDED_STATE));
    assert(!c->waiting || c->state == HTTP_PROXY_STATE || c->state == HTTP_IDLE_STATE || c->state == HTTP_HEAD_STATE);
    assert((q != NULL) == (c->state == HTTP_BODY_STATE || c->state == HTTP_JOB_STATE || c->state == HTTP_DRAIN_STATE));
    assert(c->state != HTTP_HEAD_STATE || c->waiting);
    assert(conn->rest != CONN_BUSY || conn->state != CONN_OPEN || q || conn_blocked(conn));
    assert(conn->rest != CONN_BEGUN || !q);
    assert(conn->rest != CONN_RESTING || (!q && !buf_len(&c->in)));
    assert(!q || !q->paced || (!q->wire.ended && !q->input_bad));
    if (c->state == HTTP_BODY_STATE)
        assert(!q->wire.ended && !q->x.refusal && !request_has_enough(&q->x.r, rig.lane->config.stream_body));
    if (q && q->x.body_held)
        assert(c->state == HTTP_JOB_STATE && conn->paused && !q->x.r.body.complete);
    if (c->state == HTTP_DRAIN_STATE)
        assert(!q->wire.ended && q->kept);
    if (q && c->state != HTTP_JOB_STATE)
        assert(!q->x.r.job.queued && !q->x.r.thread);
    /* One piece that the loop reads may come on top of either bound. */
    assert(buf_len(&c->in) <= LANE_READ_BYTES + 65536 + rig.lane->config.limit_params);
    return c->waiting + (q && q->paced);
}

/* What was sent behind a request is dealt with as well. */
static void check_answered(struct conn *conn) {
    const struct http_conn *c = http_of(conn);
    assert(!conn->read_ended && !conn->paused);
    assert(c->state != HTTP_JOB_STATE);
    assert(!c->q || !c->q->wire.ended);
    assert(c->state == HTTP_PROXY_STATE || c->state == HTTP_IDLE_STATE || c->state == HTTP_HEAD_STATE ||
           !buf_len(&c->in));
}

/* The bodies that come began a long time ago. */
static void step_slow(void) {
    struct http_lane *http = rig.lane->protocol_states[LISTENER_HTTP];
    rig_late(&http->bodies);
}

/* Peers. */

static void accept_http(unsigned peer, int fd, bool is_unix) {
    static const struct listener listeners[] = {{.protocol = LISTENER_HTTP, .text = "tcp"},
                                                {.protocol = LISTENER_HTTP, .is_unix = true, .text = "unix"}};
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = 1, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
    memcpy(&address, &sin, sizeof sin);
    nreceived[peer] = 0;
    http_protocol.accept(rig.lane->protocol_states[LISTENER_HTTP], fd, &listeners[is_unix],
                         (const struct sockaddr *)&address, sizeof sin);
}

/* Every answer begins as one of HTTP/1.1 does. */
static void received(unsigned peer, const uint8_t *data, size_t len) {
    static const char begin[] = "HTTP/1.1 ";
    for (size_t i = 0; i < len && nreceived[peer] + i < sizeof begin - 1; i++)
        assert(data[i] == begin[nreceived[peer] + i]);
    nreceived[peer] += len;
}

static void step_text(void) {
    const char *text = texts[rig_next() % (sizeof texts / sizeof *texts)];
    rig_send(text, strlen(text));
}

static void step_filler(void) {
    rig_send(rig_filler, rig_next_length());
}

static void step_chunk(void) {
    char head[32];
    size_t len = rig_next_length();
    rig_send(head, (size_t)snprintf(head, sizeof head, "%zx\r\n", len));
    rig_send(rig_filler, len);
    rig_send("\r\n", 2);
}

/* The application. */

static void app_head(void) {
    struct request *r = rig_next_running();
    size_t which = rig_next() % (sizeof heads / sizeof *heads);
    if (!r || r->head_stored)
        return;
    buf_reset(&r->head, REQUEST_KEEP_BYTES);
    assert(!buf_append(&r->head, heads[which].lines, strlen(heads[which].lines)));
    snprintf(r->status, sizeof r->status, "%s", heads[which].status);
}

static void app_read(void) {
    int error = rig_read();
    assert(!error || error == EAGAIN || error == ECONNABORTED || error == ECONNRESET || error == EFBIG ||
           error == ENOENT || error == EPROTO || error == ETIMEDOUT);
}

static void app_error(void) {
    struct request *r = rig_next_running();
    if (r)
        assert(r->answer_ops->error(r, "text", 4) && errno == ENOTSUP);
}

static void (*const steps[])(void) = {
    rig_connect,   rig_choose,   rig_bytes, step_text, /* which of the texts above */
    step_filler,                                       /* length: bytes of a body */
    step_chunk,                                        /* length: a chunk of a body */
    rig_pieces,    rig_hold,     rig_loop,  rig_half_close, rig_close,  rig_receive, rig_job,          rig_expire,
    app_head,                              /* which request, which head */
    rig_put,       rig_transmit, app_read, /* which request, length */
    app_error,                             /* which request */
    rig_break_off, rig_return,   rig_idle,  step_slow,      rig_linger, rig_stop,    rig_stop_timeout, rig_abort,
};

static void configure(struct lane_config *config, uint8_t choice) {
    static struct address_net loopback = {AF_INET, 8, {127}};
    static const struct address_set trusted = {.unix_peers = true, .nets = &loopback, .nnets = 1};
    config->server_header = choice & 4 ? "fuzz" : NULL;
    config->forwarded = choice & 128 ? &trusted : NULL;
    config->forwarded_kind = choice & 4 ? FORWARDED_RFC7239 : FORWARDED_X;
    config->proxy_protocol = (choice & 160) == 160;
    config->min_body_rate = choice & 64 ? 100 : 0;
}

static const struct rig_front http = {
    .steps = steps,
    .nsteps = sizeof steps / sizeof *steps,
    .lengths = {0, 1, 7, 8, 100, 1000, 4096, 8192, 8193, 65535, 65536, 140000},
    .configure = configure,
    .accept = accept_http,
    .received = received,
    .check_conn = check_conn,
    .check_answered = check_answered,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    rig_run(&http, data, size);
    return 0;
}
