#include "config.h"

#include "net/handover_impl.h"

#include "base/descriptors.h"
#include "base/log.h"
#include "ipc/fd_socket.h"
#include "net/lane_impl.h"
#include "net/loop.h"
#include "proto/handover.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* The workers. */

static struct scoreboard_slot *slot_of(const struct handover *h, unsigned slot) {
    return &h->config.board->slots[slot];
}

bool handover_serves(const struct handover *h) {
    return atomic_load(&slot_of(h, h->config.slot)->state) == SCOREBOARD_SERVING;
}

bool handover_is_alone(const struct lane *lane) {
    const struct handover *h = lane->handover;
    return !h || scoreboard_find_serving(h->config.board, h->config.slot) < 0;
}

void handover_add_peer(struct lane *lane, unsigned slot, int fd) {
    struct handover *h = lane->handover;
    if (!h || slot >= SCOREBOARD_SLOTS) {
        descriptors_close(fd);
        return;
    }
    if (slot == h->config.slot && h->wakes[slot] >= 0) {
        ev_io_stop(lane->loop, &h->woken);
        loop_forget(lane->loop, h->wakes[slot]);
    }
    if (h->wakes[slot] >= 0)
        descriptors_close(h->wakes[slot]);
    h->wakes[slot] = fd;
    if (slot == h->config.slot) {
        ev_io_set(&h->woken, fd, EV_READ);
        ev_io_start(lane->loop, &h->woken);
    }
}

/* Waking them. */

enum { FITNESS_BEST = 4, FITNESS_ROOM = 2 };

/* 0: it cannot take any. */
static int fitness(const struct handover *h, unsigned slot) {
    const struct scoreboard_slot *s = slot_of(h, slot);
    if (h->wakes[slot] < 0 || slot == h->config.slot || atomic_load(&s->state) != SCOREBOARD_SERVING)
        return 0;
    return 1 + (atomic_load(&s->full) ? 0 : FITNESS_ROOM) + !atomic_load(&s->computing);
}

/* Each of the best ones in turn. Returns its slot, or -1. */
static int find_taker(const struct handover *h, int at_least) {
    int best = 0, found = -1;
    for (unsigned i = 0; i < SCOREBOARD_SLOTS && best < FITNESS_BEST; i++) {
        unsigned slot = (h->next + i) % SCOREBOARD_SLOTS;
        int fit = fitness(h, slot);
        if (fit > best && fit >= at_least) {
            best = fit;
            found = (int)slot;
        }
    }
    return found;
}

static void wake(const struct handover *h, unsigned slot) {
    static const uint64_t one = 1;
    atomic_store(&h->config.board->queued, 1);
    /* When it cannot be written it was so often that the worker is about to wake up. */
    while (write(h->wakes[slot], &one, sizeof one) < 0 && errno == EINTR)
        ;
}

bool handover_wake_other(struct handover *h, bool with_room) {
    int slot = find_taker(h, with_room ? 1 + FITNESS_ROOM : 1);
    if (slot < 0)
        return false;
    h->next = (unsigned)slot + 1;
    wake(h, (unsigned)slot);
    return true;
}

void handover_wake(struct handover *h) {
    int slot = find_taker(h, FITNESS_BEST);
    if (slot >= 0 || !handover_serves(h) || h->wakes[h->config.slot] < 0) {
        (void)handover_wake_other(h, false);
        return;
    }
    wake(h, h->config.slot);
}

/* To another one, unless all of them have begun to end meanwhile. Then this one takes it back; if it ends as well, it
 * does so as soon as it finds that it is alone (retire.c). */
static void offer(struct handover *h) {
    atomic_store(&h->config.board->queued, 1);
    if (!handover_wake_other(h, false) && handover_serves(h) && h->wakes[h->config.slot] >= 0)
        wake(h, h->config.slot);
}

/* Giving. */

/* What the kernel has of it goes along: output that the peer has yet to take, and input. What is here must not be
 * needed any more. */
static bool is_at_rest(struct conn *c) {
    return c->state == CONN_OPEN && c->rest != CONN_BUSY && !c->lost && !c->read_ended && c->listener &&
           !conn_blocked(c) && !conn_is_lost(c);
}

static bool describe(struct conn *c, struct handover_message *m) {
    bool known = c->peer.sa.sa_family == AF_INET || c->peer.sa.sa_family == AF_INET6;
    *m = (struct handover_message){.is_unix = c->is_unix,
                                   .used = c->used,
                                   .peer = c->peer,
                                   .active_at = (uint64_t)(c->active_at * 1e9),
                                   .listener = {c->listener->text, strlen(c->listener->text)}};
    return (c->is_unix || known) && c->ops->give(c, m);
}

static int send_away(const struct handover *h, int fd, const struct handover_message *m) {
    uint8_t head[HANDOVER_HEAD_MAX];
    struct iovec parts[] = {{head, handover_put(m, head)}, {(void *)(uintptr_t)m->leftover.p, m->leftover.n}};
    return fd_socket_send(h->config.send_fd, parts, m->leftover.n ? 2 : 1, &fd, 1);
}

static enum handover_outcome not_sent(struct handover *h, int error) {
    char more[LOG_MORE_SIZE];
    if (error != EAGAIN && error != ETOOMANYREFS && log_limit_due(&h->limit, more))
        log_warning("cannot give connections to other workers: %s%s", strerror(error), more);
    return HANDOVER_NOT_NOW;
}

enum handover_outcome handover_try(struct conn *c) {
    struct handover *h = c->lane->handover;
    struct handover_message m;
    if (handover_is_alone(c->lane))
        return HANDOVER_NOBODY;
    if (!is_at_rest(c) || !describe(c, &m))
        return HANDOVER_KEPT;
    if (find_taker(h, 1) < 0) /* the supervisor is about to tell how those are woken that serve */
        return HANDOVER_NOT_NOW;
    if (send_away(h, c->fd, &m))
        return not_sent(h, errno);
    offer(h);
    count_one(h->lane, METRICS_HANDOVERS_GIVEN);
    conn_close(c, CONN_HANDED_OVER);
    return HANDOVER_GIVEN;
}

bool handover_give(struct conn *c) {
    return c->lane->handover && handover_try(c) == HANDOVER_GIVEN;
}

/* Life. */

/* A descriptor that comes with a message and has no place is lost, and with it its connection. */
static void keep_reserve(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_max <= 2 * HANDOVER_RESERVE ||
        limit.rlim_cur <= limit.rlim_max - HANDOVER_RESERVE)
        return;
    limit.rlim_cur = limit.rlim_max - HANDOVER_RESERVE;
    if (setrlimit(RLIMIT_NOFILE, &limit))
        log_debug("cannot keep descriptors for connections of other workers: %s", strerror(errno));
}

int handover_init(struct lane *lane) {
    if (!lane->config.handover)
        return 0;
    struct handover *h = calloc(1, sizeof *h);
    if (!h)
        return -1;
    h->lane = lane;
    h->config = *lane->config.handover;
    for (unsigned i = 0; i < SCOREBOARD_SLOTS; i++)
        h->wakes[i] = -1;
    h->next = h->config.slot + 1;
    SLIST_INIT(&h->listeners);
    ev_init(&h->woken, handover_woken_cb);
    ev_timer_init(&h->again, handover_again_cb, 0., 0.);
    h->woken.data = h->again.data = h;
    lane->handover = h;
    lane->queued = &h->config.board->queued;
    atomic_store(&slot_of(h, h->config.slot)->full, 0);
    keep_reserve();
    return 0;
}

void handover_fini(struct lane *lane) {
    struct handover *h = lane->handover;
    if (!h)
        return;
    for (unsigned i = 0; i < SCOREBOARD_SLOTS; i++) {
        if (h->wakes[i] >= 0)
            descriptors_close(h->wakes[i]);
    }
    struct handover_listener *l;
    while ((l = SLIST_FIRST(&h->listeners))) {
        SLIST_REMOVE_HEAD(&h->listeners, link);
        free(l);
    }
    free(h);
    lane->handover = NULL;
}
