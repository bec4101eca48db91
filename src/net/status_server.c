#include "config.h"

#include "net/status_server.h"

#include "base/buf.h"
#include "base/descriptors.h"
#include "base/log.h"
#include "base/log_limit.h"
#include "net/loop.h"
#include "net/status_page.h"
#include "proto/http_encode.h"
#include "proto/status_head.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <time.h>

enum { ACCEPT_BATCH = 16 /* connections accepted before others get a turn */ };
static const ev_tstamp ACCEPT_PAUSE = 0.5; /* seconds without descriptors before accept is tried again */

enum client_state {
    CLIENT_READS,  /* its head */
    CLIENT_WAITS,  /* for the page */
    CLIENT_TAKES,  /* the answer */
    CLIENT_LINGERS /* the answer was sent: until it has ended its side */
};

struct status_client {
    struct status_server *server;
    enum client_state state;
    int fd;
    ev_io io;
    ev_timer timer; /* for what it has to do in this state */
    struct status_waiter waiter;
    enum status_form form;
    bool head_only;
    bool is_unix;
    size_t len, scanned; /* of `head` */
    size_t dropped;
    struct buf out;
    TAILQ_ENTRY(status_client) link;
    char head[STATUS_HEAD_MAX];
};

struct status_listener {
    ev_io io;
    struct status_server *server;
    struct listener *listener;
};

struct status_server {
    struct ev_loop *loop;
    struct allow_rules *allow;
    struct status_page *page;
    struct status_listener *listeners;
    size_t nlisteners;
    TAILQ_HEAD(, status_client) clients; /* in the order in which they came */
    unsigned nclients;
    bool stopped;
    ev_timer pause;
    struct log_limit accept_limit, refuse_limit;
};

/* Accepting goes on and stops. */

static void accept_again(struct status_server *s) {
    ev_timer_stop(s->loop, &s->pause);
    for (size_t i = 0; i < s->nlisteners && !s->stopped; i++)
        ev_io_start(s->loop, &s->listeners[i].io);
}

static void accept_stop(struct status_server *s) {
    ev_timer_stop(s->loop, &s->pause);
    for (size_t i = 0; i < s->nlisteners; i++)
        ev_io_stop(s->loop, &s->listeners[i].io);
}

static void pause_cb(struct ev_loop *loop, ev_timer *timer, int revents) {
    (void)loop;
    (void)revents;
    accept_again(timer->data);
}

/* Descriptors or memory are short. */
static void accept_pause(struct status_server *s, int error) {
    char more[LOG_MORE_SIZE];
    if (log_limit_due(&s->accept_limit, more))
        log_warning("cannot accept connections for the status page: %s%s", strerror(error), more);
    accept_stop(s);
    ev_timer_start(s->loop, &s->pause);
}

/* Clients. */

static void client_close(struct status_client *c) {
    struct status_server *s = c->server;
    if (c->state == CLIENT_WAITS)
        status_page_cancel(s->page, &c->waiter);
    ev_io_stop(s->loop, &c->io);
    ev_timer_stop(s->loop, &c->timer);
    loop_forget(s->loop, c->fd);
    descriptors_close(c->fd);
    TAILQ_REMOVE(&s->clients, c, link);
    bool was_full = s->nclients-- == STATUS_SERVER_CLIENTS;
    buf_fini(&c->out);
    free(c);
    if (was_full)
        accept_again(s);
}

/* What it may do, and for how long. */
static void client_enter(struct status_client *c, enum client_state state, int events, ev_tstamp seconds) {
    struct ev_loop *loop = c->server->loop;
    c->state = state;
    ev_io_stop(loop, &c->io);
    ev_io_set(&c->io, c->fd, events);
    if (events)
        ev_io_start(loop, &c->io);
    ev_timer_stop(loop, &c->timer);
    ev_now_update(loop); /* it may have been long in a callback */
    ev_timer_set(&c->timer, seconds, 0.);
    ev_timer_start(loop, &c->timer);
}

/* The peer may be sending still: a plain close would be a reset for it, and it might lose the answer. */
static void client_linger(struct status_client *c) {
    shutdown(c->fd, SHUT_WR);
    client_enter(c, CLIENT_LINGERS, EV_READ, STATUS_SERVER_LINGER_S);
}

static void client_send(struct status_client *c) {
    while (buf_len(&c->out)) {
        ssize_t n = send(c->fd, buf_head(&c->out), buf_len(&c->out), MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN) {
            client_close(c);
            return;
        }
        if (n < 0)
            return;
        buf_consume(&c->out, (size_t)n);
    }
    client_linger(c);
}

/* Puts the head in front of the content, and sends both. `fields`: lines that end in CR LF. */
static void client_answer(struct status_client *c, const char *status, const char *fields, const struct buf *content) {
    char head[256], date[HTTP_DATE_LEN];
    http_put_date(date, time(NULL));
    int n = snprintf(head, sizeof head, "HTTP/1.1 %s\r\nDate: %.*s\r\nContent-Length: %zu\r\nConnection: close\r\n",
                     status, HTTP_DATE_LEN, date, buf_len(content));
    if (buf_append(&c->out, head, (size_t)n) || buf_append(&c->out, fields, strlen(fields)) ||
        buf_append(&c->out, "\r\n", 2) ||
        (!c->head_only && buf_len(content) && buf_append(&c->out, buf_head(content), buf_len(content)))) {
        log_error("out of memory");
        client_close(c);
        return;
    }
    client_enter(c, CLIENT_TAKES, EV_WRITE, STATUS_SERVER_SEND_S);
    client_send(c);
}

static void log_refused(struct status_client *c, const char *status, const char *why) {
    char more[LOG_MORE_SIZE], text[ADDRESS_TEXT_SIZE];
    struct sockaddr_storage peer = {.ss_family = AF_UNSPEC};
    socklen_t len = sizeof peer;
    if (!log_limit_due(&c->server->refuse_limit, more))
        return;
    bool known = !getpeername(c->fd, (struct sockaddr *)&peer, &len) && peer.ss_family != AF_UNIX;
    log_info("status page: %s (peer %s): %s%s", status,
             known ? address_format((const struct sockaddr *)&peer, len, text) : "a process of this machine", why,
             more);
}

static void client_refuse(struct status_client *c, const char *status, const char *fields, const char *why) {
    char text[64], lines[256];
    int n = snprintf(text, sizeof text, "%s\n", status);
    struct buf content = {.data = text, .end = (size_t)n, .size = sizeof text};
    snprintf(lines, sizeof lines, "Content-Type: text/plain; charset=utf-8\r\nCache-Control: no-store\r\n%s", fields);
    log_refused(c, status, why);
    client_answer(c, status, lines, &content);
}

/* The page is there. */
static void ready_cb(struct status_waiter *waiter) {
    struct status_client *c = (void *)((char *)waiter - offsetof(struct status_client, waiter));
    char fields[2048]; /* status_headers has a quarter of that at most */
    struct buf page = {0};
    c->state = CLIENT_TAKES; /* it does not wait any more */
    snprintf(fields, sizeof fields, "Content-Type: %s\r\n%s", status_content_type(c->form), status_headers(c->form));
    const int code = status_page_render(c->server->page, c->form, waiter->stacks, &page);
    if (code < 0) {
        log_error("out of memory");
        client_close(c);
    } else
        client_answer(c, status_line(code), fields, &page);
    buf_fini(&page);
}

static bool is_text(struct slice s, const char *text) {
    return s.n == strlen(text) && !memcmp(s.p, text, s.n);
}

/* Prometheus asks for this path unless it is told another one, and says what it takes: this is for people with curl. */
static enum status_form choose(const struct status_head *head) {
    static const char prometheus[] = "application/openmetrics-text";
    struct slice accept = head->accept;
    if (is_text(head->path, "/metrics") && (!accept.n || is_text(accept, "*/*")))
        accept = (struct slice){prometheus, sizeof prometheus - 1};
    return status_choose(accept.p, accept.n, head->query.p, head->query.n);
}

/* Browsers of this machine come from loopback, too, whatever page they do it for. Whoever names clients means all that
 * comes from these. */
static bool is_lured(const struct status_client *c, const struct status_head *head) {
    const struct allow_rules *allow = c->server->allow;
    return !allow->status_given && !c->is_unix && !status_host_is_of_here(head->host);
}

static void client_ask(struct status_client *c, const struct status_head *head) {
    c->head_only = head->head_only;
    if (is_lured(c, head)) {
        client_refuse(c, "403 Forbidden", "", STATUS_HOST_REFUSED);
        return;
    }
    if (!is_text(head->path, "/") && !is_text(head->path, "/metrics")) {
        client_refuse(c, "404 Not Found", "", "the page is at / and /metrics");
        return;
    }
    c->form = choose(head);
    client_enter(c, CLIENT_WAITS, 0, STATUS_SERVER_HEAD_S);
    status_page_wait(c->server->page, &c->waiter, status_wants_stacks(c->form, head->query.p, head->query.n));
}

/* What has come of the head by now. */
static void client_look(struct status_client *c) {
    struct status_head head;
    switch (status_head_read(c->head, c->len, &c->scanned, &head)) {
    case STATUS_HEAD_OK:
        client_ask(c, &head);
        return;
    case STATUS_HEAD_BAD:
        client_refuse(c, "400 Bad Request", "", "it is no request for the status page over HTTP");
        return;
    case STATUS_HEAD_BAD_METHOD:
        client_refuse(c, "405 Method Not Allowed", "Allow: GET, HEAD\r\n", "its method is neither GET nor HEAD");
        return;
    case STATUS_HEAD_MORE:
        break;
    }
    if (c->len == sizeof c->head)
        client_refuse(c, "431 Request Header Fields Too Large", "", "its head is too long");
}

static void client_read(struct status_client *c) {
    ssize_t n = recv(c->fd, c->head + c->len, sizeof c->head - c->len, 0);
    if (n > 0) {
        c->len += (size_t)n;
        client_look(c);
    } else if (!n || (errno != EAGAIN && errno != EINTR))
        client_close(c);
}

static void client_drop(struct status_client *c) {
    char dropped[16384];
    ssize_t n = recv(c->fd, dropped, sizeof dropped, 0);
    if (n > 0)
        c->dropped += (size_t)n;
    if (!n || (n < 0 && errno != EAGAIN && errno != EINTR) || c->dropped > STATUS_SERVER_LINGER_MAX)
        client_close(c);
}

static void client_cb(struct ev_loop *loop, ev_io *io, int revents) {
    struct status_client *c = io->data;
    (void)loop;
    if (revents & EV_ERROR) /* libev has stopped the watcher: the system does not let it be polled */
        client_close(c);
    else if (c->state == CLIENT_READS)
        client_read(c);
    else if (c->state == CLIENT_TAKES)
        client_send(c);
    else if (c->state == CLIENT_LINGERS)
        client_drop(c);
}

static void late_cb(struct ev_loop *loop, ev_timer *timer, int revents) {
    struct status_client *c = timer->data;
    (void)loop;
    (void)revents;
    if (c->state == CLIENT_READS && c->len)
        client_refuse(c, "408 Request Timeout", "", "its head did not come in time");
    else
        client_close(c);
}

/* Accepting. */

static struct status_client *find(struct status_server *s, enum client_state state) {
    struct status_client *c;
    TAILQ_FOREACH(c, &s->clients, link) {
        if (c->state == state)
            return c;
    }
    return NULL;
}

/* The one that gives way to the next; NULL: none, as all wait for the page, which is there in a moment. */
static struct status_client *first_to_go(struct status_server *s) {
    static const enum client_state order[] = {CLIENT_LINGERS, CLIENT_READS, CLIENT_TAKES};
    struct status_client *c = NULL;
    for (size_t i = 0; i < sizeof order / sizeof *order && !c; i++)
        c = find(s, order[i]);
    return c;
}

static bool has_room(struct status_server *s) {
    return s->nclients < STATUS_SERVER_CLIENTS || first_to_go(s);
}

static void make_room(struct status_server *s) {
    if (s->nclients == STATUS_SERVER_CLIENTS)
        client_close(first_to_go(s));
}

static void client_new(struct status_server *s, int fd, bool is_unix) {
    struct status_client *c = malloc(sizeof *c);
    if (!c) {
        descriptors_close(fd);
        accept_pause(s, ENOMEM);
        return;
    }
    c->server = s;
    c->fd = fd;
    c->waiter = (struct status_waiter){.ready = ready_cb};
    c->head_only = false;
    c->is_unix = is_unix;
    c->len = c->scanned = c->dropped = 0;
    c->out = (struct buf){0};
    ev_init(&c->io, client_cb);
    ev_init(&c->timer, late_cb);
    c->io.data = c->timer.data = c;
    TAILQ_INSERT_TAIL(&s->clients, c, link);
    s->nclients++;
    client_enter(c, CLIENT_READS, EV_READ, STATUS_SERVER_HEAD_S);
    client_read(c); /* most have sent their request by now, and do not give way then */
}

/* Returns whether another one may be accepted now. */
static bool accept_one(struct status_listener *l) {
    struct status_server *s = l->server;
    struct sockaddr_storage peer = {0};
    socklen_t len = sizeof peer;
    if (!has_room(s)) {
        accept_stop(s);
        return false;
    }
    descriptors_lock();
    int fd = accept4(l->listener->fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    fd = descriptors_adopt_connection(fd);
    descriptors_unlock();
    if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS))
        accept_pause(s, errno);
    if (fd < 0)
        return false;
    if (!allow_check(s->allow, l->listener, fd, (struct sockaddr *)&peer, len))
        descriptors_close(fd);
    else {
        make_room(s);
        client_new(s, fd, l->listener->is_unix);
    }
    return true;
}

static void accept_cb(struct ev_loop *loop, ev_io *io, int revents) {
    struct status_listener *l = io->data;
    (void)loop;
    if (revents & EV_ERROR) {
        accept_pause(l->server, ENOSPC);
        return;
    }
    for (int i = 0; i < ACCEPT_BATCH && ev_is_active(io) && accept_one(l); i++)
        ;
}

struct status_server *status_server_new(struct ev_loop *loop, struct listener_set *listeners, struct allow_rules *allow,
                                        struct status_page *page) {
    const size_t count = listeners->count;
    struct status_server *s = calloc(1, sizeof *s);
    if (!s || !(s->listeners = calloc(count + 1, sizeof *s->listeners))) {
        free(s);
        return NULL;
    }
    s->loop = loop;
    s->allow = allow;
    s->page = page;
    TAILQ_INIT(&s->clients);
    ev_timer_init(&s->pause, pause_cb, ACCEPT_PAUSE, 0.);
    s->pause.data = s;
    for (size_t i = 0; i < count; i++) {
        struct listener *listener = &listeners->items[i];
        if (listener->protocol != LISTENER_STATUS)
            continue;
        struct status_listener *l = &s->listeners[s->nlisteners++];
        l->server = s;
        l->listener = listener;
        ev_io_init(&l->io, accept_cb, listener->fd, EV_READ);
        l->io.data = l;
    }
    accept_again(s);
    return s;
}

bool status_server_is_busy(const struct status_server *s) {
    const struct status_client *c;
    TAILQ_FOREACH(c, &s->clients, link) {
        if (c->state != CLIENT_LINGERS)
            return true;
    }
    return false;
}

void status_server_stop(struct status_server *s) {
    accept_stop(s);
    for (size_t i = 0; i < s->nlisteners && !s->stopped; i++) {
        for (int k = 0; k < STATUS_SERVER_CLIENTS && accept_one(&s->listeners[i]); k++)
            ; /* who waits has connected already */
        loop_forget(s->loop, s->listeners[i].listener->fd);
        listener_stop(s->listeners[i].listener);
    }
    s->stopped = true;
}

void status_server_free(struct status_server *s) {
    if (!s)
        return;
    accept_stop(s);
    s->stopped = true;
    while (!TAILQ_EMPTY(&s->clients))
        client_close(TAILQ_FIRST(&s->clients));
    free(s->listeners);
    free(s);
}
