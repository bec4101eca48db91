#include "config.h"

#include "net/conn_impl.h"

#include "base/log.h"
#include "net/lane_impl.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Sending. The lock is held. */

/* The system call by itself, as sys_recv in conn.c. */
static ssize_t sys_send(int fd, const void *data, size_t len, int flags) {
    return syscall(SYS_sendto, fd, data, len, flags, NULL, 0);
}

/* `more`: MSG_MORE when something follows at once, or 0. */
static ssize_t send_now(struct conn *c, const struct iovec *pieces, unsigned count, int more) {
    struct msghdr m = {.msg_iov = (struct iovec *)(uintptr_t)pieces, .msg_iovlen = count};
    int flags = MSG_NOSIGNAL | MSG_DONTWAIT | more;
    ssize_t n;
    do
        n = count == 1 ? sys_send(c->fd, pieces->iov_base, pieces->iov_len, flags) : sendmsg(c->fd, &m, flags);
    while (n < 0 && errno == EINTR);
    if (n >= 0)
        return n;
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS)
        return 0;
    c->out_error = errno;
    conn_note_lost(c, c->out_error);
    return -1;
}

static int keep_rest(struct conn *c, const struct iovec *pieces, unsigned count, size_t sent) {
    size_t before = buf_len(&c->out);
    for (unsigned i = 0; i < count; i++) {
        size_t len = pieces[i].iov_len, skip = sent < len ? sent : len;
        sent -= skip;
        if (len > skip && buf_append(&c->out, (const char *)pieces[i].iov_base + skip, len - skip))
            return -1;
    }
    size_t kept = buf_len(&c->out) - before;
    if (!before || kept > c->out_longest)
        c->out_longest = kept;
    return 0;
}

void conn_send_or_keep(struct conn *c, const struct iovec *pieces, unsigned count, int more) {
    ssize_t sent = 0;
    if (c->out_error || (!buf_len(&c->out) && (sent = send_now(c, pieces, count, more)) < 0))
        return;
    if (keep_rest(c, pieces, count, (size_t)sent))
        c->out_error = ENOMEM;
}

static void flush_locked(struct conn *c) {
    c->out_collected = false;
    struct iovec rest = {buf_head(&c->out), buf_len(&c->out)};
    ssize_t n = c->out_error ? -1 : send_now(c, &rest, 1, 0);
    if (n > 0) {
        buf_consume(&c->out, (size_t)n);
        c->flushed += (size_t)n;
    }
    if (n < 0)
        buf_reset(&c->out, 0);
    if (!buf_len(&c->out))
        buf_reset(&c->out, REQUEST_KEEP_BYTES);
    conn_turns_wake(c);
}

/* How the loop follows the output. */

void conn_out_touch(struct conn *c) {
    if (c->out_at > 0)
        TAILQ_REMOVE(&c->lane->unsent, c, out_link);
    else
        conn_rate_begins(c);
    c->out_at = lane_now(c->lane);
    TAILQ_INSERT_TAIL(&c->lane->unsent, c, out_link);
}

void conn_out_forget(struct conn *c) {
    if (!(c->out_at > 0))
        return;
    TAILQ_REMOVE(&c->lane->unsent, c, out_link);
    c->out_at = 0;
    conn_rate_ends(c);
}

void conn_output_late(struct conn *c, bool excused) {
    /* A socket counts as writable only when a good part of its buffer is free, so the loop hears little of a slow
     * reader. */
    if (conn_rate_ask(c) || excused)
        conn_out_touch(c);
    else
        conn_close(c, CONN_SLOW_READER);
}

/* The caller may be in the middle of an answer, or of the input; so the rest is left to the loop. */
static void output_lost(struct conn *c) {
    struct ev_loop *loop = c->lane->loop;
    if (c->lost)
        return;
    c->lost = true;
    conn_out_forget(c);
    ev_io_stop(loop, &c->write_io);
    c->ops->lost(c);
    ev_feed_event(loop, &c->write_io, EV_WRITE); /* nothing waits any more */
    if (!c->paused)
        ev_feed_event(loop, &c->read_io, EV_READ);
}

void conn_output_settle(struct conn *c, int error, bool waiting) {
    if (c->state == CONN_CLOSED)
        return;
    if (error == ENOMEM) {
        conn_close(c, CONN_NO_MEMORY);
        return;
    }
    if (error) {
        if (c->state == CONN_OPEN)
            output_lost(c);
        else
            conn_close(c, CONN_RESET);
        return;
    }
    if (waiting) {
        conn_out_touch(c);
        (void)conn_rate_ask(c);
        conn_poll_for(c, &c->write_io);
        conn_poll(c);
        return;
    }
    conn_out_forget(c);
    ev_io_stop(c->lane->loop, &c->write_io);
    if (c->state != CONN_FLUSHING)
        return;
    if (c->end == CONN_END_CLOSE || c->read_ended)
        conn_close(c, c->flush_reason);
    else
        conn_linger(c);
}

bool conn_output_unlock(struct conn *c) {
    int error = c->out_error;
    bool waiting = buf_len(&c->out) > 0;
    pthread_mutex_unlock(&c->out_lock);
    conn_output_settle(c, error, waiting);
    return waiting;
}

void conn_write_cb(struct ev_loop *loop, ev_io *w, int revents) {
    (void)loop;
    struct conn *c = w->data;
    if (revents & EV_ERROR) {
        conn_not_polled(c);
        return;
    }
    conn_touch(c);
    conn_ref(c);
    pthread_mutex_lock(&c->out_lock);
    flush_locked(c);
    bool waiting = conn_output_unlock(c);
    if (!waiting && c->state == CONN_OPEN && c->ops->drained)
        c->ops->drained(c);
    c->lane->retire_look |= c->lane->retiring;
    conn_unref(c);
}

/* What the loop sends. */

bool conn_may_collect(const struct conn *c, size_t len) {
    return !c->out_error && buf_len(&c->out) + len <= CONN_CORK_MAX && (!buf_len(&c->out) || c->out_collected);
}

bool conn_collect(struct conn *c, const void *data, size_t len) {
    if (!conn_may_collect(c, len) || buf_append(&c->out, data, len))
        return false;
    c->out_collected = true;
    return true;
}

/* Behind what was collected, and in one piece with it if these bytes are few. */
static void send_behind(struct conn *c, const void *data, size_t len) {
    struct iovec piece = {(void *)(uintptr_t)data, len};
    bool joined = c->out_collected && conn_collect(c, data, len);
    if (c->out_collected)
        flush_locked(c);
    if (!joined)
        conn_send_or_keep(c, &piece, 1, 0);
}

void conn_output(struct conn *c, const void *data, size_t len) {
    if (c->state != CONN_OPEN)
        return;
    pthread_mutex_lock(&c->out_lock);
    if (c->corked && conn_collect(c, data, len)) {
        pthread_mutex_unlock(&c->out_lock);
        return;
    }
    bool was_waiting = buf_len(&c->out) && !c->out_collected;
    send_behind(c, data, len);
    int error = c->out_error;
    size_t waiting = buf_len(&c->out);
    bool piles = waiting > CONN_OUT_MAX + c->out_longest;
    pthread_mutex_unlock(&c->out_lock);
    if (piles)
        conn_close(c, CONN_READS_NOTHING);
    else if (error || (waiting > 0) != was_waiting)
        conn_output_settle(c, error, waiting > 0);
}

/* Worth: without it 1.5 to 1.7 times the CPU with multiplexing; without multiplexing it does nothing. */
void conn_cork(struct conn *c) {
    c->corked = true;
}

bool conn_send_left(struct conn *c) {
    if (c->corked || c->state == CONN_CLOSED)
        return false;
    pthread_mutex_lock(&c->out_lock);
    if (!c->out_collected) {
        pthread_mutex_unlock(&c->out_lock);
        return false;
    }
    flush_locked(c);
    conn_output_unlock(c); /* also for a connection that was to end when all is sent */
    return true;
}

void conn_uncork(struct conn *c) {
    c->corked = false;
    conn_send_left(c);
}

size_t conn_piled(struct conn *c) {
    pthread_mutex_lock(&c->out_lock);
    size_t n = buf_len(&c->out);
    n -= n < c->out_longest ? n : c->out_longest;
    pthread_mutex_unlock(&c->out_lock);
    return n;
}

bool conn_blocked(struct conn *c) {
    pthread_mutex_lock(&c->out_lock);
    bool blocked = buf_len(&c->out) > 0;
    pthread_mutex_unlock(&c->out_lock);
    return blocked;
}

bool conn_is_unsent(struct conn *c) {
    return ev_is_active(&c->write_io);
}

bool conn_is_lost(struct conn *c) {
    pthread_mutex_lock(&c->out_lock);
    bool is_lost = c->out_error != 0;
    pthread_mutex_unlock(&c->out_lock);
    return is_lost;
}
