/* A whole connection of HTTP/1.1 without Python: peers, an application and the clock do what the input says, and the
 * invariants of the front end are looked at after every step. src/sched is replaced by fake_sched.c, so that everything
 * happens on one thread and in the same order every time.
 *
 * The first byte is the configuration. Then comes one byte for each step (enum step), followed by the bytes that
 * it takes; missing ones are 0. */
#include "config.h"

/* A promise that is not kept is a finding. */
#undef NDEBUG
#include <assert.h>

#include "base/log.h"
#include "fake_sched.h"
#include "net/http.h"
#include "net/lane_impl.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum step {
    STEP_CONNECT, /* flags: as TCP, little room to send */
    STEP_CHOOSE,  /* which peer acts from now on */
    STEP_BYTES,   /* length, bytes */
    STEP_TEXT,    /* which of the texts below */
    STEP_FILLER,  /* length: bytes of a body */
    STEP_CHUNK,   /* length: a chunk of a body */
    STEP_PIECES,  /* size of the pieces in which peers send from now on; 0: whole */
    STEP_HOLD,    /* from now on, or no longer, the loop runs only when asked to */
    STEP_LOOP,
    STEP_HALF_CLOSE,
    STEP_CLOSE,
    STEP_RECEIVE, /* length */
    STEP_RUN,
    STEP_EXPIRE,
    STEP_APP_HEAD, /* which request, which head */
    STEP_APP_PUT,  /* which request, length */
    STEP_APP_SEND, /* which request, length */
    STEP_APP_READ, /* which request, length */
    STEP_APP_ERROR,
    STEP_APP_BREAK_OFF, /* which request */
    STEP_APP_RETURN,    /* which request */
    STEP_IDLE,          /* the idle time-out passes, or that of headers */
    STEP_SLOW,          /* the bodies that come began a long time ago */
    STEP_LINGER,
    STEP_STOP,
    STEP_STOP_TIMEOUT,
    STEP_LANE_ABORT,
    NSTEPS
};

enum {
    PEERS = 4,
    THREADS = 3,
    STEPS_MAX = 200,
    PIECES_MAX = 64,
    QUIET_ROUNDS = 10,
    SENT_MAX = 1 << 19,
    ANSWERED_MAX = 1 << 20
};

static const double LONG = 1000; /* seconds; longer than every time-out */

static const size_t lengths[] = {0, 1, 7, 8, 100, 1000, 4096, 8192, 8193, 65535, 65536, 140000};

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

struct peer {
    int fd; /* -1: not connected */
    char last[12];
    size_t received;
};

static struct {
    const uint8_t *pos, *end;
    struct lane *lane;
    struct peer peers[PEERS];
    struct peer *peer; /* that acts */
    struct request *running[THREADS];
    unsigned nrunning;
    size_t piece;
    bool hold;
    size_t sent, answered;
} z;

static uint8_t filler[150000];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Takes the place of log_printf (local.mk: --wrap): the arguments are used as they would be, and nothing is written. */
void __wrap_log_printf(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

void __wrap_log_printf(enum log_level level, const char *format, ...) {
    char line[2048];
    va_list args;
    (void)level;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
}

static uint8_t next(void) {
    return z.pos < z.end ? *z.pos++ : 0;
}

static size_t next_length(void) {
    return lengths[next() % (sizeof lengths / sizeof *lengths)];
}

/* What holds between any two steps. */

static struct http_conn *http_of(struct conn *conn) {
    return (struct http_conn *)(void *)((char *)conn - offsetof(struct http_conn, conn));
}

static void check_conn(struct conn *conn, enum conn_state lowest, enum conn_state highest) {
    const struct http_conn *c = http_of(conn);
    const struct http_request *q = c->q;
    assert(conn->state >= lowest && conn->state <= highest && conn->fd >= 0);
    assert(conn->refs == 1 + (q != NULL));
    assert((conn->state == CONN_OPEN) == (c->state != HTTP_ENDED_STATE));
    assert(!c->waiting || c->state == HTTP_PROXY_STATE || c->state == HTTP_IDLE_STATE || c->state == HTTP_HEAD_STATE);
    assert((q != NULL) == (c->state == HTTP_BODY_STATE || c->state == HTTP_JOB_STATE || c->state == HTTP_DRAIN_STATE));
    assert(c->state != HTTP_HEAD_STATE || c->waiting);
    if (c->state == HTTP_BODY_STATE)
        assert(!q->wire.ended && !q->refusal && q->r.body.received < REQUEST_BODY_START);
    if (c->state == HTTP_DRAIN_STATE)
        assert(!q->wire.ended && q->kept);
    if (q && c->state != HTTP_JOB_STATE)
        assert(!q->r.job.queued && !q->r.thread);
    /* One piece that the loop reads may come on top of either bound. */
    assert(buf_len(&c->in) <= LANE_READ_BYTES + 65536 + z.lane->config.limit_params);
}

static void check_lane(void) {
    struct conn *c;
    struct frontend_wait *wait;
    unsigned open = 0, waiting = 0;
    TAILQ_FOREACH(c, &z.lane->conns, link) {
        check_conn(c, CONN_OPEN, CONN_FLUSHING);
        waiting += http_of(c)->waiting;
        open++;
    }
    TAILQ_FOREACH(c, &z.lane->lingering, link) {
        check_conn(c, CONN_LINGERING, CONN_LINGERING);
        open++;
    }
    TAILQ_FOREACH(wait, &z.lane->waits, link) {
        waiting--;
    }
    assert(!waiting && open == z.lane->nconns && open <= z.lane->nlive);
}

/* The loop. */

static void loop_once(void) {
    fake_sched_call_notes(z.lane->sched);
    if (!fake_sched_has_quit(z.lane->sched))
        ev_run(z.lane->loop, EVRUN_NOWAIT);
    fake_sched_call_notes(z.lane->sched);
}

/* A timer of the lane comes due. */
static void fire(ev_timer *timer) {
    ev_timer_stop(z.lane->loop, timer);
    ev_invoke(z.lane->loop, timer, EV_TIMER);
}

static void step_idle(void) {
    struct conn *c;
    struct frontend_wait *wait;
    if (next() & 1) {
        TAILQ_FOREACH(wait, &z.lane->waits, link) {
            wait->began_at -= LONG;
        }
        fire(&z.lane->header_timer);
        return;
    }
    TAILQ_FOREACH(c, &z.lane->conns, link) {
        c->active_at -= LONG;
    }
    fire(&z.lane->idle_timer);
}

static void step_slow(void) {
    struct conn *c;
    TAILQ_FOREACH(c, &z.lane->conns, link) {
        if (http_of(c)->q && http_of(c)->q->body_began_at > 0)
            http_of(c)->q->body_began_at -= LONG;
    }
}

static void step_linger(void) {
    struct conn *c;
    TAILQ_FOREACH(c, &z.lane->lingering, link) {
        c->active_at -= LONG;
    }
    fire(&z.lane->linger_timer);
}

/* Peers. */

static void peer_close(struct peer *p) {
    if (p->fd >= 0)
        close(p->fd);
    p->fd = -1;
}

static void step_connect(void) {
    uint8_t flags = next();
    int pair[2];
    struct peer *p = z.peers;
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = 1, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    while (p < z.peers + PEERS && p->fd >= 0)
        p++;
    if (p == z.peers + PEERS || z.lane->stopping ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair))
        return;
    if (flags & 2)
        setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &(int){4096}, sizeof(int));
    *p = (struct peer){.fd = pair[0]};
    z.peer = p;
    http_protocol.accept(z.lane, pair[1], &(struct listener){.is_unix = !(flags & 1), .protocol = LISTENER_HTTP},
                         (const struct sockaddr *)&sin, sizeof sin);
}

/* Sends in the current pieces; the loop runs in between, and when there is no room. */
static void send_bytes(const void *data, size_t len) {
    const uint8_t *bytes = data;
    unsigned full = 0, pieces = z.piece ? PIECES_MAX : 0;
    if (z.sent > SENT_MAX)
        return;
    z.sent += len;
    while (z.peer && z.peer->fd >= 0 && len && full < 10) {
        ssize_t n = send(z.peer->fd, bytes, pieces && z.piece < len ? z.piece : len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EPIPE)
            return;
        n = n < 0 ? 0 : n;
        full = n ? 0 : full + 1;
        bytes += n;
        len -= (size_t)n;
        if (!n || (pieces && !z.hold))
            loop_once();
        if (pieces)
            pieces--;
    }
}

/* Every answer begins as one of HTTP/1.1 does. */
static size_t peer_receive(struct peer *p, size_t max) {
    static const char begin[] = "HTTP/1.1 ";
    char block[65536];
    size_t received = 0;
    while (p->fd >= 0 && received < max) {
        ssize_t n = recv(p->fd, block, max - received < sizeof block ? max - received : sizeof block, MSG_DONTWAIT);
        if (n <= 0)
            break;
        for (size_t i = 0; i < (size_t)n && p->received + i < sizeof begin - 1; i++)
            assert(block[i] == begin[p->received + i]);
        p->received += (size_t)n;
        received += (size_t)n;
    }
    return received;
}

static void step_bytes(void) {
    size_t len = next();
    const uint8_t *bytes = z.pos;
    len = (size_t)(z.end - z.pos) < len ? (size_t)(z.end - z.pos) : len;
    z.pos += len;
    send_bytes(bytes, len);
}

static void step_chunk(void) {
    char head[32];
    size_t len = next_length();
    send_bytes(head, (size_t)snprintf(head, sizeof head, "%zx\r\n", len));
    send_bytes(filler, len);
    send_bytes("\r\n", 2);
}

/* The application. */

static void run(struct request *r, void *user) {
    const char *pos = buf_head(&r->params), *end = pos + buf_len(&r->params);
    struct params_pair pair;
    uint32_t pairs = 0;
    (void)user;
    while (params_next(&pos, end, &pair) == PARAMS_PAIR)
        pairs++;
    assert(pos == end && pairs == r->vars.npairs && !r->head_stored && !r->broken_off && r->thread);
    snprintf(r->status, sizeof r->status, "200 OK");
    z.running[z.nrunning++] = r;
}

static struct request *next_running(void) {
    uint8_t which = next();
    return z.nrunning ? z.running[which % z.nrunning] : NULL;
}

static void app_head(void) {
    struct request *r = next_running();
    size_t which = next() % (sizeof heads / sizeof *heads);
    if (!r || r->head_stored)
        return;
    buf_reset(&r->head, REQUEST_KEEP_BYTES);
    assert(!buf_append(&r->head, heads[which].lines, strlen(heads[which].lines)));
    snprintf(r->status, sizeof r->status, "%s", heads[which].status);
}

static void app_answer(bool transmit) {
    struct request *r = next_running();
    size_t len = next_length();
    if (!r || z.answered > ANSWERED_MAX)
        return;
    z.answered += len;
    int failed = (transmit ? r->frontend->send : r->frontend->put)(r, (const char *)filler, len);
    assert(!failed || (transmit && errno == EPIPE));
}

static void app_error(void) {
    struct request *r = next_running();
    if (r)
        assert(r->frontend->error(r, "text", 4) && errno == ENOTSUP);
}

static void app_read(void) {
    struct request *r = next_running();
    size_t len = next_length();
    uint8_t *into = malloc(len + 1);
    assert(into != NULL);
    if (r && request_read(r, into, len) < 0)
        assert(errno == EAGAIN || errno == ECONNABORTED || errno == ECONNRESET || errno == EFBIG || errno == ENOENT ||
               errno == EPROTO || errno == ETIMEDOUT);
    free(into);
}

static void app_break_off(void) {
    struct request *r = next_running();
    if (r)
        r->broken_off = true;
}

static void app_return(void) {
    struct request *r = next_running();
    unsigned i = 0;
    if (!r)
        return;
    while (z.running[i] != r)
        i++;
    z.running[i] = z.running[--z.nrunning];
    fake_sched_settle(z.lane->sched, &r->job);
}

/* The script. */

static void take_step(void) {
    switch ((enum step)(next() % NSTEPS)) {
    case STEP_CONNECT:
        step_connect();
        break;
    case STEP_CHOOSE:
        z.peer = &z.peers[next() % PEERS];
        break;
    case STEP_BYTES:
        step_bytes();
        break;
    case STEP_TEXT: {
        const char *text = texts[next() % (sizeof texts / sizeof *texts)];
        send_bytes(text, strlen(text));
        break;
    }
    case STEP_FILLER:
        send_bytes(filler, next_length());
        break;
    case STEP_CHUNK:
        step_chunk();
        break;
    case STEP_PIECES:
        z.piece = next();
        break;
    case STEP_HOLD:
        z.hold = !z.hold;
        break;
    case STEP_LOOP:
        loop_once();
        break;
    case STEP_HALF_CLOSE:
        if (z.peer && z.peer->fd >= 0)
            shutdown(z.peer->fd, SHUT_WR);
        break;
    case STEP_CLOSE:
        if (z.peer)
            peer_close(z.peer);
        break;
    case STEP_RECEIVE: {
        size_t len = next_length();
        if (z.peer)
            peer_receive(z.peer, len);
        break;
    }
    case STEP_RUN:
        fake_sched_run(z.lane->sched);
        break;
    case STEP_EXPIRE:
        fake_sched_expire(z.lane->sched);
        break;
    case STEP_APP_HEAD:
        app_head();
        break;
    case STEP_APP_PUT:
        app_answer(false);
        break;
    case STEP_APP_SEND:
        app_answer(true);
        break;
    case STEP_APP_READ:
        app_read();
        break;
    case STEP_APP_ERROR:
        app_error();
        break;
    case STEP_APP_BREAK_OFF:
        app_break_off();
        break;
    case STEP_APP_RETURN:
        app_return();
        break;
    case STEP_IDLE:
        step_idle();
        break;
    case STEP_SLOW:
        step_slow();
        break;
    case STEP_LINGER:
        step_linger();
        break;
    case STEP_STOP:
        lane_stop(z.lane);
        break;
    case STEP_STOP_TIMEOUT:
        if (ev_is_active(&z.lane->stop_timer))
            fire(&z.lane->stop_timer);
        break;
    case STEP_LANE_ABORT:
        if (z.lane->stopping)
            lane_abort(z.lane);
        break;
    case NSTEPS:
        break;
    }
}

/* The end. */

static void answer_all(void) {
    while (z.nrunning || fake_sched_run(z.lane->sched)) {
        if (!z.nrunning)
            continue;
        struct request *r = z.running[0];
        if (!r->broken_off)
            assert(!r->frontend->put(r, (const char *)filler, 100));
        app_return(); /* the input is at its end: the first one */
        loop_once();
    }
}

/* Lets everything happen that can without further input, and takes all that is sent. */
static void settle(void) {
    for (int quiet = 0; quiet < QUIET_ROUNDS; quiet++) {
        answer_all();
        loop_once();
        for (struct peer *p = z.peers; p < z.peers + PEERS; p++)
            if (peer_receive(p, SIZE_MAX))
                quiet = 0;
    }
}

/* A request that came whole is answered by now, and what was sent behind it is as well. */
static void check_answered(void) {
    struct conn *conn;
    TAILQ_FOREACH(conn, &z.lane->conns, link) {
        const struct http_conn *c = http_of(conn);
        assert(conn->state == CONN_OPEN && !conn_blocked(conn) && !conn->read_ended && !conn->paused);
        assert(c->state != HTTP_JOB_STATE);
        assert(!c->q || !c->q->wire.ended);
        assert(c->state == HTTP_PROXY_STATE || c->state == HTTP_IDLE_STATE || c->state == HTTP_HEAD_STATE ||
               !buf_len(&c->in));
    }
}

static void end(void) {
    settle();
    if (!fake_sched_has_quit(z.lane->sched)) {
        check_lane();
        check_answered();
    }
    for (struct peer *p = z.peers; p < z.peers + PEERS; p++)
        peer_close(p);
    settle();
    assert(!z.lane->nlive && !z.lane->nconns && !z.lane->nrequests);
    if (!z.lane->stopping)
        lane_stop(z.lane);
    loop_once();
    assert(fake_sched_has_quit(z.lane->sched));
    lane_free(z.lane);
}

static void begin(uint8_t choice) {
    static struct listener_set none;
    static struct access_net loopback = {AF_INET, 8, {127}};
    static const struct access_list trusted = {.unix_peers = true, .nets = &loopback, .nnets = 1};
    struct lane_config config = {
        .run = run,
        .threads = 1 + choice % THREADS,
        .queue_limit = 2,
        .idle_timeout = 60,
        .header_timeout = choice & 8 ? 10 : 0,
        .max_connections = 100,
        .keepalive_requests = choice & 16 ? 3 : 0,
        .limit_params = 300,
        .limit_param_count = 20,
        .limit_requests = 4,
        .body = {.memory = 8192, .total = 200000, .spool_dir = choice & 32 ? "/nonexistent" : "/tmp"},
        .script_name = choice & 64 ? "/a" : "",
        .server_header = choice & 4 ? "fuzz" : NULL,
        .forwarded = choice & 128 ? &trusted : NULL,
        .forwarded_rfc7239 = choice & 4,
        .proxy_protocol = (choice & 160) == 160,
        .min_body_rate = choice & 64 ? 100 : 0,
    };
    z.lane = lane_new(&config, &none);
    assert(z.lane && !lane_start(z.lane));
    for (size_t i = 0; i < PEERS; i++)
        z.peers[i] = (struct peer){.fd = -1};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    memset(&z, 0, sizeof z);
    log_max_level = LOG_LEVEL_DEBUG;
    z.pos = data;
    z.end = data + size;
    begin(next());
    for (int steps = 0; z.pos < z.end && steps < STEPS_MAX && !fake_sched_has_quit(z.lane->sched); steps++) {
        take_step();
        if (!z.hold)
            loop_once();
        check_lane();
    }
    z.pos = z.end;
    end();
    return 0;
}
