#include "config.h"

#include "load-conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sysexits.h>
#include <unistd.h>

enum {
    RECV_SIZE = 256 * 1024, /* of load->input */
    SEND_PIECES = 32,
    NARROW_BUFFER = 4096,
    WIDE_BUFFER = 1024 * 1024,
    NARROW_SEGMENT = 1460, /* of Ethernet */
};

void conn_init(const struct load *l, struct conn *c) {
    c->queue = allocate(l->mux, sizeof *c->queue);
    c->streams = allocate(l->mux, sizeof *c->streams);
    for (unsigned i = 0; i < l->mux; i++)
        c->streams[i].answer.text = allocate(1, HEAD_MAX);
}

static void conn_watch(struct load *l, struct conn *c, int op) {
    struct epoll_event e = {.events = EPOLLIN | (c->want_out ? EPOLLOUT : 0), .data.ptr = c};
    if (epoll_ctl(l->epoll, op, c->fd, &e))
        fail(EX_OSERR, "epoll_ctl: %s", strerror(errno));
}

/* Describes what is to be sent, from the first byte that was not. */
static unsigned queue_pieces(const struct load *l, const struct conn *c, struct iovec *pieces) {
    unsigned n = 0;
    for (unsigned i = 0; i < c->queue_len && n < SEND_PIECES; i++) {
        const struct request *r = &l->requests[c->queue[(c->queue_first + i) % l->mux] - 1];
        n += request_pieces(r, i ? 0 : c->queue_off, pieces + n, SEND_PIECES - n);
    }
    return n;
}

static void queue_sent(const struct load *l, struct conn *c, size_t n) {
    c->queue_off += n;
    while (c->queue_len) {
        size_t length = request_length(&l->requests[c->queue[c->queue_first] - 1]);
        if (c->queue_off < length)
            break;
        c->queue_off -= length;
        c->queue_first = (c->queue_first + 1) % l->mux;
        c->queue_len--;
    }
}

static void conn_connected(struct load *l, struct conn *c) {
    l->connecting -= !c->connected;
    c->connected = true;
}

/* Sends what is queued. Errors are left to the read that follows them, which sees the answer sent before them too. */
static void conn_flush(struct load *l, struct conn *c) {
    while (c->queue_len) {
        struct iovec pieces[SEND_PIECES];
        struct msghdr m = {.msg_iov = pieces, .msg_iovlen = queue_pieces(l, c, pieces)};
        ssize_t sent = sendmsg(c->fd, &m, MSG_NOSIGNAL);
        if (sent >= 0) {
            conn_connected(l, c);
            queue_sent(l, c, (size_t)sent);
            l->heard = l->now;
            continue;
        }
        if (errno == ECONNREFUSED && !l->visitors)
            fail(EX_UNAVAILABLE, "%s: %s", l->socket, strerror(errno));
        if (errno != EAGAIN)
            c->queue_len = 0;
        break;
    }
    if (c->want_out != (c->queue_len || (l->visitors && !c->connected))) {
        c->want_out = !c->want_out;
        conn_watch(l, c, EPOLL_CTL_MOD);
    }
}

/* As a peer behind a thin line: the loopback interface would offer megabytes, which the kernel would hold for it.
 * Little room to receive tells the server sooner that something was read. */
static void conn_narrow(const struct conn *c, int family) {
    setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &(int){NARROW_BUFFER}, sizeof(int));
    if (family != AF_UNIX)
        setsockopt(c->fd, IPPROTO_TCP, TCP_MAXSEG, &(int){NARROW_SEGMENT}, sizeof(int));
}

/* What was under way on the connection, which is closed, is lost. */
static void conn_lose(struct load *l, struct conn *c) {
    c->queue_len = 0;
    for (unsigned id = 1; id <= l->mux; id++) {
        if (!c->streams[id - 1].active)
            continue;
        c->streams[id - 1].active = false;
        c->inflight--;
        load_settle(l, c, id, c->connected ? ANSWER_BROKEN : ANSWER_UNREACHABLE);
    }
}

void conn_widen(const struct load *l, const struct conn *c) {
    setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &(int){WIDE_BUFFER}, sizeof(int));
    /* The window would stay as narrow as the buffer was at first. */
    if (l->addr.ss_family != AF_UNIX)
        setsockopt(c->fd, IPPROTO_TCP, TCP_WINDOW_CLAMP, &(int){WIDE_BUFFER}, sizeof(int));
}

static void conn_open(struct load *l, struct conn *c) {
    if (c->state == CONN_WAITING)
        l->waiting--;
    int family = l->addr.ss_family;
    c->fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (c->fd < 0)
        fail(EX_OSERR, "socket: %s", strerror(errno));
    if (family != AF_UNIX)
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    if (l->slow)
        conn_narrow(c, family);
    if (connect(c->fd, (struct sockaddr *)&l->addr, l->addr_len) && errno != EINPROGRESS) {
        /* A Unix socket whose backlog is full says so at once and gives no event to wait for; TCP may be out of ports
         * until connections that were closed are forgotten. */
        bool later = errno == EAGAIN || errno == EADDRNOTAVAIL;
        if (!later && !l->visitors)
            fail(EX_UNAVAILABLE, "%s: %s", l->socket, strerror(errno));
        close(c->fd);
        c->state = later ? CONN_WAITING : CONN_CLOSED;
        l->waiting += later;
        c->connected = false;
        if (!later)
            conn_lose(l, c);
        return;
    }
    c->state = CONN_OPEN;
    c->queue_off = c->header_len = 0;
    c->want_out = c->connected = c->answered = false;
    l->connecting++;
    l->opened++;
    conn_watch(l, c, EPOLL_CTL_ADD);
}

void conn_issue(struct load *l, struct conn *c, unsigned id, uint64_t start) {
    struct stream *s = &c->streams[id - 1];
    s->start = start;
    s->active = true;
    answer_reset(&s->answer);
    c->queue[(c->queue_first + c->queue_len++) % l->mux] = (uint16_t)id;
    c->inflight++;
    l->issued++;
}

void conn_push(struct load *l, struct conn *c) {
    if (c->state != CONN_OPEN)
        conn_open(l, c);
    if (c->state == CONN_OPEN)
        conn_flush(l, c);
}

void conn_writable(struct load *l, struct conn *c) {
    conn_connected(l, c);
    conn_push(l, c);
}

static void conn_close(struct load *l, struct conn *c) {
    close(c->fd);
    l->connecting -= !c->connected;
    c->state = CONN_CLOSED;
    c->queue_len = 0;
}

static void conn_fail(struct load *l, struct conn *c) {
    conn_close(l, c);
    conn_lose(l, c);
}

void conn_abandon(struct load *l, struct conn *c) {
    if (c->state == CONN_OPEN)
        conn_close(l, c);
    l->waiting -= c->state == CONN_WAITING;
    c->state = CONN_CLOSED;
    c->queue_len = 0;
    for (unsigned i = 0; i < l->mux; i++)
        c->streams[i].active = false;
    c->inflight = 0;
}

static void stream_finish(struct load *l, struct conn *c, unsigned id, enum answer_verdict verdict) {
    c->answered = true;
    c->streams[id - 1].active = false;
    c->inflight--;
    load_settle(l, c, id, verdict);
}

/* Takes `n` bytes of the content of the current record. Returns 0, or -1 when no such record may come. */
static int record_take(const struct load *l, struct conn *c, const char *p, size_t n) {
    unsigned id = (unsigned)(c->header.requestIdB1 << 8 | c->header.requestIdB0);
    if (c->header.version != FCGI_VERSION_1 || !id || id > l->mux || !c->streams[id - 1].active)
        return -1;
    switch (c->header.type) {
    case FCGI_STDOUT:
        if (l->once)
            fwrite(p, 1, n, stdout);
        return answer_take_stdout(&c->streams[id - 1].answer, p, n);
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
    bool complete = c->end.protocolStatus == FCGI_REQUEST_COMPLETE;
    if (!l->spec.keep)
        conn_close(l, c);
    const struct answer *a = &c->streams[id - 1].answer;
    stream_finish(l, c, id, complete ? answer_judge(a, l->body_length) : ANSWER_BROKEN);
    return !l->spec.keep;
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

/* As fcgi_take, for HTTP/1.1. */
static int http_take(struct load *l, struct conn *c, const char *p, size_t n) {
    struct stream *s = &c->streams[0];
    while (n) {
        if (!s->active)
            return -1;
        ssize_t part = answer_take_http(&s->answer, p, n);
        if (part < 0)
            return -1;
        if (l->once)
            fwrite(p, 1, (size_t)part, stdout);
        p += part;
        n -= (size_t)part;
        if (s->answer.state != ANSWER_DONE)
            continue;
        bool closes = s->answer.head.closes || !l->spec.keep;
        /* More bytes than its length says make an answer wrong, kept or not. */
        if (n)
            return -1;
        if (closes)
            conn_close(l, c);
        stream_finish(l, c, 1, answer_judge(&s->answer, l->body_length));
        return closes;
    }
    return 0;
}

/* RFC 9112 section 9.3.1: a server may close a kept connection at any time, and a request that it had not begun to
 * answer is sent again on another. Its time goes on. */
static void conn_retry(struct load *l, struct conn *c) {
    conn_close(l, c);
    l->retried++;
    c->queue[c->queue_first] = 1;
    c->queue_len = 1;
}

/* The peer closed the connection, which is the end of an HTTP answer that has no other. */
static void conn_ended(struct load *l, struct conn *c) {
    struct stream *s = &c->streams[0];
    if (!l->spec.http || !s->active) {
        conn_fail(l, c);
    } else if (s->answer.state == ANSWER_TO_CLOSE) {
        conn_close(l, c);
        stream_finish(l, c, 1, answer_judge(&s->answer, l->body_length));
    } else if (c->answered && s->answer.state == ANSWER_HEAD && !s->answer.text_len) {
        conn_retry(l, c);
    } else {
        conn_fail(l, c);
    }
}

void conn_read(struct load *l, struct conn *c) {
    ssize_t n = recv(c->fd, l->input, l->read_max ? l->read_max : RECV_SIZE, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    l->now = clock_now();
    if (n < 0 && errno == ECONNREFUSED && !l->visitors)
        fail(EX_UNAVAILABLE, "%s: %s", l->socket, strerror(errno));
    int ended = 1;
    if (n <= 0) {
        conn_ended(l, c);
    } else {
        l->heard = l->now;
        l->bytes += l->now < l->measured ? 0 : (uint64_t)n;
        ended = l->spec.http ? http_take(l, c, l->input, (size_t)n) : fcgi_take(l, c, l->input, (size_t)n);
    }
    if (ended < 0) {
        if (!l->broken++)
            fprintf(stderr, "fcgi-load: the peer sent what it must not; connection ended (said once)\n");
        if (!c->inflight)
            l->errors++;
        conn_fail(l, c);
    }
    if (c->queue_len)
        conn_push(l, c);
}
