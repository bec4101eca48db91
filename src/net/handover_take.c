#include "config.h"

#include "net/handover_impl.h"

#include "base/descriptors.h"
#include "base/log.h"
#include "ipc/fd_socket.h"
#include "net/lane_impl.h"
#include "net/protocol.h"
#include "proto/handover.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* Seconds. */
static const ev_tstamp AGAIN_SOON = 0.001; /* until there is room that others are about to make */
static const ev_tstamp AGAIN_OTHERS =
    0.01;                                /* until others have had the time to take what this one does not understand */
static const ev_tstamp AGAIN_LATE = 0.5; /* until a shortage may have ended */

static void complain(struct handover *h, const char *what, const char *why) {
    char more[LOG_MORE_SIZE];
    if (log_limit_due(&h->limit, more))
        log_warning("%s%s%s%s", what, why ? ": " : "", why ? why : "", more);
}

static void look_again(struct handover *h, ev_tstamp after) {
    ev_timer_stop(h->lane->loop, &h->again);
    ev_timer_set(&h->again, after, 0.);
    ev_timer_start(h->lane->loop, &h->again);
}

/* Its listener: found by its text. A connection whose listener has gone with an earlier configuration goes on as it
 * was. */

static bool is_listener(const struct listener *l, const struct handover_message *m, enum listener_protocol protocol) {
    return l->protocol == protocol && l->is_unix == m->is_unix && strlen(l->text) == m->listener.n &&
           !memcmp(l->text, m->listener.p, m->listener.n);
}

static const struct listener *new_listener(struct handover *h, const struct handover_message *m,
                                           enum listener_protocol protocol) {
    struct handover_listener *other = calloc(1, sizeof *other);
    if (!other)
        return NULL;
    other->l.fd = -1;
    other->l.is_unix = m->is_unix;
    other->l.protocol = protocol;
    snprintf(other->l.text, sizeof other->l.text, "%.*s", (int)m->listener.n, m->listener.p);
    SLIST_INSERT_HEAD(&h->listeners, other, link);
    return &other->l;
}

static const struct listener *find_listener(struct handover *h, const struct handover_message *m) {
    enum listener_protocol protocol = m->protocol == HANDOVER_HTTP ? LISTENER_HTTP : LISTENER_FASTCGI;
    const struct listener_set *set = h->lane->listeners;
    for (size_t i = 0; i < set->count; i++) {
        if (is_listener(&set->items[i], m, protocol))
            return &set->items[i];
    }
    const struct handover_listener *other;
    SLIST_FOREACH(other, &h->listeners, link) {
        if (is_listener(&other->l, m, protocol))
            return &other->l;
    }
    return new_listener(h, m, protocol);
}

/* One connection. */

static void begin(struct handover *h, int fd, const struct handover_message *m) {
    struct lane *lane = h->lane;
    struct sockaddr_storage peer = {.ss_family = AF_UNIX};
    const struct listener *l = find_listener(h, m);
    const struct protocol *protocol = l ? lane->config.protocols[l->protocol] : NULL;
    if (!protocol) {
        complain(h, "a connection of another worker is closed",
                 l ? "its protocol is not spoken here" : "out of memory");
        descriptors_close(fd);
        return;
    }
    if (!m->is_unix)
        memcpy(&peer, &m->peer, sizeof m->peer);
    socklen_t len = m->is_unix                        ? sizeof peer.ss_family
                    : m->peer.sa.sa_family == AF_INET ? sizeof m->peer.in
                                                      : sizeof m->peer.in6;
    if (lane->config.allow && !allow_check(lane->config.allow, l, fd, (struct sockaddr *)&peer, len)) {
        descriptors_close(fd);
        return;
    }
    count_one(lane, METRICS_HANDOVERS_TAKEN);
    protocol->take(lane->protocol_states[l->protocol], fd, l, (struct sockaddr *)&peer, len, m);
}

/* Another worker may understand it; and if none does for long enough, nobody will. */
static void put_back(struct handover *h, uint8_t *message, size_t len, int fd) {
    struct iovec part = {message, len};
    if (!handover_hop(message, len) || fd_socket_send(h->config.send_fd, &part, 1, &fd, 1))
        complain(h, "a connection of another worker is closed", "no worker understands what it says of it");
    descriptors_close(fd);
    look_again(h, AGAIN_OTHERS);
    (void)handover_wake_other(h, false);
}

static void close_all(const int *fds, unsigned nfds) {
    for (unsigned i = 0; i < nfds; i++)
        descriptors_close(fds[i]);
}

enum taken {
    TAKEN,
    TAKEN_NOTHING, /* there is none */
    TAKEN_LATER    /* look_again was called */
};

static enum taken not_received(struct handover *h, int error) {
    if (error == EAGAIN || error == EINTR)
        return TAKEN_NOTHING;
    if (error == EMFILE)
        complain(h, "a connection of another worker is lost",
                 "too many open files: raise the limit of open files (ulimit -n)");
    else
        complain(h, "cannot take connections of other workers", strerror(error));
    look_again(h, AGAIN_LATE);
    return TAKEN_LATER;
}

static enum taken take_one(struct handover *h) {
    struct lane *lane = h->lane;
    struct handover_message m;
    int fds[FD_SOCKET_FDS];
    unsigned nfds;
    ssize_t n = fd_socket_receive(h->config.receive_fd, lane->input, sizeof lane->input, fds, &nfds);
    if (n <= 0)
        return n ? not_received(h, errno) : TAKEN_NOTHING;
    enum handover_result result = handover_parse(lane->input, (size_t)n, &m);
    if (nfds == 1 && result == HANDOVER_OTHER_VERSION) {
        put_back(h, lane->input, (size_t)n, fds[0]);
        return TAKEN_LATER;
    }
    if (nfds == 1 && result == HANDOVER_OK)
        begin(h, fds[0], &m);
    else {
        complain(h, "what another worker says of a connection cannot be read: it is closed", NULL);
        close_all(fds, nfds);
    }
    return TAKEN;
}

/* The queue. */

static void set_full(struct handover *h, bool full) {
    h->full = h->lane->taking_paused = full;
    atomic_store(&h->config.board->slots[h->config.slot].full, full);
}

static bool somebody_waits(const struct handover *h) {
    struct pollfd p = {.fd = h->config.receive_fd, .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

/* Connections that rest give way to another one only if no other worker has room. If there are none here, another
 * worker may have some; but each asks the others only once, or they would never cease to. */
static bool has_room(struct handover *h) {
    bool was_full = h->full;
    if (lane_has_room(h->lane))
        return true;
    if (!somebody_waits(h))
        return false;
    set_full(h, true);
    if (handover_wake_other(h, true))
        return false;
    switch (lane_make_room(h->lane)) {
    case LANE_ROOM_MADE:
        return true;
    case LANE_ROOM_LATER:
        look_again(h, AGAIN_SOON);
        return false;
    default:
        atomic_store(&h->config.board->queued, 1);
        if (!was_full)
            (void)handover_wake_other(h, false);
        return false;
    }
}

/* Returns whether there was a limit to raise. */
static bool raise_limit(struct rlimit *before) {
    if (getrlimit(RLIMIT_NOFILE, before) || before->rlim_cur >= before->rlim_max)
        return false;
    rlim_t left = before->rlim_max - before->rlim_cur;
    struct rlimit raised = *before;
    raised.rlim_cur += left < HANDOVER_RESERVE ? left : HANDOVER_RESERVE;
    return !setrlimit(RLIMIT_NOFILE, &raised);
}

/* Returns false when it has not come to the end of the queue, nor to that of the room for connections. */
static bool take_batch(struct handover *h) {
    for (int i = 0; i < HANDOVER_BATCH; i++) {
        if (!has_room(h))
            return true;
        enum taken taken = take_one(h);
        if (taken == TAKEN_LATER) /* this one; others, in their turns, need not wait so long */
            atomic_store(&h->config.board->queued, 1);
        if (taken != TAKEN)
            return true;
    }
    return false;
}

static void take(struct handover *h) {
    struct rlimit before;
    atomic_store(&h->config.board->queued, 0);
    bool raised = raise_limit(&before);
    bool ended = take_batch(h);
    if (raised)
        setrlimit(RLIMIT_NOFILE, &before);
    if (!ended)
        handover_wake(h);
}

/* While a call computes here, others take what is there if they are idle. */
static bool is_for_others(const struct handover *h) {
    const struct scoreboard *board = h->config.board;
    return atomic_load(&board->slots[h->config.slot].computing) && scoreboard_find_idle(board, h->config.slot) >= 0;
}

void handover_look(struct lane *lane) {
    struct handover *h = lane->handover;
    if (handover_serves(h) && !h->full && !ev_is_active(&h->again) && !is_for_others(h))
        take(h);
}

void handover_woken_cb(struct ev_loop *loop, ev_io *w, int revents) {
    struct handover *h = w->data;
    uint64_t count;
    (void)loop;
    (void)revents;
    while (read(w->fd, &count, sizeof count) < 0 && errno == EINTR)
        ;
    if (!atomic_load(&h->config.board->queued))
        return;
    if (!handover_serves(h) || is_for_others(h))
        (void)handover_wake_other(h, false); /* instead of this one */
    else if (!ev_is_active(&h->again))
        take(h);
}

void handover_again_cb(struct ev_loop *loop, ev_timer *w, int revents) {
    struct handover *h = w->data;
    (void)loop;
    (void)revents;
    if (handover_serves(h))
        take(h);
}

void handover_go_on(struct lane *lane) {
    struct handover *h = lane->handover;
    if (lane_has_room(lane))
        set_full(h, false);
    if (atomic_load(&h->config.board->queued) && handover_serves(h))
        look_again(h, 0.);
}

void handover_ends(struct lane *lane) {
    struct handover *h = lane->handover;
    if (!h)
        return;
    atomic_store(&h->config.board->slots[h->config.slot].state, SCOREBOARD_ENDING);
    ev_timer_stop(lane->loop, &h->again);
    if (atomic_load(&h->config.board->queued))
        (void)handover_wake_other(h, false);
}

void handover_drain(struct lane *lane) {
    struct handover *h = lane->handover;
    struct rlimit before;
    if (!h)
        return;
    bool raised = raise_limit(&before);
    while (take_one(h) == TAKEN)
        ;
    if (raised)
        setrlimit(RLIMIT_NOFILE, &before);
    ev_timer_stop(lane->loop, &h->again);
}
