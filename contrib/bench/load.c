#include "config.h"

#include "load.h"

#include <errno.h>
#include <fastcgi.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

enum {
    RECV_SIZE = 256 * 1024,
    HEAD_MAX = 512, /* of a FastCGI answer this much is kept, to find its status */
    HTTP_HEAD_MAX = 16 * 1024,
    SEND_IOV = 16,
    EVENTS = 256,
};

#define SECOND ((uint64_t)1000000000)
#define MILLISECOND ((uint64_t)1000000)
#define STALL (10 * SECOND)

struct stream {
    uint64_t start; /* nanoseconds, CLOCK_MONOTONIC */
    uint64_t got;   /* bytes of answer so far */
    char *head;     /* first bytes of the answer, NUL-terminated */
    size_t head_len;
    bool active;
};

enum conn_state {
    CONN_CLOSED,  /* no descriptor; stays so */
    CONN_WAITING, /* the peer's backlog was full: connect is tried again */
    CONN_OPEN,
};

struct conn {
    enum conn_state state;
    int fd;
    bool want_out;
    unsigned inflight;
    struct stream *streams; /* by request id - 1 */
    uint16_t *queue;        /* ring of ids whose request is still to be sent; the first may be sent in part */
    unsigned queue_first, queue_len;
    size_t queue_off;
    FCGI_Header header; /* record being read */
    FCGI_EndRequestBody end;
    size_t header_len, content_len, content_left, padding_left;
    uint64_t body_left; /* HTTP */
    bool in_body;       /* HTTP */
};

_Noreturn void fail(int status, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    fputs("fcgi-load: ", stderr);
    vfprintf(stderr, format, ap);
    fputc('\n', stderr);
    va_end(ap);
    exit(status);
}

static void *allocate(size_t count, size_t size) {
    void *p = calloc(count ? count : 1, size);
    if (!p)
        fail(EX_OSERR, "out of memory");
    return p;
}

static uint64_t clock_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

/* Connections */

static void conn_watch(struct load *l, struct conn *c, int op) {
    struct epoll_event e = {.events = EPOLLIN | (c->want_out ? EPOLLOUT : 0), .data.ptr = c};
    if (epoll_ctl(l->epoll, op, c->fd, &e))
        fail(EX_OSERR, "epoll_ctl: %s", strerror(errno));
}

/* Sends what is queued. Errors are left to the read that follows them, which sees the answer sent before them too. */
static void conn_flush(struct load *l, struct conn *c) {
    while (c->queue_len) {
        struct iovec iov[SEND_IOV];
        unsigned n = 0;
        for (; n < SEND_IOV && n < c->queue_len; n++) {
            const struct blob *b = &l->requests[c->queue[(c->queue_first + n) % (2 * l->mux)] - 1];
            size_t skip = n ? 0 : c->queue_off;
            iov[n] = (struct iovec){.iov_base = b->data + skip, .iov_len = b->len - skip};
        }
        struct msghdr m = {.msg_iov = iov, .msg_iovlen = n};
        ssize_t sent = sendmsg(c->fd, &m, MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno == ECONNREFUSED)
                fail(EX_UNAVAILABLE, "%s: %s", l->socket, strerror(errno));
            if (errno != EAGAIN)
                c->queue_len = 0;
            break;
        }
        size_t left = (size_t)sent;
        for (unsigned i = 0; i < n && left >= iov[i].iov_len; i++) {
            left -= iov[i].iov_len;
            c->queue_first = (c->queue_first + 1) % (2 * l->mux);
            c->queue_len--;
            c->queue_off = 0;
        }
        c->queue_off += left;
    }
    if (c->want_out != (c->queue_len > 0)) {
        c->want_out = !c->want_out;
        conn_watch(l, c, EPOLL_CTL_MOD);
    }
}

static bool load_wants_more(const struct load *l) {
    return l->until ? l->now < l->until : l->issued < l->limit;
}

static void conn_issue(struct load *l, struct conn *c, unsigned id) {
    struct stream *s = &c->streams[id - 1];
    s->start = l->now;
    s->got = 0;
    s->head_len = 0;
    s->active = true;
    c->queue[(c->queue_first + c->queue_len++) % (2 * l->mux)] = (uint16_t)id;
    c->inflight++;
    l->issued++;
}

static void conn_open(struct load *l, struct conn *c) {
    uint64_t start = clock_now();
    if (c->state == CONN_WAITING)
        l->waiting--;
    int family = l->addr.ss_family;
    c->fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (c->fd < 0)
        fail(EX_OSERR, "socket: %s", strerror(errno));
    if (family != AF_UNIX)
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    if (connect(c->fd, (struct sockaddr *)&l->addr, l->addr_len) && errno != EINPROGRESS) {
        if (errno != EAGAIN)
            fail(EX_UNAVAILABLE, "%s: %s", l->socket, strerror(errno));
        /* A Unix socket whose backlog is full says so at once and gives no event to wait for. */
        close(c->fd);
        c->state = CONN_WAITING;
        l->waiting++;
        return;
    }
    c->state = CONN_OPEN;
    c->queue_first = c->queue_len = c->inflight = 0;
    c->queue_off = c->header_len = 0;
    c->want_out = c->in_body = false;
    l->opened++;
    l->now = start; /* the latency of a connection's first request includes connecting */
    conn_watch(l, c, EPOLL_CTL_ADD);
    for (unsigned id = 1; id <= l->mux && load_wants_more(l); id++)
        conn_issue(l, c, id);
    conn_flush(l, c);
}

/* Ends the connection, counts what was under way on it as failed, and opens the next one if there is more to ask. */
static void conn_reopen(struct load *l, struct conn *c) {
    close(c->fd);
    c->state = CONN_CLOSED;
    l->errors += c->inflight;
    l->done += c->inflight;
    for (unsigned i = 0; i < l->mux; i++)
        c->streams[i].active = false;
    if (load_wants_more(l) && !l->once && !l->idle)
        conn_open(l, c);
}

/* Answers */

static bool head_says_200(const struct load *l, const char *head) {
    static const char ok[] = "Status: 200";
    if (!strncmp(head, "HTTP/1.", 7))
        return !strncmp(head + 8, " 200", 4);
    if (l->spec.http)
        return false;
    if (!strncmp(head, ok, sizeof ok - 1))
        return true;
    /* RFC 3875 section 6.2.1: without a Status it is 200. */
    const char *status = strcasestr(head, "Status:");
    return !status || !strncmp(status + 7 + strspn(status + 7, " "), "200", 3);
}

static void stream_finish(struct load *l, struct conn *c, unsigned id, bool complete) {
    struct stream *s = &c->streams[id - 1];
    s->active = false;
    s->head[s->head_len] = 0;
    c->inflight--;
    l->done++;
    l->progress = l->now;
    if (!complete || !s->got)
        l->errors++;
    else if (!head_says_200(l, s->head))
        l->not200++;
    if (l->now < l->measured)
        return;
    l->counted++;
    histogram_add(&l->latency, l->now - s->start);
}

/* Keeps the head of the answer, shows it with --once. */
static void stream_take(const struct load *l, struct stream *s, const char *p, size_t n) {
    size_t room = HEAD_MAX - 1 - s->head_len;
    size_t part = n < room ? n : room;
    memcpy(s->head + s->head_len, p, part);
    s->head_len += part;
    s->got += n;
    if (l->once)
        fwrite(p, 1, n, stdout);
}

/* Takes `n` bytes of the content of the current record. Returns 0, or -1 when no such record may come. */
static int record_take(const struct load *l, struct conn *c, const char *p, size_t n) {
    unsigned id = (unsigned)(c->header.requestIdB1 << 8 | c->header.requestIdB0);
    if (c->header.version != FCGI_VERSION_1 || !id || id > l->mux || !c->streams[id - 1].active)
        return -1;
    switch (c->header.type) {
    case FCGI_STDOUT:
        stream_take(l, &c->streams[id - 1], p, n);
        return 0;
    case FCGI_STDERR:
        if (l->once)
            fwrite(p, 1, n, stderr);
        return 0;
    case FCGI_END_REQUEST:
        if (c->content_len != sizeof c->end)
            return -1;
        if (n)
            memcpy((char *)&c->end + c->content_len - c->content_left, p, n);
        return 0;
    default:
        return -1;
    }
}

/* The current record is whole. Returns true when the connection was ended by it. */
static bool record_end(struct load *l, struct conn *c) {
    c->header_len = 0;
    if (c->header.type != FCGI_END_REQUEST)
        return false;
    unsigned id = (unsigned)(c->header.requestIdB1 << 8 | c->header.requestIdB0);
    if (l->once) {
        const FCGI_EndRequestBody *e = &c->end;
        uint32_t status = (uint32_t)e->appStatusB3 << 24 | (uint32_t)e->appStatusB2 << 16 |
                          (uint32_t)e->appStatusB1 << 8 | e->appStatusB0;
        fflush(stdout);
        fprintf(stderr, "[end appStatus=%d protocolStatus=%d]\n", (int)status, e->protocolStatus);
    }
    stream_finish(l, c, id, c->end.protocolStatus == FCGI_REQUEST_COMPLETE);
    if (!l->spec.keep) {
        conn_reopen(l, c);
        return true;
    }
    if (load_wants_more(l) && !l->idle)
        conn_issue(l, c, id);
    return false;
}

/* Takes what a FastCGI peer sent. Returns 0, 1 when the connection is gone, -1 when it broke the protocol. */
static int fcgi_take(struct load *l, struct conn *c, const char *p, size_t n) {
    while (n) {
        size_t part;
        if (c->header_len < sizeof c->header) {
            part = sizeof c->header - c->header_len;
            part = part < n ? part : n;
            memcpy((char *)&c->header + c->header_len, p, part);
            c->header_len += part;
            if (c->header_len == sizeof c->header) {
                c->content_len = c->content_left = (size_t)(c->header.contentLengthB1 << 8 | c->header.contentLengthB0);
                c->padding_left = c->header.paddingLength;
                if (record_take(l, c, p, 0))
                    return -1;
            }
        } else if (c->content_left) {
            part = c->content_left < n ? c->content_left : n;
            if (record_take(l, c, p, part))
                return -1;
            c->content_left -= part;
        } else {
            part = c->padding_left < n ? c->padding_left : n;
            c->padding_left -= part;
        }
        p += part;
        n -= part;
        if (c->header_len == sizeof c->header && !c->content_left && !c->padding_left && record_end(l, c))
            return 1;
    }
    return 0;
}

/* Adds `n` bytes to the head of an HTTP answer. Returns how many belong to it, or -1 when it is no head we know. */
static ssize_t http_take_head(struct conn *c, struct stream *s, const char *p, size_t n) {
    size_t before = s->head_len;
    size_t room = HTTP_HEAD_MAX - 1 - before;
    size_t part = n < room ? n : room;
    memcpy(s->head + before, p, part);
    s->head_len += part;
    s->head[s->head_len] = 0;
    char *end = strstr(s->head + (before < 3 ? 0 : before - 3), "\r\n\r\n");
    if (!end)
        return part < n ? -1 : (ssize_t)part;
    s->head_len = (size_t)(end + 4 - s->head);
    s->head[s->head_len] = 0;
    const char *length = strcasestr(s->head, "\r\nContent-Length:");
    if (!length)
        return -1;
    c->body_left = strtoull(length + strlen("\r\nContent-Length:"), NULL, 10);
    c->in_body = true;
    return (ssize_t)(s->head_len - before);
}

/* As fcgi_take, for HTTP/1.1 with kept connections and a Content-Length. */
static int http_take(struct load *l, struct conn *c, const char *p, size_t n) {
    struct stream *s = &c->streams[0];
    while (n) {
        if (!s->active)
            return -1;
        size_t part;
        if (c->in_body) {
            part = c->body_left < n ? (size_t)c->body_left : n;
            c->body_left -= part;
        } else {
            ssize_t taken = http_take_head(c, s, p, n);
            if (taken < 0)
                return -1;
            part = (size_t)taken;
        }
        if (l->once)
            fwrite(p, 1, part, stdout);
        s->got += part;
        p += part;
        n -= part;
        if (!c->in_body || c->body_left)
            continue;
        c->in_body = false;
        stream_finish(l, c, 1, true);
        if (load_wants_more(l) && !l->idle)
            conn_issue(l, c, 1);
    }
    return 0;
}

static void conn_read(struct load *l, struct conn *c) {
    ssize_t n = recv(c->fd, l->input, RECV_SIZE, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    l->now = clock_now();
    if (n < 0 && errno == ECONNREFUSED)
        fail(EX_UNAVAILABLE, "%s: %s", l->socket, strerror(errno));
    if (n <= 0) {
        conn_reopen(l, c);
        return;
    }
    l->bytes += l->now < l->measured ? 0 : (uint64_t)n;
    int ended = l->spec.http ? http_take(l, c, l->input, (size_t)n) : fcgi_take(l, c, l->input, (size_t)n);
    if (ended < 0) {
        if (!l->broken++)
            fprintf(stderr, "fcgi-load: the peer sent what it must not; connection ended (said once)\n");
        conn_reopen(l, c);
    } else if (!ended) {
        conn_flush(l, c);
    }
}

/* The run */

void load_init(struct load *l) {
    struct rlimit files;
    if (!getrlimit(RLIMIT_NOFILE, &files)) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    l->requests = request_build(&l->spec, l->mux);
    if (!l->requests)
        fail(EX_OSERR, "out of memory");
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (l->epoll < 0)
        fail(EX_OSERR, "epoll_create1: %s", strerror(errno));
    l->input = allocate(1, RECV_SIZE);
    l->conns = allocate((size_t)l->clients, sizeof *l->conns);
    size_t head = l->spec.http ? HTTP_HEAD_MAX : HEAD_MAX;
    for (long i = 0; i < l->clients; i++) {
        struct conn *c = &l->conns[i];
        c->queue = allocate(2 * l->mux, sizeof *c->queue);
        c->streams = allocate(l->mux, sizeof *c->streams);
        for (unsigned id = 0; id < l->mux; id++)
            c->streams[id].head = allocate(1, head);
    }
}

static bool load_is_over(struct load *l) {
    l->now = clock_now();
    if (l->until ? l->now >= l->until : l->done >= l->limit)
        return true;
    l->stalled = l->now - l->progress >= STALL;
    if (l->stalled)
        fprintf(stderr, "fcgi-load: no answer for %d seconds, %ld of %ld done\n", (int)(STALL / SECOND), l->done,
                l->issued);
    return l->stalled;
}

static void retry_waiting(struct load *l) {
    for (long i = 0; i < l->clients; i++) {
        if (l->conns[i].state == CONN_WAITING)
            conn_open(l, &l->conns[i]);
    }
}

void load_run(struct load *l) {
    l->now = l->begin = l->progress = clock_now();
    l->measured = l->begin + (uint64_t)(l->warmup * (double)SECOND);
    l->until = l->seconds > 0 ? l->measured + (uint64_t)(l->seconds * (double)SECOND) : 0;
    for (long i = 0; i < l->clients; i++)
        conn_open(l, &l->conns[i]);
    while (!load_is_over(l)) {
        uint64_t wake = l->progress + STALL;
        if (l->until && l->until < wake)
            wake = l->until;
        int timeout = l->waiting ? 1 : (int)((wake - l->now) / MILLISECOND + 1);
        struct epoll_event events[EVENTS];
        int n = epoll_wait(l->epoll, events, EVENTS, timeout);
        for (int i = 0; i < n; i++) {
            struct conn *c = events[i].data.ptr;
            if (events[i].events & EPOLLOUT)
                conn_flush(l, c);
            if (events[i].events & ~(uint32_t)EPOLLOUT)
                conn_read(l, c);
        }
        if (l->waiting)
            retry_waiting(l);
    }
}

bool load_was_good(const struct load *l) {
    return !l->stalled && !l->errors && !l->not200;
}

void load_print(const struct load *l, bool json) {
    double seconds = l->now > l->measured ? (double)(l->now - l->measured) / (double)SECOND : 0;
    double rate = seconds > 0 ? 1 / seconds : 0;
    const struct {
        const char *name;
        double value;
        int decimals;
    } fields[] = {
        {"requests", (double)l->counted, 0},
        {"requests_all", (double)l->done, 0},
        {"connections", (double)l->opened, 0},
        {"errors", (double)l->errors, 0},
        {"not200", (double)l->not200, 0},
        {"seconds", seconds, 3},
        {"rps", (double)l->counted * rate, 1},
        {"mb_per_s", (double)l->bytes * rate / 1e6, 1},
        {"p50_us", (double)histogram_quantile(&l->latency, .5) / 1000, 1},
        {"p90_us", (double)histogram_quantile(&l->latency, .9) / 1000, 1},
        {"p99_us", (double)histogram_quantile(&l->latency, .99) / 1000, 1},
        {"p999_us", (double)histogram_quantile(&l->latency, .999) / 1000, 1},
        {"max_us", (double)l->latency.max / 1000, 1},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        printf(json ? "%s\"%s\": %.*f" : "%s%s %.*f",
               !i     ? json ? "{" : ""
               : json ? ", "
                      : "  ",
               fields[i].name, fields[i].decimals, fields[i].value);
    puts(json ? "}" : "");
    fflush(stdout);
}

long load_hold_idle(const struct load *l) {
    char ignored[256];
    while (read(STDIN_FILENO, ignored, sizeof ignored) > 0)
        continue;
    long lost = 0;
    for (long i = 0; i < l->clients; i++) {
        const struct conn *c = &l->conns[i];
        if (c->state != CONN_OPEN || recv(c->fd, ignored, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 || errno != EAGAIN)
            lost++;
    }
    if (lost)
        fprintf(stderr, "fcgi-load: %ld of %ld idle connections did not stay open\n", lost, l->clients);
    return lost;
}
