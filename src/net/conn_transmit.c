#include "config.h"

#include "net/conn_impl.h"

#include "base/pread.h"
#include "net/lane_impl.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

/* Turns of threads. */

void conn_turns_wake(struct conn *c) {
    struct conn_turn *turn;
    TAILQ_FOREACH(turn, &c->out_turns, link) {
        if (!c->out_error && buf_len(&c->out) > turn->low)
            return;
        pthread_cond_signal(&turn->come);
        if (!c->out_error)
            return;
    }
}

/* Waits until it is this thread's turn and there is room, or until nothing can or should be sent any more. */
static void turn_wait(struct conn *c, struct request *r, size_t low) {
    struct conn_turn turn = {.come = PTHREAD_COND_INITIALIZER, .low = low};
    TAILQ_INSERT_TAIL(&c->out_turns, &turn, link);
    sched_peer_wait_begins(r->thread);
    while (!c->out_error && !request_is_gone(r) && (TAILQ_FIRST(&c->out_turns) != &turn || buf_len(&c->out) > low))
        pthread_cond_wait(&turn.come, &c->out_lock);
    sched_peer_wait_ends(r->thread);
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

/* What threads leave to the loop. */

static void out_note_cb(struct sched_note *note) {
    struct conn *c = (struct conn *)(void *)((char *)note - offsetof(struct conn, out_note));
    conn_ref(c);
    pthread_mutex_lock(&c->out_lock);
    bool room = c->room_noted;
    c->out_noted = c->room_noted = false;
    conn_output_unlock(c);
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

/* What threads send. */

/* Runs the loop, as long as it may, until no more than `low` bytes are left. Returns false when they still are. */
static bool room_made(struct conn *c, const struct request *r, size_t low) {
    for (bool ran = true; ran && !c->out_error && !request_is_gone(r) && buf_len(&c->out) > low;) {
        pthread_mutex_unlock(&c->out_lock);
        ran = sched_run_loop(r->thread);
        pthread_mutex_lock(&c->out_lock);
    }
    return buf_len(&c->out) <= low;
}

/* A thread begins to transmit. If there is no room for what it has (`full`), or others wait already, it waits until at
 * most `low` bytes are left. */
static void transmit_begin(struct conn *c, struct request *r, bool full, size_t low) {
    if (!full && TAILQ_EMPTY(&c->out_turns))
        return;
    atomic_store_explicit(&r->waits, REQUEST_SENDS, memory_order_relaxed);
    if (full && TAILQ_EMPTY(&c->out_turns))
        full = !room_made(c, r, low);
    if ((full || !TAILQ_EMPTY(&c->out_turns)) && !c->out_error && !request_is_gone(r) && sched_will_block(r->thread))
        turn_wait(c, r, low);
    atomic_store_explicit(&r->waits, REQUEST_WAITS_NOT, memory_order_relaxed);
}

/* A thread has transmitted, unless that was not `wanted`. The loop sends what was kept, or ends the connection. */
static int transmit_end(struct conn *c, bool wanted) {
    conn_turns_wake(c);
    bool failed = c->out_error != 0;
    if (failed || buf_len(&c->out))
        post_note(c);
    pthread_mutex_unlock(&c->out_lock);
    if (!failed && wanted)
        return 0;
    errno = EPIPE;
    return -1;
}

/* Locks the connection, and waits for room. */
static void wait_for_room(struct conn *c, struct request *r, const struct iovec *pieces, unsigned count) {
    size_t total = 0;
    for (unsigned i = 0; i < count; i++)
        total += pieces[i].iov_len;
    pthread_mutex_lock(&c->out_lock);
    bool full = buf_len(&c->out) && buf_len(&c->out) + total > CONN_OUT_HIGH;
    transmit_begin(c, r, full, CONN_OUT_LOW);
}

int conn_transmit(struct conn *c, struct request *r, const struct iovec *pieces, unsigned count) {
    wait_for_room(c, r, pieces, count);
    bool wanted = request_begin_answer(r);
    if (wanted)
        conn_send_or_keep(c, pieces, count, 0);
    return transmit_end(c, wanted);
}

int conn_transmit_interim(struct conn *c, struct request *r, const struct iovec *pieces, unsigned count) {
    wait_for_room(c, r, pieces, count);
    bool wanted = !request_is_gone(r);
    if (wanted)
        conn_send_or_keep(c, pieces, count, 0);
    return transmit_end(c, wanted);
}

bool conn_leave(struct conn *c, struct request *r, const void *data, size_t len) {
    if (!sched_has_loop(r->thread) || pthread_mutex_trylock(&c->out_lock)) /* it may be held for a disk */
        return false;
    bool left = TAILQ_EMPTY(&c->out_turns) && conn_may_collect(c, len) && !buf_reserve(&c->out, len) &&
                request_begin_answer(r) && conn_collect(c, data, len);
    if (left && !sched_has_loop(r->thread)) /* who has got it may have looked before */
        post_note(c);
    pthread_mutex_unlock(&c->out_lock);
    return left;
}

void conn_note_left(struct conn *c) {
    pthread_mutex_lock(&c->out_lock);
    if (c->out_collected)
        post_note(c);
    pthread_mutex_unlock(&c->out_lock);
}

/* Returns how many bytes the socket has taken. sendfile has no MSG_NOSIGNAL, and an application may have set SIGPIPE
 * back to its default, which ends the process. After an error the count is lower than asked for, or 0. */
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

/* Reads part of a file and keeps it as output. With `whole`, zeros replace what the file lacks. Returns how many bytes
 * the file had. */
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

ssize_t conn_transmit_file(struct conn *c, struct request *r, const struct iovec *head, int fd, off_t offset,
                           size_t len) {
    size_t sent = 0;
    pthread_mutex_lock(&c->out_lock);
    transmit_begin(c, r, buf_len(&c->out) > 0, 0);
    bool wanted = request_begin_answer(r);
    if (wanted && head)
        conn_send_or_keep(c, head, 1, MSG_MORE);
    if (wanted && !c->out_error && !buf_len(&c->out))
        sent = sendfile_now(c, fd, offset, len);
    /* Also where sendfile has failed: if that was the connection's fault, the loop will find out. */
    if (wanted && !c->out_error && sent < len)
        sent += keep_file(c, fd, offset + (off_t)sent, len - sent, head != NULL);
    return transmit_end(c, wanted) ? -1 : (ssize_t)sent;
}
