#include "config.h"

#include "net/conn_impl.h"

#include "base/descriptors.h"
#include "base/log.h"
#include "net/handover.h"
#include "net/lane_impl.h"
#include "net/loop.h"
#include "net/who.h"
#include "proto/handover.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    PART_TURNS = 4 /* of the loop, before the end of a peer that parts is looked for */
};

CONN_REASONS(CONN_REASON_DEFINE)

void conn_not_polled(struct conn *c) {
    conn_close(c, CONN_NOT_POLLED);
}

static void read_cb(struct ev_loop *loop, ev_io *w, int revents) {
    (void)loop;
    struct conn *c = w->data;
    if (revents & EV_ERROR)
        conn_not_polled(c);
    else if (!((c->lane->level.leaves || c->lane->retiring) && handover_give(c)))
        conn_read(c);
}

void conn_poll_for(struct conn *c, ev_io *watcher) {
    c->in_loop = true;
    ev_io_start(c->lane->loop, watcher);
}

/* The bare system call. libc's functions are cancellation points, which in a process with threads costs two locked
 * instructions each time, and no thread here is ever cancelled. */
static ssize_t sys_recv(int fd, void *data, size_t len) {
    return syscall(SYS_recvfrom, fd, data, len, 0, NULL, NULL);
}

void conn_note_lost(const struct conn *c, int error) {
    if ((error == EBADF || error == ENOTSOCK) && c->fd >= 0)
        descriptors_lost(c->fd, "that of a connection");
}

/* The lane's list of connections is ordered by activity, so that one timer is enough. */
void conn_touch(struct conn *c) {
    if (c->state == CONN_LINGERING) {
        conn_linger_touch(c);
        return;
    }
    c->active_at = lane_now(c->lane);
    if (c->state != CONN_CLOSED && TAILQ_NEXT(c, link)) {
        TAILQ_REMOVE(&c->lane->conns, c, link);
        TAILQ_INSERT_TAIL(&c->lane->conns, c, link);
    }
}

/* Reading. */

/* On a Unix socket, POLLHUP distinguishes the end of both sides from the end of the peer's writing side alone. TCP does
 * not distinguish them until something is sent, which a peer that is gone answers with a reset. */
static bool peer_may_read(const struct conn *c) {
    struct pollfd p = {.fd = c->fd, .events = POLLIN};
    return !c->lost && poll(&p, 1, 0) == 1 && !(p.revents & (POLLHUP | POLLERR));
}

static void stop_reading(struct conn *c) {
    if (!c->polled)
        TAILQ_REMOVE(&c->lane->unpolled, c, unpolled_link);
    c->polled = true;
    ev_io_stop(c->lane->loop, &c->read_io);
}

static void read_eof(struct conn *c) {
    c->read_ended = true;
    if (c->state != CONN_LINGERING && peer_may_read(c)) {
        stop_reading(c);
        if (c->state == CONN_OPEN)
            c->ops->half_closed(c);
    } else
        conn_close(c, c->state == CONN_LINGERING ? CONN_DONE : CONN_EOF);
}

static void read_input(struct conn *c) {
    struct lane *lane = c->lane;
    ssize_t n = sys_recv(c->fd, lane->input, sizeof lane->input);
    if (n < 0) {
        conn_note_lost(c, errno);
        /* What cannot be answered is not waited for. */
        if (c->lost || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR))
            conn_close(c, CONN_RESET);
        return;
    }
    if (n == 0) {
        read_eof(c);
        return;
    }
    conn_touch(c);
    c->used = true;
    if (c->state == CONN_OPEN)
        c->ops->input(c, lane->input, (size_t)n);
    else
        conn_drop_input(c, (size_t)n);
    lane->retire_look |= lane->retiring;
    if (c->lost && c->state == CONN_OPEN && !c->paused)
        ev_feed_event(lane->loop, &c->read_io, EV_READ);
}

void conn_read(struct conn *c) {
    conn_ref(c);
    read_input(c);
    conn_unref(c);
}

/* Only reads what was there at the start: a peer that keeps sending must not keep the loop. */
bool conn_catch_up(struct conn *c) {
    int waiting = 0;
    if (c->state == CONN_CLOSED || c->read_ended || (c->paused && c->state != CONN_LINGERING))
        return false;
    if (ioctl(c->fd, FIONREAD, &waiting))
        waiting = 0;
    conn_ref(c);
    int left = waiting;
    do { /* once at least: an end is no byte */
        conn_read(c);
        left -= LANE_READ_BYTES;
    } while (left > 0 && c->state != CONN_CLOSED && !c->read_ended && !c->paused);
    conn_unref(c);
    return waiting > 0;
}

void conn_poll(struct conn *c) {
    if (c->polled || c->state == CONN_CLOSED)
        return;
    c->polled = true;
    TAILQ_REMOVE(&c->lane->unpolled, c, unpolled_link);
    if (!c->paused)
        conn_poll_for(c, &c->read_io);
}

/* Starting to poll a descriptor takes one system call, and hearing of its end another. Most peers that part have ended
 * their side a few turns of the loop later, so one look then is enough. If there are no such turns, the lane looks when
 * the time is over. A lane that stops does not wait for either.
 * Worth: without it 16 to 21 % more CPU with a connection per request. */
void conn_settle(struct conn *c) {
    if (c->state == CONN_LINGERING && c->end == CONN_END_PART && c->rested < PART_TURNS && !c->lane->stopping) {
        c->rested++;
        return;
    }
    conn_ref(c);
    if (c->state == CONN_LINGERING)
        conn_read(c);
    conn_poll(c);
    conn_unref(c);
}

bool conn_readable(const struct conn *c) {
    int n = 0;
    return !ioctl(c->fd, FIONREAD, &n) && n > 0;
}

void conn_pause(struct conn *c) {
    c->paused = c->was_paused = true;
    ev_io_stop(c->lane->loop, &c->read_io);
}

void conn_resume(struct conn *c) {
    if (c->paused && c->polled && c->state != CONN_CLOSED && !c->read_ended)
        conn_poll_for(c, &c->read_io);
    if (c->paused && c->lost && c->state == CONN_OPEN)
        ev_feed_event(c->lane->loop, &c->read_io, EV_READ);
    c->paused = false;
}

/* Rest. */

void conn_change_rest(struct conn *c, enum conn_rest rest) {
    struct lane *lane = c->lane;
    if (c->rest)
        TAILQ_REMOVE(&lane->rests[c->rest], c, rest_link);
    c->rest = rest;
    if (!rest)
        return;
    TAILQ_INSERT_TAIL(&lane->rests[rest], c, rest_link);
    if (lane->accept_paused || lane->taking_paused || lane->retiring)
        lane_conn_rests(lane);
}

bool conn_gives_way(struct conn *c, const struct conn_reason *reason) {
    enum conn_rest before = c->rest;
    conn_ref(c);
    (void)conn_catch_up(c);
    if (c->rest == before && conn_blocked(c))
        conn_set_rest(c, CONN_BUSY); /* until the peer has taken that */
    else if (c->rest == before)
        conn_close(c, reason);
    bool closed = c->state == CONN_CLOSED;
    conn_unref(c);
    return closed;
}

/* Life. */

void conn_alloc_init(struct conn *c) {
    pthread_mutex_init(&c->out_lock, NULL);
    TAILQ_INIT(&c->out_turns);
}

void *conn_new(size_t size) {
    struct conn *c = calloc(1, size);
    if (c)
        conn_alloc_init(c);
    return c;
}

void conn_alloc_fini(struct conn *c) {
    buf_fini(&c->out);
    pthread_mutex_destroy(&c->out_lock);
}

void conn_init(struct conn *c, struct lane *lane, int fd, const struct sockaddr *peer, const struct conn_ops *ops) {
    c->lane = lane;
    c->ops = ops;
    c->listener = NULL;
    c->number = ++lane->next_conn;
    c->fd = fd;
    c->state = CONN_OPEN;
    c->refs = 1;
    c->polled = c->in_loop = c->read_ended = c->paused = c->used = false;
    c->lost = c->left = false;
    c->is_unix = !peer;
    if (peer)
        memcpy(&c->peer, peer, sizeof c->peer);
    else
        c->peer.sa.sa_family = AF_UNSPEC;
    c->rest = CONN_BUSY;
    c->drained = 0;
    c->out_at = 0;
    c->out_longest = 0;
    c->out_noted = c->room_noted = c->out_collected = c->corked = false;
    c->out_error = 0;
    ev_io_init(&c->read_io, read_cb, fd, EV_READ);
    ev_io_init(&c->write_io, conn_write_cb, fd, EV_WRITE);
    c->read_io.data = c->write_io.data = c;
    c->active_at = lane_now(lane);
    TAILQ_INSERT_TAIL(&lane->conns, c, link);
    TAILQ_INSERT_TAIL(&lane->unpolled, c, unpolled_link);
    lane_count_add(&lane->nconns, 1);
    lane->nlive++;
}

/* The lists of the lane are in order of time, in which this one comes last. So it may be found idle late, but never
 * early. */
void conn_taken(struct conn *c, const struct handover_message *m) {
    ev_tstamp active_at = (double)m->active_at / 1e9;
    c->used = m->used;
    if (active_at < c->active_at)
        c->active_at = active_at;
    log_debug("connection %llu: taken over from another worker", c->number);
}

void conn_ref(struct conn *c) {
    c->refs++;
}

/* Nothing refers to the connection any more, except perhaps a posted note, which ends up here again. */
static __attribute__((noinline)) void give_back(struct conn *c) {
    struct lane *lane = c->lane;
    pthread_mutex_lock(&c->out_lock);
    bool noted = c->out_noted;
    pthread_mutex_unlock(&c->out_lock);
    if (noted)
        return;
    TAILQ_REMOVE(&lane->closed, c, link);
    c->ops->free(c);
    lane->nlive--;
    lane_check_stopped(lane);
}

void conn_unref(struct conn *c) {
    if (!--c->refs)
        give_back(c);
}

void conn_finish(struct conn *c, const struct conn_reason *reason, enum conn_end end) {
    conn_send_left(c); /* of another request on it, perhaps */
    if (c->state != CONN_OPEN)
        return;
    conn_set_rest(c, CONN_BUSY);
    c->state = CONN_FLUSHING;
    c->flush_reason = reason;
    c->end = end;
    if (!conn_blocked(c))
        conn_output_settle(c, false, false);
}

static __attribute__((noinline)) void log_reason(struct conn *c, const struct conn_reason *reason) {
    char text[WHO_TEXT_SIZE], more[LOG_TABLE_MORE_SIZE], rate[CONN_RATE_TEXT_SIZE];
    more[0] = '\0';
    struct who who = who_find(c, NULL);
    if (reason->level != LOG_LEVEL_DEBUG && !who_log_due(&who, reason, more))
        return;
    sched_pause(c->lane->sched);
    log_printf(reason->level, "connection %llu: %s%s (%s)%s", c->number, reason->text, conn_rate_text(c, reason, rate),
               who_text(&who, text), more);
}

/* Another holder of the descriptor, such as a child that was made without the handlers of pthread_atfork(3), must not
 * keep the end from the peer. A peer that has ended both sides, or is gone, waits for nothing; and one whose connection
 * another worker has is to notice nothing. */
static bool peer_awaits_end(const struct conn *c, const struct conn_reason *reason) {
    if (c->state == CONN_LINGERING)
        return reason != CONN_DONE;
    if (reason == CONN_HANDED_OVER)
        return false;
    return c->state != CONN_OPEN || (reason != CONN_EOF && reason != CONN_RESET);
}

/* The lock is held. */
static void close_descriptor(struct conn *c, bool tell) {
    if (tell)
        shutdown(c->fd, SHUT_RDWR);
    if (c->in_loop)
        loop_forget(c->lane->loop, c->fd);
    descriptors_close(c->fd);
    c->fd = -1;
}

void conn_close(struct conn *c, const struct conn_reason *reason) {
    struct lane *lane = c->lane;
    if (c->state == CONN_CLOSED)
        return;
    bool tell = peer_awaits_end(c, reason);
    if (reason->level <= log_max_level)
        log_reason(c, reason);
    conn_set_rest(c, CONN_BUSY);
    if (c->state == CONN_LINGERING)
        conn_linger_ends(c);
    else
        TAILQ_REMOVE(&lane->conns, c, link);
    c->state = CONN_CLOSED;
    TAILQ_INSERT_TAIL(&lane->closed, c, link);
    c->lost = true;
    c->left = reason == CONN_EOF || reason == CONN_RESET;
    c->read_ended |= c->left;
    conn_out_forget(c);
    ev_io_stop(lane->loop, &c->write_io);
    stop_reading(c);
    pthread_mutex_lock(&c->out_lock);
    if (!c->out_error)
        c->out_error = EPIPE;
    buf_reset(&c->out, REQUEST_KEEP_BYTES);
    c->out_collected = false;
    conn_turns_wake(c);
    close_descriptor(c, tell);
    pthread_mutex_unlock(&c->out_lock);
    c->ops->gone(c);
    lane_count_add(&lane->nconns, -1);
    lane_conn_closed(lane);
    conn_unref(c);
}
