/* The whole of a FastCGI connection without Python (conn_rig.h): peers send records, and anything else. */
#include "config.h"

/* A promise that is not kept is a finding. */
#undef NDEBUG
#include <assert.h>

#include "base/buf.h"
#include "conn_rig.h"
#include "net/fcgi/request.h"
#include "peer.h"

#include <errno.h>
#include <fastcgi.h>
#include <string.h>

static struct peer peers[RIG_PEERS];
static struct buf made;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What holds between any two steps. */

static struct fcgi_conn *fcgi_of(struct conn *conn) {
    return (struct fcgi_conn *)(void *)((char *)conn - offsetof(struct fcgi_conn, conn));
}

static void check_request(const struct fcgi_request *q, bool has_earlier) {
    assert(q->state != FCGI_ENDED_STATE);
    assert((q->state == FCGI_BEHIND_STATE) <= has_earlier);
    if (q->state == FCGI_BODY_STATE)
        assert(!q->x.refusal && !q->stdin_ended && !request_has_enough(&q->x.r, rig.lane->config.stream_body));
    if (q->x.body_held)
        assert(q->state == FCGI_JOB_STATE && !q->x.r.body.complete);
    if (q->state == FCGI_STDIN_STATE)
        assert(!q->stdin_ended && q->keep_conn);
    if (q->state != FCGI_JOB_STATE)
        assert(!q->x.r.job.queued && !q->x.r.thread);
}

/* Who waits for a peer that may do nothing waits with a time, or for output to be taken, which has one. */
static void check_wait(struct conn *conn, const struct fcgi_request *q) {
    if (q->state == FCGI_STDIN_STATE)
        assert(q->timeouts == &q->c->fcgi->silence || q->timeouts == &q->c->fcgi->stall || conn_blocked(conn));
    else
        assert(q->timeouts == (q->state == FCGI_PARAMS_STATE ? &rig.lane->headers : NULL));
}

static unsigned check_conn(struct conn *conn) {
    const struct fcgi_conn *c = fcgi_of(conn);
    struct fcgi_request *q, *earlier;
    unsigned requests = 0, incomplete = 0, held = 0, waits = c->ending;
    TAILQ_FOREACH(q, &c->requests, link) {
        for (earlier = TAILQ_FIRST(&c->requests); earlier != q && earlier->x.id != q->x.id;)
            earlier = TAILQ_NEXT(earlier, link);
        check_request(q, earlier != q);
        incomplete += q->state == FCGI_PARAMS_STATE;
        held += q->x.body_held;
        check_wait(conn, q);
        waits += q->timeouts != NULL;
        requests++;
    }
    assert(requests == c->nrequests && conn->refs == requests + 1 + rig_late_requests(conn));
    assert(conn->state == CONN_OPEN || !requests);
    assert(conn->paused == (held > 0 || c->settling));
    assert(!c->settling || (rig.lane->retiring && !held && !incomplete));
    assert(c->settling || !buf_len(&c->over));
    assert(!c->ending || (c->given_up && !requests));
    assert(requests <= 2 * rig.lane->config.limit_requests);
    assert(conn->rest != CONN_RESTING || (!requests && fcgi_decoder_idle(&c->decoder)));
    assert(conn->rest != CONN_BEGUN || requests == incomplete);
    assert(conn->rest != CONN_BUSY || conn->state != CONN_OPEN || requests > incomplete || conn_blocked(conn));
    return waits;
}

static void check_answered(struct conn *conn) {
    const struct fcgi_conn *c = fcgi_of(conn);
    const struct fcgi_request *q;
    assert(!conn->read_ended || !c->nrequests);
    TAILQ_FOREACH(q, &c->requests, link) {
        assert(!q->stdin_ended || q->state == FCGI_PARAMS_STATE);
    }
}

/* Peers. */

static void accept_fcgi(unsigned peer, int fd, bool is_unix) {
    static const struct listener listeners[] = {{.text = "tcp"}, {.is_unix = true, .text = "unix"}};
    peer_begin(&peers[peer]);
    fcgi_protocol.accept(rig.lane->protocol_states[LISTENER_FASTCGI], fd, &listeners[is_unix], NULL, 0);
}

static void sent(unsigned peer, const uint8_t *data, size_t len) {
    peer_sent(&peers[peer], data, len);
}

static void received(unsigned peer, const uint8_t *data, size_t len) {
    peer_received(&peers[peer], data, len);
}

static void make_record(uint8_t type, uint16_t id, const void *content, size_t len, uint8_t padding) {
    uint8_t header[FCGI_HEADER_LEN] = {FCGI_VERSION_1, type,   (uint8_t)(id >> 8), (uint8_t)id, (uint8_t)(len >> 8),
                                       (uint8_t)len,   padding};
    assert(!buf_append(&made, header, sizeof header) && !buf_append(&made, content, len) &&
           !buf_append(&made, rig_filler, padding));
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
        rig_send(buf_head(&made), buf_len(&made));
    buf_reset(&made, RIG_FILLER);
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
    uint8_t byte = rig_next(), pairs[512];
    const char *content_length = content_lengths[byte >> 2 & 7];
    size_t n = put_pair(pairs, "REQUEST_METHOD", methods[byte & 3]);
    n += put_pair(pairs + n, "SCRIPT_NAME", "/a/b");
    n += put_pair(pairs + n, "REQUEST_URI", "/a/b?c=\xff");
    n += put_pair(pairs + n, "HTTP_HOST", "localhost");
    if (rig.lane->config.forwarded) {
        n += put_pair(pairs + n, "REMOTE_ADDR", byte & 4 ? "10.0.0.1" : "unix:");
        n += put_pair(pairs + n, "HTTP_X_FORWARDED_PREFIX", "/p");
        n += put_pair(pairs + n, "HTTP_X_FORWARDED_FOR", "192.0.2.7");
    }
    if (content_length)
        n += put_pair(pairs + n, "CONTENT_LENGTH", content_length);
    make_stream(FCGI_PARAMS, id, pairs, n);
}

static void step_begin(void) {
    make_begin(rig_next());
    send_made();
}

static void step_params(void) {
    make_params(id_of(rig_next()));
    send_made();
}

static void step_params_piece(void) {
    uint16_t id = id_of(rig_next());
    size_t len;
    const uint8_t *bytes = rig_next_bytes(&len);
    if (len)
        send_record(FCGI_PARAMS, id, bytes, len);
}

static void step_params_end(void) {
    send_record(FCGI_PARAMS, id_of(rig_next()), NULL, 0);
}

static void step_stdin(void) {
    uint16_t id = id_of(rig_next());
    make_stream(FCGI_STDIN, id, rig_filler, rig_next_length());
    send_made();
}

static void step_stdin_end(void) {
    send_record(FCGI_STDIN, id_of(rig_next()), NULL, 0);
}

static void step_abort(void) {
    send_record(FCGI_ABORT_REQUEST, id_of(rig_next()), NULL, 0);
}

static void step_get_values(void) {
    uint8_t pairs[128];
    size_t n = put_pair(pairs, "FCGI_MAX_CONNS", "");
    n += put_pair(pairs + n, "FCGI_MPXS_CONNS", "");
    send_record(FCGI_GET_VALUES, FCGI_NULL_REQUEST_ID, pairs, n);
}

static void step_record(void) {
    uint8_t type = rig_next();
    uint16_t id = id_of(rig_next());
    uint8_t padding = rig_next();
    size_t len;
    const uint8_t *content = rig_next_bytes(&len);
    make_record(type, id, content, len, padding);
    send_made();
}

static void step_request(void) {
    uint8_t byte = rig_next();
    make_begin(byte);
    make_params(id_of(byte));
    make_record(FCGI_PARAMS, id_of(byte), NULL, 0, 0);
    make_stream(FCGI_STDIN, id_of(byte), rig_filler, rig_next_length());
    make_record(FCGI_STDIN, id_of(byte), NULL, 0, 0);
    send_made();
}

/* The application. */

static void app_read(void) {
    int error = rig_read();
    assert(!error || error == EAGAIN || error == ECONNABORTED || error == ECONNRESET || error == EFBIG ||
           error == ENOENT);
}

static void app_error(void) {
    struct request *r = rig_next_running();
    size_t len = rig_next_length();
    if (!r || !rig_may_answer(len))
        return;
    errno = 0;
    assert((!r->answer_ops->error(r, rig_answer(r), len) && !r->overdue) || errno == EPIPE);
}

static void app_head(void) {
    struct request *r = rig_next_running();
    size_t len = rig_next_length();
    if (r && !r->head_stored)
        assert(!buf_append(&r->head, rig_filler, len));
}

static void (*const steps[])(void) = {
    rig_connect,       rig_choose,     step_begin, /* id, role and flags */
    step_params,                                   /* whole parameters: id, method and CONTENT_LENGTH */
    step_params_piece,                             /* id, length, bytes */
    step_params_end,                               /* id */
    step_stdin,                                    /* id, length */
    step_stdin_end,                                /* id */
    step_abort,                                    /* id */
    step_get_values,   step_record,                /* type, id, padding, length, content */
    rig_bytes,         rig_half_close, rig_close,  rig_receive, rig_job,      rig_expire,
    rig_put,           rig_transmit,   app_read, /* which request, length */
    app_error,                                   /* which request, length */
    app_head,                                    /* which request, length */
    rig_break_off,     rig_return,     rig_idle,   rig_linger,  rig_stop,     rig_stop_timeout,
    rig_abort,         rig_pieces,     rig_hold,   rig_loop,    step_request, /* a whole request in one piece: id and flags, method and CONTENT_LENGTH, length of the body */
};

static void configure(struct lane_config *config, uint8_t choice) {
    static const struct address_set trusted = {.any = true, .unix_peers = true};
    config->forwarded = choice & 128 ? &trusted : NULL;
}

static const struct rig_front fcgi = {
    .steps = steps,
    .nsteps = sizeof steps / sizeof *steps,
    .lengths = {0, 1, 7, 8, 100, 1000, 4096, 8192, 8193, 65528, 65529, 140000},
    .configure = configure,
    .accept = accept_fcgi,
    .sent = sent,
    .received = received,
    .check_conn = check_conn,
    .check_answered = check_answered,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    rig_run(&fcgi, data, size);
    for (size_t i = 0; i < RIG_PEERS; i++)
        peer_fini(&peers[i]);
    buf_fini(&made);
    return 0;
}
