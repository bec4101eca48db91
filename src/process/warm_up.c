#include "config.h"

#include "process/warm_up.h"

#include "base/ascii.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/descriptors.h"
#include "base/log.h"
#include "net/lane.h"
#include "net/loop.h"
#include "proto/fcgi_answer.h"
#include "proto/fcgi_encode.h"
#include "proto/http_target.h"
#include "proto/params.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    REQUEST_ID = 1,
    ERRORS_MAX = 65536, /* bytes that are kept of what the application writes to wsgi.errors */
    SHOWN_SIZE = 300    /* of a path in the log */
};
static const ev_tstamp SLOW = 5; /* seconds after which a line tells what is waited for */

struct warm_up {
    struct warm_up_config config;
    struct lane *lane;
    struct sched_note note;
    uint64_t begun_at; /* clock_ns */
    size_t at;         /* the request that is in work */
    int fd;            /* of its connection, or -1 */
    ev_io io;
    ev_timer slow;
    struct fcgi_answer answer;
    struct buf errors;
};

/* The request. */

static int put(struct buf *out, struct slice name, struct slice value) {
    size_t n = params_put(NULL, 0, name, value);
    if (buf_reserve(out, n))
        return -1;
    out->end += params_put(buf_tail(out), n, name, value);
    return 0;
}

/* What stays the same. */
static int put_constants(struct buf *out) {
    const struct params_pair pairs[] = {
        {LITERAL("REQUEST_METHOD"), LITERAL("GET")},
        {LITERAL("SERVER_PROTOCOL"), LITERAL("HTTP/1.1")},
        {LITERAL("GATEWAY_INTERFACE"), LITERAL("CGI/1.1")},
        {LITERAL("REQUEST_SCHEME"), LITERAL("http")},
        {LITERAL("SERVER_NAME"), LITERAL("localhost")},
        {LITERAL("SERVER_PORT"), LITERAL("80")},
        {LITERAL("REMOTE_ADDR"), LITERAL("127.0.0.1")},
        {LITERAL("HTTP_HOST"), LITERAL("localhost")},
        {LITERAL("HTTP_USER_AGENT"), LITERAL("wsgi-fcgi warm-up")},
        {LITERAL("HTTP_ACCEPT"), LITERAL("*/*")},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        if (put(out, pairs[i].name, pairs[i].value))
            return -1;
    }
    return 0;
}

static int put_uri(struct buf *out, const char *prefix, struct slice path) {
    struct buf uri = {0};
    int failed = buf_append(&uri, prefix, strlen(prefix)) || buf_append(&uri, path.p, path.n) ||
                 put(out, LITERAL("REQUEST_URI"), (struct slice){buf_head(&uri), buf_len(&uri)});
    buf_fini(&uri);
    return failed ? -1 : 0;
}

static int put_path_info(struct buf *out, struct slice path) {
    char *decoded = malloc(path.n);
    if (!decoded)
        return -1;
    size_t n = http_target_decode(path, decoded);
    int failed = n == SIZE_MAX ? -1 : put(out, LITERAL("PATH_INFO"), (struct slice){decoded, n});
    if (n == SIZE_MAX)
        errno = EINVAL;
    free(decoded);
    return failed;
}

static int put_params(struct buf *out, const char *prefix, const char *path) {
    struct slice text = {path, strlen(path)};
    struct http_target target;
    (void)http_target_parse(text, &target);
    return put_constants(out) || put(out, LITERAL("SCRIPT_NAME"), (struct slice){prefix, strlen(prefix)}) ||
                   put_path_info(out, target.path) || put(out, LITERAL("QUERY_STRING"), target.query) ||
                   put_uri(out, prefix, text)
               ? -1
               : 0;
}

static int put_header(struct buf *out, uint8_t type, size_t len) {
    if (buf_reserve(out, FCGI_RECORD_HEADER))
        return -1;
    fcgi_put_header((uint8_t *)buf_tail(out), type, REQUEST_ID, len);
    out->end += FCGI_RECORD_HEADER;
    return 0;
}

/* The whole request, as records. Returns 0, or -1 with errno. */
static int put_request(struct buf *out, const char *prefix, const char *path) {
    static const char zeros[8];
    struct buf params = {0};
    int failed = buf_reserve(out, FCGI_BEGIN_REQUEST_LEN) || put_params(&params, prefix, path);
    if (!failed && buf_len(&params) > FCGI_RECORD_MAX) {
        errno = ENAMETOOLONG;
        failed = -1;
    }
    if (!failed) {
        fcgi_put_begin_request((uint8_t *)buf_tail(out), REQUEST_ID, FCGI_RESPONDER);
        out->end += FCGI_BEGIN_REQUEST_LEN;
        failed = put_header(out, FCGI_PARAMS, buf_len(&params)) ||
                 buf_append(out, buf_head(&params), buf_len(&params)) ||
                 buf_append(out, zeros, fcgi_padding(buf_len(&params))) || put_header(out, FCGI_PARAMS, 0) ||
                 put_header(out, FCGI_STDIN, 0);
    }
    buf_fini(&params);
    return failed ? -1 : 0;
}

/* A new socket has room for all of it. Returns 0, or -1 with errno. */
static int send_request(const struct warm_up *w) {
    struct buf request = {0};
    int failed = put_request(&request, w->config.script_name, w->config.paths[w->at]);
    if (!failed) {
        ssize_t n = send(w->fd, buf_head(&request), buf_len(&request), MSG_NOSIGNAL);
        failed = n == (ssize_t)buf_len(&request) ? 0 : -1;
        if (n >= 0 && failed)
            errno = EMSGSIZE;
    }
    buf_fini(&request);
    return failed;
}

/* The answer. */

static const char *source(const struct warm_up *w) {
    return w->config.sources[w->at];
}

static const char *shown(const struct warm_up *w, char out[static SHOWN_SIZE]) {
    const char *path = w->config.paths[w->at];
    return log_escape(out, SHOWN_SIZE, path, strlen(path));
}

static void log_done(const struct warm_up *w) {
    char took[ASCII_SECONDS_SIZE];
    ascii_put_seconds(took, (double)((clock_ns() - w->begun_at) / 1000000) / 1000);
    log_info("warm-up: %zu request%s answered in %s s", w->config.count, ascii_plural(w->config.count), took);
}

/* Says what has become of the request. Returns whether that is good enough. */
static bool judge(const struct warm_up *w) {
    char path[SHOWN_SIZE];
    unsigned status = w->answer.ended ? w->answer.status : 0;
    if (!status)
        log_error("%s %s: the application gave no complete answer, so this process does not serve: correct it "
                  "(its errors are in the log), or leave this path out",
                  source(w), shown(w, path));
    else if (status >= 500)
        log_error("%s %s: answered with status %u, so this process does not serve: correct the application (its "
                  "errors are in the log), or leave this path out",
                  source(w), shown(w, path), status);
    else if (status >= 400)
        log_warning("%s %s: answered with status %u: is it there, without a login, and for the host localhost?",
                    source(w), shown(w, path), status);
    return status && status < 500;
}

static void disconnect(struct warm_up *w) {
    struct ev_loop *loop = lane_loop(w->lane);
    ev_timer_stop(loop, &w->slow);
    if (w->fd < 0)
        return;
    ev_io_stop(loop, &w->io);
    loop_forget(loop, w->fd);
    descriptors_close(w->fd);
    w->fd = -1;
}

static void begin_request(struct warm_up *w);

/* The answer is there, or none comes any more. */
static void over(struct warm_up *w) {
    disconnect(w);
    sched_pause(lane_sched(w->lane));
    log_text(LOG_LEVEL_WARNING, buf_head(&w->errors), buf_len(&w->errors));
    buf_reset(&w->errors, 0);
    if (lane_is_stopping(w->lane))
        return;
    if (judge(w)) {
        w->at++;
        begin_request(w);
    } else
        w->config.done(w->config.arg, false);
}

static void take_errors(void *arg, const uint8_t *text, size_t len) {
    struct warm_up *w = arg;
    if (w->config.log_errors && buf_len(&w->errors) + len <= ERRORS_MAX)
        (void)buf_append(&w->errors, text, len);
}

static void read_cb(struct ev_loop *loop, ev_io *io, int revents) {
    struct warm_up *w = io->data;
    uint8_t bytes[8192];
    ssize_t n = revents & EV_ERROR ? 0 : recv(w->fd, bytes, sizeof bytes, 0);
    (void)loop;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0)
        fcgi_answer_feed(&w->answer, bytes, (size_t)n, take_errors, w);
    if (n <= 0 || w->answer.ended || w->answer.bad)
        over(w);
}

static void slow_cb(struct ev_loop *loop, ev_timer *timer, int revents) {
    const struct warm_up *w = timer->data;
    char path[SHOWN_SIZE];
    (void)loop;
    (void)revents;
    sched_pause(lane_sched(w->lane));
    log_info("%s %s: no answer after %d s; this process serves when it is there", source(w), shown(w, path), (int)SLOW);
}

/* The order. */

static void begin_request(struct warm_up *w) {
    char path[SHOWN_SIZE];
    if (w->at == w->config.count) {
        log_done(w);
        w->config.done(w->config.arg, true);
        return;
    }
    w->answer = (struct fcgi_answer){0};
    w->fd = lane_connect(w->lane, LISTENER_FASTCGI);
    if (w->fd < 0 || send_request(w)) {
        log_error("%s %s: cannot make the request: %s", source(w), shown(w, path), strerror(errno));
        disconnect(w);
        w->config.done(w->config.arg, false);
        return;
    }
    ev_io_init(&w->io, read_cb, w->fd, EV_READ);
    ev_timer_init(&w->slow, slow_cb, SLOW, 0.);
    w->io.data = w->slow.data = w;
    ev_io_start(lane_loop(w->lane), &w->io);
    ev_timer_start(lane_loop(w->lane), &w->slow);
}

static void begin_cb(struct sched_note *note) {
    struct warm_up *w = (struct warm_up *)(void *)((char *)note - offsetof(struct warm_up, note));
    w->begun_at = clock_ns();
    if (!lane_is_stopping(w->lane))
        begin_request(w);
}

struct warm_up *warm_up_new(struct lane *lane, const struct warm_up_config *config) {
    struct warm_up *w = calloc(1, sizeof *w);
    if (!w)
        return NULL;
    w->config = *config;
    w->lane = lane;
    w->note.call = begin_cb;
    w->fd = -1;
    return w;
}

void warm_up_begin(struct warm_up *w) {
    sched_post(lane_sched(w->lane), &w->note);
}

void warm_up_free(struct warm_up *w) {
    if (!w)
        return;
    disconnect(w);
    buf_fini(&w->errors);
    free(w);
}
