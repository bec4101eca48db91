#include "config.h"

#include "net/conn.h"

#include "base/descriptors.h"
#include "base/log.h"
#include "base/pread.h"
#include "net/lane_impl.h"
#include "net/loop.h"
#include "net/who.h"

#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    PART_TURNS = 4 /* of the loop, before the end of a peer that parts is looked for */
};

static const struct {
    enum log_level level;
    const char *text;
} reasons[] = {
#define CONN_REASON_ROW(name, level, text) [name] = {LOG_LEVEL_##level, text},
    CONN_REASONS(CONN_REASON_ROW)
#undef CONN_REASON_ROW
};

/* libev has stopped both watchers, because epoll_ctl(2) failed: nothing would be heard of the connection any more. */
static void not_watched(struct conn *c) {
    conn_close(c, CONN_NOT_WATCHED);
}

static void read_cb(struct ev_loop *loop, ev_io *w, int revents) {
    (void)loop;
    if (revents & EV_ERROR)
        not_watched(w->data);
    else
        conn_read(w->data);
}

static void start_watching(struct conn *c, ev_io *watcher) {
    c->in_loop = true;
    ev_io_start(c->lane->loop, watcher);
}

/* The system calls by themselves: libc's functions are cancellation points, which in a process with threads costs two
 * locked instructions each time, and no thread here is ever cancelled. */

static ssize_t sys_recv(int fd, void *data, size_t len) {
    return syscall(SYS_recvfrom, fd, data, len, 0, NULL, NULL);
}

static ssize_t sys_send(int fd, const void *data, size_t len, int flags) {
    return syscall(SYS_sendto, fd, data, len, flags, NULL, 0);
}

/* What is no socket any more is the application's: nothing may be sent there, nor may it be closed. */
static void note_lost(const struct conn *c, int error) {
    if ((error == EBADF || error == ENOTSOCK) && c->fd >= 0)
        descriptors_lost(c->fd, "that of a connection");
}

/* Sending. The lock is held. */

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
    note_lost(c, c->out_error);
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

/* Sends or keeps the pieces; out_error says when nothing can be sent any more. */
static void send_or_keep(struct conn *c, const struct iovec *pieces, unsigned count, int more) {
    ssize_t sent = 0;
    if (c->out_error || (!buf_len(&c->out) && (sent = send_now(c, pieces, count, more)) < 0))
        return;
    if (keep_rest(c, pieces, count, (size_t)sent))
        c->out_error = ENOMEM;
}

/* Wakes the thread whose turn it is, once there is room; all of them when nothing can be sent any more. */
static void turns_wake(struct conn *c) {
    struct conn_turn *turn;
    TAILQ_FOREACH(turn, &c->out_turns, link) {
        if (!c->out_error && buf_len(&c->out) > turn->low)
            return;
        pthread_cond_signal(&turn->come);
        if (!c->out_error)
            return;
    }
}

/* Waits until it is this thread's turn and there is room, or until nothing can or is to be sent any more. */
static void turn_wait(struct conn *c, struct sched_thread *thread, const atomic_bool *gone, size_t low) {
    struct conn_turn turn = {.come = PTHREAD_COND_INITIALIZER, .low = low};
    TAILQ_INSERT_TAIL(&c->out_turns, &turn, link);
    sched_peer_wait_begins(thread);
    while (!c->out_error && !atomic_load(gone) && (TAILQ_FIRST(&c->out_turns) != &turn || buf_len(&c->out) > low))
        pthread_cond_wait(&turn.come, &c->out_lock);
    sched_peer_wait_ends(thread);
    TAILQ_REMOVE(&c->out_turns, &turn, link);
    pthread_cond_destroy(&turn.come);
}

void conn_wake(struct conn *c) {
    struct conn_turn *turn;
    pthread_mutex_lock(&c->out_lock);
    TAILQ_FOREACH(turn, &c->out_turns, link)
    pthread_cond_signal(&turn->come);
    pthread_mutex_unlock(&c->out_lock);
}

static void flush_locked(struct conn *c) {
    struct iovec rest = {buf_head(&c->out), buf_len(&c->out)};
    ssize_t n = c->out_error ? -1 : send_now(c, &rest, 1, 0);
    if (n > 0)
        buf_consume(&c->out, (size_t)n);
    if (n < 0)
        buf_reset(&c->out, 0);
    if (!buf_len(&c->out))
        buf_reset(&c->out, REQUEST_KEEP_BYTES);
    turns_wake(c);
}

static struct lane_waits *lingerers(const struct conn *c) {
    return c->end == CONN_END_DRAIN ? &c->lane->draining : &c->lane->parting;
}

/* A silence that would have ended the connection is one in which nobody looked: it is not the peer's. */
static void linger_touch(struct conn *c) {
    struct lane_waits *waits = lingerers(c);
    ev_tstamp silent = lane_now(c->lane) - c->linger.began_at;
    if (silent > waits->after)
        c->linger_since += silent;
    lane_wait_again(c->lane, waits, &c->linger);
}

/* Lists of connections are ordered by activity, so that one timer for each list is enough. */
void conn_touch(struct conn *c) {
    if (c->state == CONN_LINGERING) {
        linger_touch(c);
        return;
    }
    c->active_at = lane_now(c->lane);
    if (c->state != CONN_CLOSED && TAILQ_NEXT(c, link)) {
        TAILQ_REMOVE(&c->lane->conns, c, link);
        TAILQ_INSERT_TAIL(&c->lane->conns, c, link);
    }
}

static struct conn *conn_of_linger(struct lane_wait *wait) {
    return (struct conn *)(void *)((char *)wait - offsetof(struct conn, linger));
}

static void linger_late(struct lane_wait *wait) {
    conn_close(wait->conn, CONN_DRAINED);
}

static bool is_silent(const struct conn *c, ev_tstamp seconds) {
    return c->state == CONN_LINGERING && c->linger.began_at + seconds <= lane_now(c->lane);
}

void conn_end_silent(struct conn *c, ev_tstamp seconds) {
    if (is_silent(c, seconds))
        (void)conn_catch_up(c);
    if (is_silent(c, seconds))
        conn_close(c, CONN_DRAINED);
}

static void linger(struct conn *c) {
    struct lane *lane = c->lane;
    shutdown(c->fd, SHUT_WR);
    c->rested = 0;
    TAILQ_REMOVE(&lane->conns, c, link);
    TAILQ_INSERT_TAIL(&lane->lingering, c, link);
    c->state = CONN_LINGERING;
    c->linger_since = lane_now(lane);
    lane_wait_begins(lingerers(c), &c->linger, c, linger_late);
}

/* The time that the peer has to take something begins, or begins anew; what it sends meanwhile does not count. */
static void out_touch(struct conn *c) {
    if (c->out_at > 0)
        TAILQ_REMOVE(&c->lane->unsent, c, out_link);
    c->out_at = lane_now(c->lane);
    TAILQ_INSERT_TAIL(&c->lane->unsent, c, out_link);
}

static void out_forget(struct conn *c) {
    if (c->out_at > 0)
        TAILQ_REMOVE(&c->lane->unsent, c, out_link);
    c->out_at = 0;
}

/* A socket counts as writable only when a good part of its buffer is free: of a slow reader the loop hears little. */
static bool advances(struct conn *c) {
    int before = c->unsent;
    if (ioctl(c->fd, SIOCOUTQ, &c->unsent))
        return false;
    return c->unsent != before;
}

void conn_output_late(struct conn *c, bool excused) {
    if (advances(c) || excused)
        out_touch(c);
    else
        conn_close(c, CONN_SLOW_READER);
}

/* Whatever called it may be in the middle of an answer, or of the input: what follows is left to the loop. */
static void output_lost(struct conn *c) {
    struct ev_loop *loop = c->lane->loop;
    if (c->lost)
        return;
    c->lost = true;
    out_forget(c);
    ev_io_stop(loop, &c->write_io);
    c->ops->lost(c);
    ev_feed_event(loop, &c->write_io, EV_WRITE); /* nothing waits any more */
    if (!c->paused)
        ev_feed_event(loop, &c->read_io, EV_READ);
}

/* Owner: follows the output. The only place that starts or stops the write watcher of an open connection. */
static void output_settle(struct conn *c, int error, bool waiting) {
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
        out_touch(c);
        (void)advances(c);
        start_watching(c, &c->write_io);
        conn_watch(c);
        return;
    }
    out_forget(c);
    ev_io_stop(c->lane->loop, &c->write_io);
    if (c->state != CONN_FLUSHING)
        return;
    if (c->end == CONN_END_CLOSE || c->read_ended)
        conn_close(c, c->flush_reason);
    else
        linger(c);
}

/* Unlocks, and follows the output. Returns whether any waits for the peer. */
static bool output_unlock(struct conn *c) {
    int error = c->out_error;
    bool waiting = buf_len(&c->out) > 0;
    pthread_mutex_unlock(&c->out_lock);
    output_settle(c, error, waiting);
    return waiting;
}

static void write_cb(struct ev_loop *loop, ev_io *w, int revents) {
    (void)loop;
    struct conn *c = w->data;
    if (revents & EV_ERROR) {
        not_watched(c);
        return;
    }
    conn_touch(c);
    conn_ref(c);
    pthread_mutex_lock(&c->out_lock);
    flush_locked(c);
    bool waiting = output_unlock(c);
    if (!waiting && c->state == CONN_OPEN && c->ops->drained)
        c->ops->drained(c);
    conn_unref(c);
}

/* Returns false when these bytes are to be sent. */
static bool hold(struct conn *c, const void *data, size_t len) {
    if (!c->corked || c->out_error || buf_len(&c->out) + len > CONN_CORK_MAX || (buf_len(&c->out) && !c->out_held))
        return false;
    if (buf_append(&c->out, data, len))
        return false;
    c->out_held = true;
    return true;
}

/* Sends what was held. Returns whether output waits for the peer. */
static bool release_held(struct conn *c) {
    bool waiting = buf_len(&c->out) && !c->out_held;
    if (c->out_held)
        flush_locked(c);
    c->out_held = false;
    return waiting;
}

void conn_output(struct conn *c, const void *data, size_t len) {
    struct iovec piece = {(void *)(uintptr_t)data, len};
    if (c->state != CONN_OPEN)
        return;
    pthread_mutex_lock(&c->out_lock);
    if (hold(c, data, len)) {
        pthread_mutex_unlock(&c->out_lock);
        return;
    }
    bool was_waiting = release_held(c);
    send_or_keep(c, &piece, 1, 0);
    int error = c->out_error;
    size_t waiting = buf_len(&c->out);
    bool piles = waiting > CONN_OUT_MAX + c->out_longest;
    pthread_mutex_unlock(&c->out_lock);
    if (piles)
        conn_close(c, CONN_READS_NOTHING);
    else if (error || (waiting > 0) != was_waiting)
        output_settle(c, error, waiting > 0);
}

void conn_cork(struct conn *c) {
    c->corked = true;
}

void conn_uncork(struct conn *c) {
    c->corked = false;
    if (c->state == CONN_CLOSED)
        return;
    pthread_mutex_lock(&c->out_lock);
    if (!c->out_held) {
        pthread_mutex_unlock(&c->out_lock);
        return;
    }
    release_held(c);
    output_unlock(c); /* also for a connection that was to end when all is sent */
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

bool conn_is_lost(struct conn *c) {
    pthread_mutex_lock(&c->out_lock);
    bool is_lost = c->out_error != 0;
    pthread_mutex_unlock(&c->out_lock);
    return is_lost;
}

static void out_note_cb(struct sched_note *note) {
    struct conn *c = (struct conn *)(void *)((char *)note - offsetof(struct conn, out_note));
    conn_ref(c);
    pthread_mutex_lock(&c->out_lock);
    bool room = c->room_noted;
    c->out_noted = c->room_noted = false;
    output_unlock(c);
    if (room && c->state == CONN_OPEN)
        c->ops->room(c);
    conn_unref(c);
}

/* The lock is held. */
static void post_note(struct conn *c) {
    if (c->out_noted)
        return;
    c->out_noted = true;
    c->out_note.call = out_note_cb;
    sched_post(c->lane->sched, &c->out_note);
}

void conn_note_room(struct conn *c) {
    pthread_mutex_lock(&c->out_lock);
    c->room_noted = true;
    post_note(c);
    pthread_mutex_unlock(&c->out_lock);
}

/* Runs the loop, as long as it may, until no more than `low` bytes are left. Returns false when they still are. */
static bool room_made(struct conn *c, struct sched_thread *thread, const atomic_bool *gone, size_t low) {
    for (bool ran = true; ran && !c->out_error && !atomic_load(gone) && buf_len(&c->out) > low;) {
        pthread_mutex_unlock(&c->out_lock);
        ran = sched_run_loop(thread);
        pthread_mutex_lock(&c->out_lock);
    }
    return buf_len(&c->out) <= low;
}

/* A thread begins to transmit: when there is no room for what it has (`full`), or others wait already, it waits until no
 * more than `low` bytes are left. Returns false when nobody wants it any more. */
static bool transmit_begin(struct conn *c, struct sched_thread *thread, const atomic_bool *gone, bool full,
                           size_t low) {
    if (full && TAILQ_EMPTY(&c->out_turns))
        full = !room_made(c, thread, gone, low);
    if ((full || !TAILQ_EMPTY(&c->out_turns)) && !c->out_error && !atomic_load(gone) && sched_will_block(thread))
        turn_wait(c, thread, gone, low);
    return !atomic_load(gone);
}

/* It has done so, unless that was not `wanted`. The loop sends what was kept, or ends the connection. */
static int transmit_end(struct conn *c, bool wanted) {
    turns_wake(c);
    bool failed = c->out_error != 0;
    if (failed || buf_len(&c->out))
        post_note(c);
    pthread_mutex_unlock(&c->out_lock);
    if (!failed && wanted)
        return 0;
    errno = EPIPE;
    return -1;
}

int conn_transmit(struct conn *c, struct sched_thread *thread, const atomic_bool *gone, const struct iovec *pieces,
                  unsigned count) {
    size_t total = 0;
    for (unsigned i = 0; i < count; i++)
        total += pieces[i].iov_len;
    pthread_mutex_lock(&c->out_lock);
    bool full = buf_len(&c->out) && buf_len(&c->out) + total > CONN_OUT_HIGH;
    bool wanted = transmit_begin(c, thread, gone, full, CONN_OUT_LOW);
    if (wanted)
        send_or_keep(c, pieces, count, 0);
    return transmit_end(c, wanted);
}

/* Returns how many bytes the socket has taken. sendfile has no MSG_NOSIGNAL, and an application may have set SIGPIPE back
 * to what ends a process; an error comes with fewer bytes than asked for, or none. */
static size_t sendfile_now(struct conn *c, int fd, off_t offset, size_t len) {
    static const struct timespec at_once;
    sigset_t sigpipe, before;
    sigemptyset(&sigpipe);
    sigaddset(&sigpipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &sigpipe, &before);
    ssize_t n = sendfile(c->fd, fd, &offset, len);
    if (n != (ssize_t)len)
        (void)sigtimedwait(&sigpipe, NULL, &at_once);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return n > 0 ? (size_t)n : 0;
}

/* Reads and keeps a part of a file; where there is none zeros stand in for it when it is to be `whole`. Returns how many
 * bytes the file had. */
static size_t keep_file(struct conn *c, int fd, off_t offset, size_t len, bool whole) {
    int error;
    if (buf_reserve(&c->out, len)) {
        c->out_error = ENOMEM;
        return 0;
    }
    size_t have = pread_full(fd, buf_tail(&c->out), len, offset, &error);
    memset(buf_tail(&c->out) + have, 0, len - have);
    c->out.end += whole ? len : have;
    return have;
}

ssize_t conn_transmit_file(struct conn *c, struct sched_thread *thread, const atomic_bool *gone,
                           const struct iovec *head, int fd, off_t offset, size_t len) {
    pthread_mutex_lock(&c->out_lock);
    bool wanted = transmit_begin(c, thread, gone, buf_len(&c->out) > 0, 0);
    size_t sent = 0;
    if (wanted && head)
        send_or_keep(c, head, 1, MSG_MORE);
    if (wanted && !c->out_error && !buf_len(&c->out))
        sent = sendfile_now(c, fd, offset, len);
    /* Also where sendfile has failed: if that was the connection's fault, the loop will find out. */
    if (wanted && !c->out_error && sent < len)
        sent += keep_file(c, fd, offset + (off_t)sent, len - sent, head != NULL);
    return transmit_end(c, wanted) ? -1 : (ssize_t)sent;
}

/* Reading. */

/* On a Unix socket POLLHUP tells an end of both sides from an end of the peer's writing side alone. TCP does not tell
 * them apart before something is sent, which a peer that is gone answers with a reset. */
static bool peer_may_read(const struct conn *c) {
    struct pollfd p = {.fd = c->fd, .events = POLLIN};
    return !c->lost && poll(&p, 1, 0) == 1 && !(p.revents & (POLLHUP | POLLERR));
}

static void stop_reading(struct conn *c) {
    if (!c->watched)
        TAILQ_REMOVE(&c->lane->unwatched, c, unwatched_link);
    c->watched = true;
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

uint64_t conn_drop_max(const struct conn *c) {
    uint64_t body = c->lane->config.body.total;
    return body > CONN_DROP_MAX ? body : CONN_DROP_MAX;
}

/* Nobody wants these bytes. Who sends them gets to its answer, if it comes to an end some day. */
static void drop_input(struct conn *c, size_t len) {
    c->drained += len;
    ev_tstamp most = CONN_DROP_SECONDS + (double)c->drained / CONN_DROP_PACE;
    if (c->drained > conn_drop_max(c) || (c->state == CONN_LINGERING && lane_now(c->lane) > c->linger_since + most))
        conn_close(c, CONN_DRAINED);
}

static void read_input(struct conn *c) {
    struct lane *lane = c->lane;
    ssize_t n = sys_recv(c->fd, lane->input, sizeof lane->input);
    if (n < 0) {
        note_lost(c, errno);
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
        drop_input(c, (size_t)n);
    if (c->lost && c->state == CONN_OPEN && !c->paused)
        ev_feed_event(lane->loop, &c->read_io, EV_READ);
}

void conn_read(struct conn *c) {
    conn_ref(c);
    read_input(c);
    conn_unref(c);
}

/* What a peer adds meanwhile, it sends later: it does not keep the loop. */
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

void conn_watch(struct conn *c) {
    if (c->watched || c->state == CONN_CLOSED)
        return;
    c->watched = true;
    TAILQ_REMOVE(&c->lane->unwatched, c, unwatched_link);
    if (!c->paused)
        start_watching(c, &c->read_io);
}

/* To watch a descriptor takes a system call, and to hear of its end another one. Most peers that part have ended their
 * side a few turns of the loop later, so that a look then is all it takes. Should there be no such turns, the lane
 * looks when the time is over; a lane that stops does not wait for either. */
void conn_settle(struct conn *c) {
    if (c->state == CONN_LINGERING && c->end == CONN_END_PART && c->rested < PART_TURNS && !c->lane->stopping) {
        c->rested++;
        return;
    }
    conn_ref(c);
    if (c->state == CONN_LINGERING)
        conn_read(c);
    conn_watch(c);
    conn_unref(c);
}

struct conn *conn_first_lingering(const struct lane_waits *waits) {
    struct lane_wait *oldest = TAILQ_FIRST(&waits->list);
    return oldest ? conn_of_linger(oldest) : NULL;
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
    if (c->paused && c->watched && c->state != CONN_CLOSED && !c->read_ended)
        start_watching(c, &c->read_io);
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
    if (lane->accept_paused)
        lane_accept_again(lane);
}

bool conn_gives_way(struct conn *c, enum conn_reason reason) {
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

void conn_alloc_fini(struct conn *c) {
    buf_fini(&c->out);
    pthread_mutex_destroy(&c->out_lock);
}

void conn_init(struct conn *c, struct lane *lane, int fd, const struct sockaddr *peer, const struct conn_ops *ops) {
    c->lane = lane;
    c->ops = ops;
    c->number = ++lane->next_conn;
    c->fd = fd;
    c->state = CONN_OPEN;
    c->refs = 1;
    c->watched = c->in_loop = c->read_ended = c->paused = c->used = false;
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
    c->out_noted = c->room_noted = c->out_held = c->corked = false;
    c->out_error = 0;
    ev_io_init(&c->read_io, read_cb, fd, EV_READ);
    ev_io_init(&c->write_io, write_cb, fd, EV_WRITE);
    c->read_io.data = c->write_io.data = c;
    c->active_at = lane_now(lane);
    TAILQ_INSERT_TAIL(&lane->conns, c, link);
    TAILQ_INSERT_TAIL(&lane->unwatched, c, unwatched_link);
    lane_count_add(&lane->nconns, 1);
}

void conn_ref(struct conn *c) {
    c->refs++;
}

void conn_unref(struct conn *c) {
    if (--c->refs)
        return;
    pthread_mutex_lock(&c->out_lock);
    bool noted = c->out_noted;
    pthread_mutex_unlock(&c->out_lock);
    if (noted)
        return;
    TAILQ_REMOVE(&c->lane->closed, c, link);
    c->ops->free(c);
}

void conn_finish(struct conn *c, enum conn_reason reason, enum conn_end end) {
    if (c->state != CONN_OPEN)
        return;
    conn_set_rest(c, CONN_BUSY);
    c->state = CONN_FLUSHING;
    c->flush_reason = reason;
    c->end = end;
    if (!conn_blocked(c))
        output_settle(c, false, false);
}

static __attribute__((noinline)) void log_reason(struct conn *c, enum conn_reason reason) {
    char text[WHO_TEXT_SIZE], more[LOG_TABLE_MORE_SIZE];
    more[0] = '\0';
    struct who who = who_find(c, NULL);
    if (reasons[reason].level != LOG_LEVEL_DEBUG && !who_log_due(&who, &c->lane->reason_topics[reason], more))
        return;
    sched_pause(c->lane->sched);
    log_printf(reasons[reason].level, "connection %llu: %s (%s)%s", c->number, reasons[reason].text,
               who_text(&who, text), more);
}

/* Whoever has the descriptor too, such as a child that was made without the handlers of pthread_atfork(3), must not keep the
 * end from the peer. One that has ended both sides, or is gone, waits for nothing. */
static bool peer_awaits_end(const struct conn *c, enum conn_reason reason) {
    if (c->state == CONN_LINGERING)
        return reason != CONN_DONE;
    return c->state != CONN_OPEN || (reason != CONN_EOF && reason != CONN_RESET);
}

void conn_close(struct conn *c, enum conn_reason reason) {
    struct lane *lane = c->lane;
    if (c->state == CONN_CLOSED)
        return;
    bool tell = peer_awaits_end(c, reason);
    if (reasons[reason].level <= log_max_level)
        log_reason(c, reason);
    conn_set_rest(c, CONN_BUSY);
    if (c->state == CONN_LINGERING) {
        lane_wait_ends(lingerers(c), &c->linger);
        TAILQ_REMOVE(&lane->lingering, c, link);
    } else
        TAILQ_REMOVE(&lane->conns, c, link);
    c->state = CONN_CLOSED;
    TAILQ_INSERT_TAIL(&lane->closed, c, link);
    c->lost = true;
    c->left = reason == CONN_EOF || reason == CONN_RESET;
    c->read_ended |= c->left;
    out_forget(c);
    ev_io_stop(lane->loop, &c->write_io);
    stop_reading(c);
    pthread_mutex_lock(&c->out_lock);
    if (!c->out_error)
        c->out_error = EPIPE;
    buf_reset(&c->out, REQUEST_KEEP_BYTES);
    turns_wake(c);
    if (tell)
        shutdown(c->fd, SHUT_RDWR);
    if (c->in_loop)
        loop_unwatch(lane->loop, c->fd);
    descriptors_close(c->fd);
    c->fd = -1;
    pthread_mutex_unlock(&c->out_lock);
    c->ops->gone(c);
    lane_count_add(&lane->nconns, -1);
    lane_conn_closed(lane);
    conn_unref(c);
}
