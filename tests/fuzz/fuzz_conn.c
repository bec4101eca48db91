/* The whole of a connection without Python: peers, an application and the clock do what the input says, byte by byte,
 * and the invariants of net/ are looked at after every step. src/sched is replaced by fake_sched.c, so that everything
 * happens on one thread and in the same order every time.
 *
 * The first byte is the configuration. Then comes one byte for each step (enum step), followed by the bytes that
 * it takes; missing ones are 0. */
#include "config.h"

/* A promise that is not kept is a finding. */
#undef NDEBUG
#include <assert.h>

#include "base/buf.h"
#include "base/log.h"
#include "fake_sched.h"
#include "net/fcgi.h"
#include "net/lane_impl.h"
#include "peer.h"

#include <errno.h>
#include <fastcgi.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum step {
    STEP_CONNECT,      /* flags: as TCP, little room to send */
    STEP_CHOOSE,       /* which peer acts from now on */
    STEP_BEGIN,        /* id, role and flags */
    STEP_PARAMS,       /* whole parameters: method, CONTENT_LENGTH */
    STEP_PARAMS_PIECE, /* length, bytes */
    STEP_PARAMS_END,
    STEP_STDIN, /* length */
    STEP_STDIN_END,
    STEP_ABORT,
    STEP_GET_VALUES,
    STEP_RECORD, /* type, id, padding, length, content */
    STEP_BYTES,  /* length, bytes */
    STEP_HALF_CLOSE,
    STEP_CLOSE,
    STEP_RECEIVE, /* length */
    STEP_RUN,
    STEP_EXPIRE,
    STEP_APP_PUT,  /* which request, length */
    STEP_APP_SEND, /* which request, length */
    STEP_APP_READ, /* which request, length */
    STEP_APP_ERROR,
    STEP_APP_HEAD,      /* which request, length */
    STEP_APP_BREAK_OFF, /* which request */
    STEP_APP_RETURN,    /* which request */
    STEP_IDLE,          /* the idle time-out passes, or that of the parameters */
    STEP_LINGER,        /* the time passes that a connection may linger */
    STEP_STOP,
    STEP_STOP_TIMEOUT, /* the time passes that connections without a request have at a stop */
    STEP_LANE_ABORT,
    STEP_PIECES,  /* size of the pieces in which peers send from now on; 0: whole */
    STEP_HOLD,    /* from now on, or no longer, the loop runs only when asked to */
    STEP_LOOP,    /* the loop runs */
    STEP_REQUEST, /* a whole request in one piece: id and flags, method, CONTENT_LENGTH, length of the body */
    NSTEPS
};

enum {
    PEERS = 4,
    THREADS = 3,
    STEPS_MAX = 200,
    PIECES_MAX = 64,       /* in which something is sent; the rest follows in one */
    QUIET_ROUNDS = 10,     /* of the loop, after which nothing waits in a socket any more */
    SENT_MAX = 1 << 19,    /* bytes of all peers */
    ANSWERED_MAX = 1 << 20 /* bytes of the application */
};

static const double LONG = 1000; /* seconds; longer than every time-out */

static const size_t lengths[] = {0, 1, 7, 8, 100, 1000, 4096, 8192, 8193, 65528, 65529, 140000};

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

static const uint8_t *next_bytes(size_t *len) {
    const uint8_t *bytes = z.pos;
    *len = (size_t)(z.end - z.pos) < *len ? (size_t)(z.end - z.pos) : *len;
    z.pos += *len;
    return bytes;
}

/* What holds between any two steps. */

static void check_request(const struct fcgi_request *q, bool has_earlier) {
    assert(q->state != FCGI_ENDED_STATE);
    assert((q->state == FCGI_HELD_STATE) <= has_earlier);
    if (q->state == FCGI_BODY_STATE)
        assert(!q->refusal && !q->r.body.complete && !q->stdin_ended && q->r.body.received < REQUEST_BODY_START);
    if (q->state == FCGI_STDIN_STATE)
        assert(!q->stdin_ended && q->keep_conn);
    if (q->state != FCGI_JOB_STATE)
        assert(!q->r.job.queued && !q->r.thread);
}

static unsigned check_conn(struct conn *conn, enum conn_state lowest, enum conn_state highest) {
    const struct fcgi_conn *c = (const struct fcgi_conn *)(void *)((char *)conn - offsetof(struct fcgi_conn, conn));
    struct fcgi_request *q, *earlier;
    unsigned requests = 0, incomplete = 0;
    assert(conn->state >= lowest && conn->state <= highest && conn->fd >= 0);
    TAILQ_FOREACH(q, &c->requests, link) {
        for (earlier = TAILQ_FIRST(&c->requests); earlier != q && earlier->id != q->id;)
            earlier = TAILQ_NEXT(earlier, link);
        check_request(q, earlier != q);
        incomplete += q->state == FCGI_PARAMS_STATE;
        requests++;
    }
    assert(requests == c->nrequests && conn->refs == requests + 1);
    assert(conn->state == CONN_OPEN || !requests);
    assert(requests <= 2 * z.lane->config.limit_requests);
    return incomplete;
}

static void check_lane(void) {
    struct conn *c;
    struct frontend_wait *wait;
    unsigned open = 0, incomplete = 0;
    TAILQ_FOREACH(c, &z.lane->conns, link) {
        incomplete += check_conn(c, CONN_OPEN, CONN_FLUSHING);
        open++;
    }
    TAILQ_FOREACH(c, &z.lane->lingering, link) {
        check_conn(c, CONN_LINGERING, CONN_LINGERING);
        open++;
    }
    TAILQ_FOREACH(wait, &z.lane->waits, link) {
        incomplete--;
    }
    assert(!incomplete && open == z.lane->nconns && open <= z.lane->nlive);
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

static void step_linger(void) {
    struct conn *c;
    TAILQ_FOREACH(c, &z.lane->lingering, link) {
        c->active_at -= LONG;
    }
    fire(&z.lane->linger_timer);
}

static void step_lane_abort(void) {
    if (z.lane->stopping)
        lane_abort(z.lane);
}

static void step_stop_timeout(void) {
    if (ev_is_active(&z.lane->stop_timer))
        fire(&z.lane->stop_timer);
}

/* Peers. */

static void step_connect(void) {
    uint8_t flags = next();
    int pair[2];
    struct peer *p = z.peers;
    while (p < z.peers + PEERS && p->fd >= 0)
        p++;
    if (p == z.peers + PEERS || z.lane->stopping ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair))
        return;
    if (flags & 2)
        setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &(int){4096}, sizeof(int));
    peer_begin(p, pair[0]);
    z.peer = p;
    fcgi_protocol.accept(z.lane, pair[1], &(struct listener){.is_unix = !(flags & 1)}, NULL, 0);
}

/* Sends in the current pieces; the loop runs in between, and when there is no room. */
static void send_bytes(const void *data, size_t len) {
    const uint8_t *bytes = data;
    unsigned full = 0, pieces = z.piece ? PIECES_MAX : 0;
    if (!z.peer || z.peer->fd < 0 || z.sent > SENT_MAX)
        return;
    z.sent += len;
    while (len && full < 10) {
        size_t n = peer_send(z.peer, bytes, pieces && z.piece < len ? z.piece : len);
        full = n ? 0 : full + 1;
        bytes += n;
        len -= n;
        if (!n || (pieces && !z.hold))
            loop_once();
        if (pieces)
            pieces--;
    }
}

static struct buf made;

static void make_record(uint8_t type, uint16_t id, const void *content, size_t len, uint8_t padding) {
    uint8_t header[FCGI_HEADER_LEN] = {FCGI_VERSION_1, type,   (uint8_t)(id >> 8), (uint8_t)id, (uint8_t)(len >> 8),
                                       (uint8_t)len,   padding};
    assert(!buf_append(&made, header, sizeof header) && !buf_append(&made, content, len) &&
           !buf_append(&made, filler, padding));
}

static void make_stream(uint8_t type, uint16_t id, const void *content, size_t len) {
    const uint8_t *bytes = content;
    while (len) {
        size_t n = len < 65535 ? len : 65535;
        make_record(type, id, bytes, n, (uint8_t)(-n & 7));
        bytes += n;
        len -= n;
    }
}

static void send_made(void) {
    if (buf_len(&made))
        send_bytes(buf_head(&made), buf_len(&made));
    buf_reset(&made, sizeof filler);
}

static void send_record(uint8_t type, uint16_t id, const void *content, size_t len) {
    make_record(type, id, content, len, 0);
    send_made();
}

/* Few ids, so that they meet: 1 to 4, and the largest. */
static uint16_t id_of(uint8_t byte) {
    static const uint16_t ids[] = {1, 2, 3, 4, 1, 1, 0, 65535};
    return ids[byte & 7];
}

static void make_begin(uint8_t byte) {
    static const uint8_t roles[] = {FCGI_RESPONDER, FCGI_RESPONDER, FCGI_AUTHORIZER, FCGI_FILTER};
    uint8_t body[8] = {0, roles[byte >> 3 & 3], byte >> 5 & 1 ? FCGI_KEEP_CONN : 0};
    make_record(FCGI_BEGIN_REQUEST, id_of(byte), body, sizeof body, 0);
}

static size_t put_pair(uint8_t *at, const char *name, const char *value) {
    return params_put((char *)at, 64, (struct slice){name, strlen(name)}, (struct slice){value, strlen(value)});
}

/* Parameters as proxies send them, with what matters here varied. */
static void make_params(uint16_t id) {
    static const char *const methods[] = {"GET", "POST", "HEAD", ""};
    static const char *const content_lengths[] = {NULL, "", "0", "5", "1000", "65528", "70000", "-1"};
    uint8_t byte = next(), pairs[512];
    const char *content_length = content_lengths[byte >> 2 & 7];
    size_t n = put_pair(pairs, "REQUEST_METHOD", methods[byte & 3]);
    n += put_pair(pairs + n, "SCRIPT_NAME", "/a/b");
    n += put_pair(pairs + n, "REQUEST_URI", "/a/b?c=\xff\n");
    n += put_pair(pairs + n, "HTTP_HOST", "localhost");
    if (content_length)
        n += put_pair(pairs + n, "CONTENT_LENGTH", content_length);
    make_stream(FCGI_PARAMS, id, pairs, n);
}

static void step_get_values(void) {
    uint8_t pairs[128];
    size_t n = put_pair(pairs, "FCGI_MAX_CONNS", "");
    n += put_pair(pairs + n, "FCGI_MPXS_CONNS", "");
    send_record(FCGI_GET_VALUES, FCGI_NULL_REQUEST_ID, pairs, n);
}

static void step_record(void) {
    uint8_t type = next();
    uint16_t id = id_of(next());
    uint8_t padding = next();
    size_t len = next();
    const uint8_t *content = next_bytes(&len);
    make_record(type, id, content, len, padding);
    send_made();
}

static void step_bytes(void) {
    size_t len = next();
    const uint8_t *bytes = next_bytes(&len);
    send_bytes(bytes, len);
}

static void step_params_piece(uint16_t id) {
    size_t len = next();
    const uint8_t *bytes = next_bytes(&len);
    if (len)
        send_record(FCGI_PARAMS, id, bytes, len);
}

static void step_request(void) {
    uint8_t byte = next();
    make_begin(byte);
    make_params(id_of(byte));
    make_record(FCGI_PARAMS, id_of(byte), NULL, 0, 0);
    make_stream(FCGI_STDIN, id_of(byte), filler, next_length());
    make_record(FCGI_STDIN, id_of(byte), NULL, 0, 0);
    send_made();
}

static void step_stream(uint8_t type, uint16_t id, size_t len) {
    make_stream(type, id, filler, len);
    send_made();
}

/* The application. */

static void run(struct request *r, void *user) {
    const char *pos = buf_len(&r->params) ? buf_head(&r->params) : "", *end = pos + buf_len(&r->params);
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
    size_t len = next_length();
    if (!r || z.answered > ANSWERED_MAX)
        return;
    z.answered += len;
    assert(!r->frontend->error(r, (const char *)filler, len) || errno == EPIPE);
}

static void app_head(void) {
    struct request *r = next_running();
    size_t len = next_length();
    if (r && !r->head_stored)
        assert(!buf_append(&r->head, filler, len));
}

static void app_read(void) {
    struct request *r = next_running();
    size_t len = next_length();
    uint8_t *into = malloc(len + 1);
    assert(into != NULL);
    if (r && request_read(r, into, len) < 0)
        assert(errno == EAGAIN || errno == ECONNABORTED || errno == ECONNRESET || errno == EFBIG || errno == ENOENT);
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
    /* Which id the steps of a request are about comes with them. */
    enum step step = next() % NSTEPS;
    switch (step) {
    case STEP_CONNECT:
        step_connect();
        break;
    case STEP_CHOOSE:
        z.peer = &z.peers[next() % PEERS];
        break;
    case STEP_BEGIN:
        make_begin(next());
        send_made();
        break;
    case STEP_PARAMS:
        make_params(id_of(next()));
        send_made();
        break;
    case STEP_PARAMS_PIECE:
        step_params_piece(id_of(next()));
        break;
    case STEP_PARAMS_END:
        send_record(FCGI_PARAMS, id_of(next()), NULL, 0);
        break;
    case STEP_STDIN: {
        uint16_t id = id_of(next());
        step_stream(FCGI_STDIN, id, next_length());
        break;
    }
    case STEP_STDIN_END:
        send_record(FCGI_STDIN, id_of(next()), NULL, 0);
        break;
    case STEP_ABORT:
        send_record(FCGI_ABORT_REQUEST, id_of(next()), NULL, 0);
        break;
    case STEP_GET_VALUES:
        step_get_values();
        break;
    case STEP_RECORD:
        step_record();
        break;
    case STEP_BYTES:
        step_bytes();
        break;
    case STEP_HALF_CLOSE:
        if (z.peer)
            peer_half_close(z.peer);
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
    case STEP_APP_HEAD:
        app_head();
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
    case STEP_LINGER:
        step_linger();
        break;
    case STEP_STOP:
        lane_stop(z.lane);
        break;
    case STEP_STOP_TIMEOUT:
        step_stop_timeout();
        break;
    case STEP_LANE_ABORT:
        step_lane_abort();
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
    case STEP_REQUEST:
        step_request();
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

/* A request that came whole is answered by now, and has left nothing behind. */
static void check_answered(void) {
    struct conn *conn;
    TAILQ_FOREACH(conn, &z.lane->conns, link) {
        const struct fcgi_conn *c = (const struct fcgi_conn *)(void *)((char *)conn - offsetof(struct fcgi_conn, conn));
        const struct fcgi_request *q;
        assert(conn->state == CONN_OPEN && !conn_blocked(conn) && (!conn->read_ended || !c->nrequests));
        TAILQ_FOREACH(q, &c->requests, link) {
            assert(!q->stdin_ended || q->state == FCGI_PARAMS_STATE);
        }
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
    for (struct peer *p = z.peers; p < z.peers + PEERS; p++)
        peer_fini(p);
    buf_fini(&made);
    lane_free(z.lane);
}

static void begin(uint8_t choice) {
    static struct listener_set none;
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
