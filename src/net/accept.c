#include "config.h"

#include "net/lane_impl.h"

#include "base/descriptors.h"
#include "base/log.h"
#include "net/handover.h"
#include "net/loop.h"
#include "net/protocol.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    ROOM_TRIES = 256, /* connections that turn out to be busy when one is to be closed, before others get a turn */
    ACCEPT_BATCH = 64 /* connections accepted before the others get a turn */
};
static const ev_tstamp ACCEPT_PAUSE = 0.5; /* seconds without descriptors before accept is tried again */

void lane_accept_again(struct lane *lane) {
    lane->accept_paused = false;
    ev_timer_stop(lane->loop, &lane->accept_pause);
    if (lane->level.leaves)
        return;
    for (size_t i = 0; i < lane->naccepting; i++)
        ev_io_start(lane->loop, &lane->accepting[i].io);
}

void lane_start_accepting(struct lane *lane) {
    if (lane->listening_ended || lane->retiring)
        return;
    lane->accepts = true;
    deadlines_start(lane);
    lane_accept_again(lane);
}

static void stop_polling(struct lane *lane) {
    for (size_t i = 0; i < lane->naccepting; i++)
        ev_io_stop(lane->loop, &lane->accepting[i].io);
}

void lane_accept_level(struct lane *lane) {
    if (lane->level.leaves)
        stop_polling(lane);
    else if (lane->accepts && !lane->accept_paused && !lane->retiring && !lane->listening_ended)
        lane_accept_again(lane);
}

static void accept_pause_cb(struct ev_loop *loop, ev_timer *w, int revents) {
    (void)loop;
    (void)revents;
    lane_accept_again(w->data);
}

enum { CONNECTIONS_TEXT = 40 };
static const char *put_connections(const struct lane *lane, char out[static CONNECTIONS_TEXT]) {
    unsigned n = lane->config.max_connections;
    snprintf(out, CONNECTIONS_TEXT, "%u connection%s", n, n == 1 ? " is" : "s are");
    return out;
}

void lane_accept_stop(struct lane *lane) {
    stop_polling(lane);
    ev_timer_stop(lane->loop, &lane->accept_pause);
    lane->accept_paused = false;
}

/* The limit is reached and all connections are busy: further ones wait in the backlog until that changes. */
static void accept_full(struct lane *lane) {
    char text[CONNECTIONS_TEXT];
    if (log_state_due(&lane->full_log, lane_now(lane)))
        log_warning("%s open (--max-connections), and %s busy: others wait until one ends", put_connections(lane, text),
                    lane->config.max_connections == 1 ? "is" : "all are");
    stop_polling(lane);
    lane->accept_paused = true;
}

/* Out of descriptors or memory: connections wait in the backlog until something is free again. */
static void accept_pause(struct lane *lane, int error) {
    char more[LOG_MORE_SIZE];
    if (log_limit_due(&lane->accept_limit, more))
        log_warning("cannot accept connections: %s: waiting for others to end; raise the limit of open files "
                    "(ulimit -n)%s",
                    strerror(error), more);
    stop_polling(lane);
    lane->accept_paused = true;
    ev_timer_set(&lane->accept_pause, ACCEPT_PAUSE, 0.);
    ev_timer_start(lane->loop, &lane->accept_pause);
}

/* Making room. */

static void log_made_room(struct lane *lane, int error) {
    char text[CONNECTIONS_TEXT];
    if (!log_state_due(&lane->closed_log, lane_now(lane)))
        return;
    if (error)
        log_warning("cannot accept connections: %s: idle ones are closed for them; raise the limit of open files "
                    "(ulimit -n)",
                    strerror(error));
    else
        log_warning("%s open (--max-connections): idle ones are closed for new ones", put_connections(lane, text));
}

/* The next connection to close for another one. First those that are over except for the peer's end, then those that
 * rest, then those that have sent half a header, then those whose peer keeps sending what nobody wants; and of each
 * kind the one that has done so for longest. */
static struct conn *first_to_go(struct lane *lane) {
    struct conn *c = conn_first_lingering(&lane->parting);
    if (!c)
        c = TAILQ_FIRST(&lane->rests[CONN_RESTING]);
    if (!c)
        c = TAILQ_FIRST(&lane->rests[CONN_BEGUN]);
    return c ? c : conn_first_lingering(&lane->draining);
}

/* Closes a connection for another one. `error`: why that is needed, or 0 for --max-connections. */
static enum lane_room make_room(struct lane *lane, int error) {
    struct conn *c;
    /* A connection that is not closed here has a request for the application now, or the rest of its header is on its
     * way. */
    for (int tries = 0; (c = first_to_go(lane)); tries++) {
        if (tries == ROOM_TRIES)
            return LANE_ROOM_LATER;
        bool over = c->state == CONN_LINGERING && c->end == CONN_END_PART;
        if (c->state == CONN_LINGERING)
            conn_close(c, CONN_MADE_ROOM);
        else if (!conn_gives_way(c, CONN_MADE_ROOM))
            continue;
        if (!over) /* it costs nobody anything */
            log_made_room(lane, error);
        return LANE_ROOM_MADE;
    }
    return LANE_ROOM_NONE;
}

bool lane_has_room(const struct lane *lane) {
    return atomic_load_explicit(&lane->nconns, memory_order_relaxed) < lane->config.max_connections;
}

enum lane_room lane_make_room(struct lane *lane) {
    return make_room(lane, 0);
}

/* When the limit is reached, accept4(2) fails with EMFILE even if nobody waits. */
static bool somebody_waits(const struct lane_listener *l) {
    struct pollfd p = {.fd = l->listener->fd, .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

/* Whether there is room for one more under --max-connections. */
static bool has_room(struct lane_listener *l) {
    struct lane *lane = l->lane;
    if (lane_has_room(lane))
        return true;
    if (!somebody_waits(l))
        return false;
    enum lane_room room = make_room(lane, 0);
    if (room == LANE_ROOM_NONE && !lane->stopping)
        accept_full(lane);
    return room == LANE_ROOM_MADE;
}

/* Accepting. */

static int accept_from(const struct lane_listener *l, struct sockaddr_storage *peer, socklen_t *len) {
    *len = sizeof *peer;
    descriptors_lock();
    int fd = accept4(l->listener->fd, (struct sockaddr *)peer, len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    fd = descriptors_adopt_connection(fd);
    descriptors_unlock();
    return fd;
}

static bool is_out_of_files(int error) {
    return error == EMFILE || error == ENFILE;
}

/* The same when descriptors are short: one must be freed first. */
static int accept_with_room(struct lane_listener *l, struct sockaddr_storage *peer, socklen_t *len) {
    int fd = accept_from(l, peer, len), error = errno;
    if (fd >= 0 || !is_out_of_files(error))
        return fd;
    if (!somebody_waits(l)) {
        errno = EAGAIN;
        return -1;
    }
    switch (make_room(l->lane, error)) {
    case LANE_ROOM_MADE:
        return accept_from(l, peer, len);
    case LANE_ROOM_LATER:
        errno = EAGAIN;
        return -1;
    default:
        errno = error;
        return -1;
    }
}

/* accept4(2) has failed. Returns whether another connection may be accepted now. */
static bool accept_failed(struct lane_listener *l, int error) {
    switch (error) {
    case EAGAIN:
#if EWOULDBLOCK != EAGAIN
    case EWOULDBLOCK:
#endif
        return false;
    case EINTR:
    case ECONNABORTED:
    case EPROTO:
    case EPERM:
        return true; /* this connection is gone, the next may be good (accept(2), "Error handling") */
    case EBADF:
    case ENOTSOCK:
        descriptors_lost(l->listener->fd, "on which connections are accepted");
        return false;
    default: /* EMFILE, ENFILE, ENOMEM, ENOBUFS */
        if (!l->lane->stopping)
            accept_pause(l->lane, error);
        return false;
    }
}

/* Accepts one connection. Returns false if no more can be accepted now. */
static bool accept_one(struct lane_listener *l) {
    struct sockaddr_storage peer = {0};
    socklen_t len;
    if (!has_room(l))
        return false;
    int fd = accept_with_room(l, &peer, &len);
    if (fd < 0)
        return accept_failed(l, errno);
    struct allow_rules *rules = l->lane->config.allow;
    if (rules && !allow_check(rules, l->listener, fd, (struct sockaddr *)&peer, len)) {
        descriptors_close(fd);
        return true;
    }
    if (!l->listener->is_unix)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    count_one(l->lane, METRICS_ACCEPTED + (unsigned)l->listener->protocol);
    l->protocol->accept(l->protocol_state, fd, l->listener, (struct sockaddr *)&peer, len);
    return true;
}

static void accept_cb(struct ev_loop *loop, ev_io *w, int revents) {
    struct lane_listener *l = w->data;
    (void)loop;
    if (revents & EV_ERROR) {          /* libev has stopped the watcher: it is tried again */
        accept_pause(l->lane, ENOSPC); /* or ENOMEM: libev does not say */
        return;
    }
    for (int i = 0; i < ACCEPT_BATCH && accept_one(l); i++)
        ;
}

void lane_conn_rests(struct lane *lane) {
    if (lane->accept_paused)
        lane_accept_again(lane);
    if (lane->taking_paused)
        handover_go_on(lane);
    lane->retire_look |= lane->retiring;
}

void lane_conn_closed(struct lane *lane) {
    if (lane->accept_paused)
        lane_accept_again(lane);
    if (lane->taking_paused)
        handover_go_on(lane);
    lane_check_stopped(lane);
}

/* From within. */

int lane_connect(struct lane *lane, enum listener_protocol protocol) {
    static const struct listener nobody = {.is_unix = true};
    int pair[2];
    descriptors_lock();
    bool made = !socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair);
    if (made) {
        pair[0] = descriptors_adopt(pair[0]);
        pair[1] = descriptors_adopt(pair[1]);
    }
    descriptors_unlock();
    if (made && pair[0] >= 0 && pair[1] >= 0) {
        lane->config.protocols[protocol]->accept(lane->protocol_states[protocol], pair[0], &nobody, NULL, 0);
        return pair[1];
    }
    for (int i = 0; made && i < 2; i++) {
        if (pair[i] >= 0)
            descriptors_close(pair[i]);
    }
    return -1;
}

/* The last of the backlog. */

/* Accepts what waits in the backlog when the lane stops: it has connected already, and nobody else would serve it.
 * Other workers that accept from the same socket stop as well; one that retires does not come here. */
static void accept_backlog(struct lane_listener *l) {
    while (accept_one(l))
        ;
}

void lane_accept_end(struct lane *lane) {
    lane_accept_stop(lane);
    for (size_t i = 0; i < lane->naccepting; i++) {
        struct lane_listener *l = &lane->accepting[i];
        listener_refuse(l->listener);
        if (lane->accepts)
            accept_backlog(l);
        loop_forget(lane->loop, l->listener->fd);
        listener_stop(l->listener);
    }
    lane->listening_ended = true;
}

int lane_accept_init(struct lane *lane) {
    size_t count = lane->listeners->count;
    lane->accepting = calloc(count, sizeof *lane->accepting);
    if (!lane->accepting)
        return -1;
    for (size_t i = 0; i < count; i++) {
        struct listener *listener = &lane->listeners->items[i];
        if (listener->protocol == LISTENER_STATUS)
            continue;
        struct lane_listener *l = &lane->accepting[lane->naccepting++];
        *l = (struct lane_listener){.lane = lane,
                                    .listener = listener,
                                    .protocol = lane->config.protocols[listener->protocol],
                                    .protocol_state = lane->protocol_states[listener->protocol]};
        ev_io_init(&l->io, accept_cb, l->listener->fd, EV_READ);
        l->io.data = l;
    }
    ev_timer_init(&lane->accept_pause, accept_pause_cb, 0., 0.);
    lane->accept_pause.data = lane;
    return 0;
}
