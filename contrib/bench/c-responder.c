/* A FastCGI responder that gives the hello application's answer with no Python in it: the least that a single-threaded
 * responder can cost. It reads the records of a request, but looks at nothing in its parameters. */
#include "config.h"

#include <errno.h>
#include <fastcgi.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

enum { RECV_SIZE = 64 * 1024, BACKLOG = 1024, EVENTS = 64, ANSWERS = 64 };

struct conn {
    int fd;
    bool keep;
    FCGI_Header header; /* record being read */
    size_t header_len, content_len, content_left, padding_left;
};

#define HELLO "Status: 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, world\n"

struct answer {
    FCGI_Header out;
    char text[(sizeof HELLO - 1 + 7) & ~(size_t)7];
    FCGI_Header out_end;
    FCGI_Header end;
    FCGI_EndRequestBody status;
};

static int epoll_fd;

static _Noreturn void fail(const char *what) {
    fprintf(stderr, "c-responder: %s: %s\n", what, strerror(errno));
    exit(EX_OSERR);
}

static FCGI_Header header_make(int type, size_t n, unsigned char id1, unsigned char id0) {
    return (FCGI_Header){
        .version = FCGI_VERSION_1,
        .type = (unsigned char)type,
        .requestIdB1 = id1,
        .requestIdB0 = id0,
        .contentLengthB1 = (unsigned char)(n >> 8),
        .contentLengthB0 = (unsigned char)n,
        .paddingLength = (unsigned char)(-n & 7),
    };
}

static void answer_make(struct answer *a, unsigned char id1, unsigned char id0) {
    *a = (struct answer){
        .out = header_make(FCGI_STDOUT, sizeof HELLO - 1, id1, id0),
        .out_end = header_make(FCGI_STDOUT, 0, id1, id0),
        .end = header_make(FCGI_END_REQUEST, sizeof a->status, id1, id0),
        .status = {.protocolStatus = FCGI_REQUEST_COMPLETE},
    };
    memcpy(a->text, HELLO, sizeof HELLO - 1);
}

static void conn_close(struct conn *c) {
    close(c->fd);
    free(c);
}

static void conn_accept(int listener) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        if (errno == EAGAIN || errno == ECONNABORTED || errno == EINTR)
            return;
        fail("accept4");
    }
    struct conn *c = calloc(1, sizeof *c);
    if (!c)
        fail("calloc");
    c->fd = fd;
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &e))
        fail("epoll_ctl");
}

/* Takes bytes of one record, at most `n`. Returns how many. */
static size_t record_take(struct conn *c, const char *p, size_t n) {
    size_t part;
    if (c->header_len < sizeof c->header) {
        part = sizeof c->header - c->header_len;
        part = part < n ? part : n;
        memcpy((char *)&c->header + c->header_len, p, part);
        c->header_len += part;
        if (c->header_len == sizeof c->header) {
            c->content_len = c->content_left = (size_t)(c->header.contentLengthB1 << 8 | c->header.contentLengthB0);
            c->padding_left = c->header.paddingLength;
        }
        return part;
    }
    if (!c->content_left) {
        part = c->padding_left < n ? c->padding_left : n;
        c->padding_left -= part;
        return part;
    }
    part = c->content_left < n ? c->content_left : n;
    size_t done = c->content_len - c->content_left;
    size_t flags = offsetof(FCGI_BeginRequestBody, flags);
    if (c->header.type == FCGI_BEGIN_REQUEST && done <= flags && flags < done + part)
        c->keep = p[flags - done] & FCGI_KEEP_CONN;
    c->content_left -= part;
    return part;
}

/* Returns whether the socket took them all: one that does not belongs to a peer that reads no answers. */
static bool answers_send(const struct conn *c, const struct answer *answers, size_t count) {
    size_t size = count * sizeof *answers;
    return !count || send(c->fd, answers, size, MSG_NOSIGNAL) == (ssize_t)size;
}

/* Reads once, answers every request that is complete by it with one send, and closes when the peer asked for that. */
static void conn_serve(struct conn *c) {
    static char in[RECV_SIZE];
    static struct answer answers[ANSWERS];
    ssize_t n = recv(c->fd, in, sizeof in, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        conn_close(c);
        return;
    }
    size_t count = 0;
    bool answered = false;
    for (const char *p = in, *end = in + n; p < end;) {
        p += record_take(c, p, (size_t)(end - p));
        if (c->header_len < sizeof c->header || c->content_left || c->padding_left)
            continue;
        c->header_len = 0;
        if (c->header.type != FCGI_STDIN || c->content_len)
            continue;
        answer_make(&answers[count++], c->header.requestIdB1, c->header.requestIdB0);
        answered = true;
        if (count < ANSWERS)
            continue;
        if (!answers_send(c, answers, count)) {
            conn_close(c);
            return;
        }
        count = 0;
    }
    if (!answers_send(c, answers, count) || (answered && !c->keep))
        conn_close(c);
}

static int listen_at(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        fail(path);
    }
    memcpy(address.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, BACKLOG))
        fail(path);
    return fd;
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "Usage: c-responder /path/of.sock\n");
        return EX_USAGE;
    }
    int listener = listen_at(argv[1]);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL};
    if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &e))
        fail("epoll");
    for (;;) {
        struct epoll_event events[EVENTS];
        int n = epoll_wait(epoll_fd, events, EVENTS, -1);
        if (n < 0 && errno != EINTR)
            fail("epoll_wait");
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr)
                conn_serve(events[i].data.ptr);
            else
                conn_accept(listener);
        }
    }
}
