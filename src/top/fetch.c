#include "config.h"

#include "top/fetch.h"

#include "base/clock.h"
#include "proto/fcgi_encode.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* What is wrong. */

static enum fetch_state fail(struct fetch *f, bool transient, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static enum fetch_state fail(struct fetch *f, bool transient, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(f->error, sizeof f->error, format, args);
    va_end(args);
    f->transient = transient;
    if (f->fd >= 0)
        close(f->fd);
    f->fd = -1;
    return FETCH_FAILED;
}

const char *fetch_name(const struct target *t, char *out, size_t size) {
    if (t->socket[0])
        snprintf(out, size, "%s", t->socket);
    else
        snprintf(out, size, strchr(t->host, ':') ? "[%s]:%s" : "%s:%s", t->host, t->port);
    return out;
}

static enum fetch_state fail_connect(struct fetch *f, int error) {
    const char *what = error == ENOENT ? ": there is no such socket. Does the server run, and is that its --socket?"
                       : error == ECONNREFUSED ? ": no server listens there"
                       : error == EACCES       ? ": only root and those who may write to the socket can connect"
                                               : "";
    return fail(f, true, "%s%s", strerror(error), what);
}

/* The request. */

static const char *host(const struct fetch *f, char *out, size_t size) {
    return f->target.socket[0] ? "localhost" : fetch_name(&f->target, out, size);
}

static int put_pair(struct buf *out, const char *name, const char *value) {
    struct slice n = {name, strlen(name)}, v = {value, strlen(value)};
    size_t need = params_put(NULL, 0, n, v);
    if (buf_reserve(out, need))
        return -1;
    out->end += params_put(buf_tail(out), need, n, v);
    return 0;
}

static int put_pairs(const struct fetch *f, struct buf *out) {
    char at[TARGET_HOST + 16], uri[TARGET_PATH + 100];
    snprintf(uri, sizeof uri, "%s?%s", f->target.path, f->query);
    const char *const pairs[][2] = {
        {"REQUEST_METHOD", "GET"},
        {"SERVER_PROTOCOL", "HTTP/1.1"},
        {"GATEWAY_INTERFACE", "CGI/1.1"},
        {"REQUEST_SCHEME", "http"},
        {"SERVER_NAME", "localhost"},
        {"SERVER_PORT", "80"},
        {"REMOTE_ADDR", "127.0.0.1"},
        {"HTTP_HOST", host(f, at, sizeof at)},
        {"HTTP_USER_AGENT", "wsgi-fcgi-top/" PACKAGE_VERSION},
        {"HTTP_ACCEPT", "application/json"},
        {"SCRIPT_NAME", ""},
        {"PATH_INFO", f->target.path},
        {"QUERY_STRING", f->query},
        {"REQUEST_URI", uri},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        if (put_pair(out, pairs[i][0], pairs[i][1]))
            return -1;
    }
    return 0;
}

static int put_record(struct buf *out, uint8_t type, const struct buf *content) {
    static const char zeros[8];
    size_t len = content ? buf_len(content) : 0;
    if (buf_reserve(out, FCGI_RECORD_HEADER))
        return -1;
    fcgi_put_header((uint8_t *)buf_tail(out), type, 1, len);
    out->end += FCGI_RECORD_HEADER;
    return len && (buf_append(out, buf_head(content), len) || buf_append(out, zeros, fcgi_padding(len))) ? -1 : 0;
}

static int put_fastcgi(struct fetch *f) {
    struct buf pairs = {0};
    int failed = put_pairs(f, &pairs) || buf_reserve(&f->out, FCGI_BEGIN_REQUEST_LEN);
    if (!failed) {
        fcgi_put_begin_request((uint8_t *)buf_tail(&f->out), 1, FCGI_RESPONDER);
        f->out.end += FCGI_BEGIN_REQUEST_LEN;
        failed = put_record(&f->out, FCGI_PARAMS, &pairs) || put_record(&f->out, FCGI_PARAMS, NULL) ||
                 put_record(&f->out, FCGI_STDIN, NULL);
    }
    buf_fini(&pairs);
    return failed ? -1 : 0;
}

static int put_http(struct fetch *f) {
    char text[TARGET_PATH + TARGET_HOST + 300], at[TARGET_HOST + 16];
    int n = snprintf(text, sizeof text,
                     "GET %s?%s HTTP/1.1\r\nHost: %s\r\nUser-Agent: wsgi-fcgi-top/" PACKAGE_VERSION
                     "\r\nAccept: application/json\r\nConnection: close\r\n\r\n",
                     f->target.path, f->query, host(f, at, sizeof at));
    return buf_append(&f->out, text, (size_t)n);
}

/* The connection. */

static int open_socket(struct fetch *f) {
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    const struct sockaddr *address = (const struct sockaddr *)&un;
    socklen_t len = sizeof un;
    memcpy(un.sun_path, f->target.socket, sizeof f->target.socket);
    if (f->at) {
        address = f->at->ai_addr;
        len = f->at->ai_addrlen;
    }
    f->fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (f->fd < 0)
        return -1;
    f->connecting = connect(f->fd, address, len) != 0;
    return f->connecting && errno != EINPROGRESS ? -1 : 0;
}

/* Connects, and has the request ready. The next address is tried if one does not do. */
static enum fetch_state start(struct fetch *f) {
    buf_reset(&f->out, 0);
    buf_reset(&f->in, FETCH_MOST);
    if (f->fd >= 0)
        close(f->fd);
    while (open_socket(f)) {
        int error = errno;
        if (f->fd >= 0)
            close(f->fd);
        f->fd = -1;
        if (!f->at || !f->at->ai_next)
            return fail_connect(f, error);
        f->at = f->at->ai_next;
    }
    if (f->speaks == TARGET_HTTP ? put_http(f) : put_fastcgi(f))
        return fail(f, true, "out of memory");
    return FETCH_WAITS;
}

static enum fetch_state start_next_address(struct fetch *f, int error) {
    if (!f->at || !f->at->ai_next)
        return fail_connect(f, error);
    f->at = f->at->ai_next;
    return start(f);
}

int fetch_init(struct fetch *f, const struct target *target, const char *query) {
    *f = (struct fetch){.target = *target, .query = query, .fd = -1};
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    if (target->socket[0])
        return 0;
    int failed = getaddrinfo(target->host, target->port, &hints, &f->resolved);
    if (failed)
        (void)fail(f, false, "the host cannot be found: %s", gai_strerror(failed));
    return failed ? -1 : 0;
}

void fetch_fini(struct fetch *f) {
    if (f->fd >= 0)
        close(f->fd);
    if (f->resolved)
        freeaddrinfo(f->resolved);
    buf_fini(&f->out);
    buf_fini(&f->in);
}

enum fetch_state fetch_begin(struct fetch *f) {
    f->at = f->resolved;
    f->root_tried = false;
    f->other_tried = f->target.protocol != TARGET_UNKNOWN;
    f->speaks = f->target.protocol ? f->target.protocol : f->target.socket[0] ? TARGET_FASTCGI : TARGET_HTTP;
    f->until = clock_ns() + FETCH_SECONDS * UINT64_C(1000000000);
    return start(f);
}

/* The answer. */

static enum fetch_state try_other(struct fetch *f) {
    f->other_tried = true;
    f->speaks = f->speaks == TARGET_HTTP ? TARGET_FASTCGI : TARGET_HTTP;
    f->at = f->resolved;
    return start(f);
}

/* A socket of --status has the page at /, and nothing else. What another server has there is no page. */
static enum fetch_state try_root(struct fetch *f) {
    f->root_tried = true;
    strcpy(f->target.path, "/");
    return start(f);
}

/* Whether it is the answer to a health check, and not that of another server. */
static bool is_health(const struct fetch *f) {
    const char *begin = f->reply.status == 200 ? "ok\n" : f->reply.status == 503 ? "not fit: " : NULL;
    const struct slice body = f->reply.body;
    return !strcmp(f->query, FETCH_HEALTH) && begin && body.n >= strlen(begin) &&
           !memcmp(body.p, begin, strlen(begin)) && memchr(body.p, '\n', body.n) == body.p + body.n - 1;
}

/* Whether / had no page either; then the guess is what is told. */
static bool root_was_none(struct fetch *f) {
    static const char json[] = "application/json";
    struct slice type = f->reply.type;
    if (!f->root_tried || is_health(f) ||
        (f->reply.status == 200 && type.n >= strlen(json) && !memcmp(type.p, json, strlen(json))))
        return false;
    f->root_tried = false;
    f->reply.status = 404;
    strcpy(f->target.path, TARGET_DEFAULT_PATH);
    return true;
}

static enum fetch_state judge_status(struct fetch *f) {
    if (f->reply.status == 404 && f->target.guessed && !f->root_tried && f->speaks == TARGET_HTTP)
        return try_root(f);
    if (!root_was_none(f) && f->reply.status == 200)
        f->target.guessed = false;
    if (is_health(f))
        return FETCH_DONE;
    if (!strcmp(f->query, FETCH_HEALTH) && (f->reply.status == 200 || f->reply.status == 400))
        return fail(f, false, "what is at %s is no status page that tells of health", f->target.path);
    switch (f->reply.status) {
    case 200:
        return FETCH_DONE;
    case 403:
        return fail(f, false,
                    "the server does not show its status to this client (403): name this machine's address with "
                    "--status-allow of the server");
    case 404:
        return fail(f, false,
                    "there is no status page at %s (404): start the server with --status-path %s, or tell its path "
                    "with --path",
                    f->target.path, f->target.path);
    case 502:
    case 503:
    case 504:
        return fail(f, true, "the answer has status %u: is this a proxy? Name the server's own socket",
                    f->reply.status);
    default:
        return fail(f, false, "the answer has status %u: is the status page of the server at %s?", f->reply.status,
                    f->target.path);
    }
}

static const char *called(enum target_protocol protocol) {
    return protocol == TARGET_HTTP ? "HTTP" : "FastCGI";
}

/* Everything has come. */
static enum fetch_state judge(struct fetch *f) {
    enum reply_result result = reply_read(f->speaks, buf_head(&f->in), buf_len(&f->in), &f->reply);
    close(f->fd);
    f->fd = -1;
    if (result == REPLY_WHOLE) {
        f->target.protocol = f->speaks;
        return judge_status(f);
    }
    if (!f->other_tried && result != REPLY_CUT && result != REPLY_BAD)
        return try_other(f);
    switch (result) {
    case REPLY_CUT:
        return fail(f, true, "the answer has no end: the server ended the connection");
    case REPLY_BAD:
        return fail(f, false, "the answer has no status");
    case REPLY_FASTCGI:
    case REPLY_HTTP:
        return fail(f, false, "the socket speaks %s, and not %s",
                    called(result == REPLY_HTTP ? TARGET_HTTP : TARGET_FASTCGI), called(f->speaks));
    case REPLY_NOTHING:
        return fail(f, true,
                    "the server has closed the connection without an answer: may this user or machine connect "
                    "(--allow, --allow-uid), and does the socket speak %s?",
                    called(f->speaks));
    default:
        return fail(f, false, "what answers speaks neither FastCGI nor HTTP");
    }
}

static enum fetch_state finish_connecting(struct fetch *f) {
    int error = 0;
    socklen_t len = sizeof error;
    if (getsockopt(f->fd, SOL_SOCKET, SO_ERROR, &error, &len))
        error = errno;
    if (error)
        return start_next_address(f, error);
    f->connecting = false;
    return FETCH_WAITS;
}

/* A peer that has read enough may have closed its side: what it has said counts. */
static void send_some(struct fetch *f) {
    ssize_t n = send(f->fd, buf_head(&f->out), buf_len(&f->out), MSG_NOSIGNAL);
    if (n > 0)
        buf_consume(&f->out, (size_t)n);
    else if (errno != EAGAIN && errno != EINTR)
        buf_reset(&f->out, 0);
}

static enum fetch_state receive_some(struct fetch *f) {
    if (buf_reserve(&f->in, 65536))
        return fail(f, true, "out of memory");
    ssize_t n = recv(f->fd, buf_tail(&f->in), 65536, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return FETCH_WAITS;
    if (n <= 0)
        return judge(f);
    f->in.end += (size_t)n;
    if (buf_len(&f->in) > FETCH_MOST)
        return fail(f, false, "the answer is longer than %d MiB: is the status page of the server at %s?",
                    FETCH_MOST >> 20, f->target.path);
    return FETCH_WAITS;
}

/* A server that speaks HTTP may wait for the rest of what it takes for a head; then nothing comes. */
static enum fetch_state give_up(struct fetch *f) {
    if (f->connecting)
        return fail(f, true, "no connection within %d s", FETCH_SECONDS);
    return fail(f, true, "no answer within %d s: does the process stand still, or is this another server?",
                FETCH_SECONDS);
}

enum fetch_state fetch_go_on(struct fetch *f) {
    if (clock_ns() >= f->until)
        return give_up(f);
    struct pollfd p = {.fd = f->fd, .events = fetch_events(f)};
    if (poll(&p, 1, 0) <= 0)
        return FETCH_WAITS;
    if (f->connecting)
        return finish_connecting(f);
    if (buf_len(&f->out))
        send_some(f);
    return p.revents & ~POLLOUT ? receive_some(f) : FETCH_WAITS;
}

short fetch_events(const struct fetch *f) {
    return f->connecting ? POLLOUT : buf_len(&f->out) ? POLLIN | POLLOUT : POLLIN;
}

int fetch_left_ms(const struct fetch *f) {
    uint64_t now = clock_ns();
    return f->until <= now ? 0 : (int)((f->until - now) / 1000000) + 1;
}

enum fetch_state fetch_now(struct fetch *f) {
    enum fetch_state state = fetch_begin(f);
    while (state == FETCH_WAITS) {
        struct pollfd p = {.fd = fetch_fd(f), .events = fetch_events(f)};
        (void)poll(&p, 1, fetch_left_ms(f));
        state = fetch_go_on(f);
    }
    return state;
}
