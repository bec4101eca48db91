#include "config.h"

/* A promise that is not kept is a finding. */
#undef NDEBUG
#include <assert.h>

#include "conn_rig.h"

#include "base/descriptors.h"
#include "base/log.h"
#include "fake_sched.h"
#include "net/fcgi/request.h"
#include "ipc/fd_socket.h"
#include "ipc/scoreboard.h"
#include "net/exchange.h"
#include "net/handover.h"
#include "net/http/protocol.h"
#include "proto/handover.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    STEPS_MAX = 200,
    PIECES_MAX = 64,       /* in which something is sent; the rest follows in one */
    QUIET_ROUNDS = 10,     /* of the loop, after which nothing waits in a socket any more */
    SENT_MAX = 1 << 19,    /* bytes of all peers */
    ANSWERED_MAX = 1 << 20 /* bytes of the application */
};

struct conn_rig rig;
const uint8_t rig_filler[RIG_FILLER];
static uint8_t late_filler[RIG_FILLER]; /* LATE_BYTE */
enum { LATE_BYTE = 0xee };

/* Takes the place of log_printf (local.mk: --wrap): the arguments are used as they would be, and nothing is written. */
void __wrap_log_printf(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

void __wrap_log_printf(enum log_level level, const char *format, ...) {
    char line[2048];
    va_list args;
    (void)level;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
}

/* The input. */

uint8_t rig_next(void) {
    return rig.pos < rig.end ? *rig.pos++ : 0;
}

size_t rig_next_length(void) {
    return rig.front->lengths[rig_next() % RIG_LENGTHS];
}

const uint8_t *rig_next_bytes(size_t *len) {
    *len = rig_next();
    const uint8_t *bytes = rig.pos;
    *len = (size_t)(rig.end - rig.pos) < *len ? (size_t)(rig.end - rig.pos) : *len;
    rig.pos += *len;
    return bytes;
}

struct request *rig_next_running(void) {
    uint8_t which = rig_next();
    return rig.nrunning ? rig.running[which % rig.nrunning] : NULL;
}

/* What holds between any two steps. */

static unsigned check_conn(struct conn *conn, enum conn_state lowest, enum conn_state highest) {
    assert(conn->rest == CONN_BUSY || conn->state == CONN_OPEN);
    assert(conn->state >= lowest && conn->state <= highest && conn->fd >= 0);
    return rig.front->check_conn(conn);
}

static void check_lane(void) {
    struct timeouts *all;
    struct conn *c;
    struct timeout *to;
    unsigned open = 0, waits = 0;
    TAILQ_FOREACH(c, &rig.lane->conns, link) {
        waits += check_conn(c, CONN_OPEN, CONN_FLUSHING);
        open++;
    }
    TAILQ_FOREACH(c, &rig.lane->lingering, link) {
        waits += 1 + check_conn(c, CONN_LINGERING, CONN_LINGERING);
        open++;
    }
    SLIST_FOREACH(all, &rig.lane->timeouts, link) {
        TAILQ_FOREACH(to, &all->list, link) {
            waits--;
        }
    }
    assert(!waits && open == rig.lane->nconns && open <= rig.lane->nlive);
    for (int rest = CONN_RESTING; rest < CONN_REST_COUNT; rest++) {
        TAILQ_FOREACH(c, &rig.lane->rests[rest], rest_link) {
            assert((int)c->rest == rest && c->state == CONN_OPEN);
        }
    }
}

/* The loop. */

/* Also where nobody speaks it. */
static struct fcgi_lane *fcgi(void) {
    return rig.lane->protocol_states[LISTENER_FASTCGI];
}

void rig_loop(void) {
    fake_sched_call_notes(rig.lane->sched);
    if (!fake_sched_has_quit(rig.lane->sched))
        ev_run(rig.lane->loop, EVRUN_NOWAIT);
    fake_sched_call_notes(rig.lane->sched);
}

void rig_hold(void) {
    rig.hold = !rig.hold;
}

/* A timer of the lane comes due. */
static void fire(ev_timer *timer) {
    ev_timer_stop(rig.lane->loop, timer);
    ev_invoke(rig.lane->loop, timer, EV_TIMER);
}

void rig_late(struct timeouts *all) {
    struct timeout *to;
    if (all->after <= 0)
        return; /* its timer never runs */
    TAILQ_FOREACH(to, &all->list, link) {
        to->began_at -= RIG_LONG;
    }
    fire(&all->timer);
}

/* Other workers: one serves, but takes nothing, so that what is given away comes back, unless the lane has retired. */

static int queue[2];
static struct scoreboard *board;

static void workers_begin(struct handover_config *config) {
    int ignored;
    if (!board)
        assert(!fd_socket_pair(queue) && (board = scoreboard_new(&ignored)));
    *config = (struct handover_config){.send_fd = queue[1], .receive_fd = queue[0], .board = board};
    atomic_store(&board->queued, 0);
    atomic_store(&board->slots[0].state, SCOREBOARD_SERVING);
    atomic_store(&board->slots[1].state, SCOREBOARD_SERVING);
}

/* What wakes them; nobody listens to the other one's. */
static void workers_join(void) {
    for (unsigned slot = 0; slot < 2; slot++) {
        descriptors_lock();
        int fd = descriptors_adopt(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
        descriptors_unlock();
        assert(fd >= 0);
        handover_add_peer(rig.lane, slot, fd);
    }
}

/* The other one ends. What nobody has taken is closed. */
static void workers_end(void) {
    static char message[HANDOVER_HEAD_MAX + HANDOVER_LEFTOVER_MAX];
    struct handover_message m;
    int fds[FD_SOCKET_FDS];
    unsigned nfds;
    ssize_t n;
    while ((n = fd_socket_receive(queue[0], message, sizeof message, fds, &nfds)) > 0) {
        assert(nfds == 1 && handover_parse((const uint8_t *)message, (size_t)n, &m) == HANDOVER_OK);
        descriptors_close(fds[0]);
    }
}

static void give_away(enum conn_rest rest) {
    struct conn *c = TAILQ_FIRST(&rig.lane->rests[rest]);
    if (!c)
        return;
    conn_ref(c);
    assert(handover_give(c) == (c->state == CONN_CLOSED));
    conn_unref(c);
}

/* The place of a connection is needed. */
static void give_way(enum conn_rest rest) {
    struct conn *c = TAILQ_FIRST(&rig.lane->rests[rest]);
    if (!c)
        return;
    conn_ref(c);
    assert(conn_gives_way(c, CONN_MADE_ROOM) == (c->state == CONN_CLOSED) && c->rest != rest);
    conn_unref(c);
}

void rig_idle(void) {
    struct conn *c;
    uint8_t which = rig_next();
    if (which & 1 || which & 128) {
        rig_late(which & 1 ? &rig.lane->headers : &fcgi()->silence);
        if (which & 128)
            rig_late(&fcgi()->stall);
        return;
    }
    if ((which & 6) == 6 && which & 32) {
        lane_retire(rig.lane);
        return;
    }
    if ((which & 6) == 6) {
        (which & 16 ? give_away : give_way)(which & 8 ? CONN_BEGUN : CONN_RESTING);
        return;
    }
    TAILQ_FOREACH(c, &rig.lane->conns, link) {
        c->active_at -= RIG_LONG;
    }
    fire(&rig.lane->idle_timer);
}

void rig_linger(void) {
    rig_late(&rig.lane->draining);
    rig_late(&rig.lane->parting);
}

void rig_stop(void) {
    lane_stop(rig.lane);
}

void rig_stop_timeout(void) {
    if (ev_is_active(&rig.lane->stop_timer))
        fire(&rig.lane->stop_timer);
}

void rig_abort(void) {
    if (rig.lane->stopping)
        lane_abort(rig.lane);
}

/* Peers. */

static unsigned number_of(const struct rig_peer *p) {
    return (unsigned)(p - rig.peers);
}

void rig_connect(void) {
    uint8_t flags = rig_next();
    int pair[2];
    struct rig_peer *p = rig.peers;
    while (p < rig.peers + RIG_PEERS && p->fd >= 0)
        p++;
    if (p == rig.peers + RIG_PEERS || rig.lane->stopping || rig.lane->retiring ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair))
        return;
    if (flags & 2)
        setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &(int){4096}, sizeof(int));
    p->fd = pair[0];
    p->late_bytes = 0;
    rig.peer = p;
    rig.front->accept(number_of(p), pair[1], !(flags & 1));
}

void rig_choose(void) {
    rig.peer = &rig.peers[rig_next() % RIG_PEERS];
}

void rig_pieces(void) {
    rig.piece = rig_next();
}

static size_t peer_send(struct rig_peer *p, const uint8_t *data, size_t len) {
    ssize_t n = send(p->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n <= 0)
        return 0;
    if (rig.front->sent)
        rig.front->sent(number_of(p), data, (size_t)n);
    return (size_t)n;
}

void rig_send(const void *data, size_t len) {
    const uint8_t *bytes = data;
    unsigned full = 0, pieces = rig.piece ? PIECES_MAX : 0;
    if (!rig.peer || rig.peer->fd < 0 || rig.sent > SENT_MAX)
        return;
    rig.sent += len;
    while (len && full < 10) {
        size_t n = peer_send(rig.peer, bytes, pieces && rig.piece < len ? rig.piece : len);
        full = n ? 0 : full + 1;
        bytes += n;
        len -= n;
        if (!n || (pieces && !rig.hold))
            rig_loop();
        if (pieces)
            pieces--;
    }
}

void rig_bytes(void) {
    size_t len;
    const uint8_t *bytes = rig_next_bytes(&len);
    rig_send(bytes, len);
}

/* A call whose time is over sends nothing any more. */
static void check_late_bytes(struct rig_peer *p, const uint8_t *data, size_t len) {
    for (size_t i = 0; i < len; i++) {
        p->late_bytes = data[i] == LATE_BYTE ? p->late_bytes + 1 : 0;
        assert(p->late_bytes < RIG_LATE_RUN);
    }
}

/* Returns how many bytes of at most `max`. */
static size_t peer_receive(struct rig_peer *p, size_t max) {
    static uint8_t block[65536];
    size_t received = 0;
    while (p->fd >= 0 && received < max) {
        ssize_t n = recv(p->fd, block, max - received < sizeof block ? max - received : sizeof block, MSG_DONTWAIT);
        if (n <= 0)
            break;
        check_late_bytes(p, block, (size_t)n);
        rig.front->received(number_of(p), block, (size_t)n);
        received += (size_t)n;
    }
    return received;
}

void rig_receive(void) {
    size_t len = rig_next_length();
    if (rig.peer)
        peer_receive(rig.peer, len);
}

void rig_half_close(void) {
    if (rig.peer && rig.peer->fd >= 0)
        shutdown(rig.peer->fd, SHUT_WR);
}

static void peer_close(struct rig_peer *p) {
    if (p->fd >= 0)
        close(p->fd);
    p->fd = -1;
}

void rig_close(void) {
    if (rig.peer)
        peer_close(rig.peer);
}

/* The application. */

static void run(struct request *r, void *user) {
    const char *pos = buf_len(&r->params) ? buf_head(&r->params) : "", *end = pos + buf_len(&r->params);
    struct params_pair pair;
    uint32_t pairs = 0;
    (void)user;
    while (params_next(&pos, end, &pair) == PARAMS_PAIR)
        pairs++;
    assert(pos == end && pairs == r->vars.npairs && !r->head_stored && !r->broken_off && r->thread);
    assert(!r->overdue && !r->deadline && rig.nrunning < RIG_CALLS);
    snprintf(r->status, sizeof r->status, "200 OK");
    rig.running[rig.nrunning++] = r;
}

void rig_job(void) {
    fake_sched_run(rig.lane->sched);
}

void rig_expire(void) {
    fake_sched_expire(rig.lane->sched);
}

bool rig_may_answer(size_t len) {
    if (rig.answered > ANSWERED_MAX)
        return false;
    rig.answered += len;
    return true;
}

const char *rig_answer(const struct request *r) {
    return (const char *)(r->overdue ? late_filler : rig_filler);
}

void rig_put(void) {
    struct request *r = rig_next_running();
    size_t len = rig_next_length();
    if (r && rig_may_answer(len))
        assert(!r->answer_ops->put(r, rig_answer(r), len));
}

void rig_transmit(void) {
    struct request *r = rig_next_running();
    size_t len = rig_next_length();
    if (!r || !rig_may_answer(len))
        return;
    errno = 0;
    assert((!request_send(r, rig_answer(r), len) && !r->overdue) || errno == EPIPE);
}

int rig_read(void) {
    struct request *r = rig_next_running();
    size_t len = rig_next_length();
    uint8_t *into = malloc(len + 1);
    int error = 0;
    assert(into != NULL);
    if (r && request_read(r, into, len) < 0) {
        error = errno;
        assert(error);
    }
    free(into);
    return error;
}

unsigned rig_late_requests(const struct conn *conn) {
    const struct exchange *x;
    unsigned n = 0;
    TAILQ_FOREACH(x, &rig.lane->deadlines.late, deadline_link) {
        n += x->conn == conn;
    }
    return n;
}

void rig_break_off(void) {
    bool overdue = rig.pos < rig.end && *rig.pos & 128;
    struct request *r = rig_next_running();
    if (r && overdue) {
        r->deadline = 1;
        r->answer_ops->deadline_set(r);
    } else if (r)
        r->broken_off = true;
}

void rig_return(void) {
    struct request *r = rig_next_running();
    unsigned i = 0;
    if (!r)
        return;
    while (rig.running[i] != r)
        i++;
    rig.running[i] = rig.running[--rig.nrunning];
    fake_sched_settle(rig.lane->sched, &r->job, NULL);
}

/* The end. */

/* Those that run have ended together. */
static void return_all(void) {
    unsigned n = rig.nrunning;
    rig.nrunning = 0;
    for (unsigned i = 0; i < n; i++) {
        const struct sched_job *next = i + 1 < n ? &rig.running[i + 1]->job : NULL;
        const struct fcgi_conn *c = next && next->group == rig.running[i]->job.group ? next->group : NULL;
        fake_sched_settle(rig.lane->sched, &rig.running[i]->job, next);
        /* The next answer on this connection is to leave with this one. */
        assert(!c || c->conn.corked || c->conn.state != CONN_OPEN);
    }
}

static void answer_all(void) {
    for (;;) {
        while (fake_sched_run(rig.lane->sched))
            ;
        if (!rig.nrunning)
            return;
        for (unsigned i = 0; i < rig.nrunning; i++) {
            struct request *r = rig.running[i];
            if (!r->broken_off)
                assert(!r->answer_ops->put(r, rig_answer(r), 100));
        }
        return_all();
        rig_loop();
    }
}

/* Lets everything happen that can without further input, and takes all that is sent. */
static void settle(void) {
    for (int quiet = 0; quiet < QUIET_ROUNDS; quiet++) {
        answer_all();
        rig_loop();
        for (struct rig_peer *p = rig.peers; p < rig.peers + RIG_PEERS; p++)
            if (peer_receive(p, SIZE_MAX))
                quiet = 0;
    }
}

/* A request that came whole is answered by now, and has left nothing behind. */
static void check_answered(void) {
    struct conn *conn;
    TAILQ_FOREACH(conn, &rig.lane->conns, link) {
        assert(conn->state == CONN_OPEN && !conn_blocked(conn) && !conn->corked && !conn->out_collected);
        rig.front->check_answered(conn);
    }
}

static void end(void) {
    settle();
    if (rig.lane->retiring) {
        atomic_store(&board->slots[1].state, SCOREBOARD_ENDING);
        rig.lane->retire_look = true; /* that is noticed when there is something to give, */
        if (ev_is_active(&rig.lane->retire_timer))
            fire(&rig.lane->retire_timer); /* or after a moment */
        settle();
    }
    if (!fake_sched_has_quit(rig.lane->sched)) {
        check_lane();
        check_answered();
    }
    for (struct rig_peer *p = rig.peers; p < rig.peers + RIG_PEERS; p++)
        peer_close(p);
    settle();
    assert(!rig.lane->nlive && !rig.lane->nconns && !rig.lane->nrequests && !rig.lane->deadlines.nlate);
    assert(TAILQ_EMPTY(&rig.lane->deadlines.timed));
    if (!rig.lane->stopping)
        lane_stop(rig.lane);
    rig_loop();
    assert(fake_sched_has_quit(rig.lane->sched));
    lane_free(rig.lane);
    workers_end();
}

static void begin(uint8_t choice) {
    static struct listener_set none;
    struct handover_config workers;
    workers_begin(&workers);
    struct lane_config config = {
        .protocols =
            {
                [LISTENER_FASTCGI] = &fcgi_protocol,
#if WSGI_FCGI_HTTP
                [LISTENER_HTTP] = &http_protocol,
#endif
            },
        .run = run,
        .handover = &workers,
        .threads = 1 + choice % RIG_THREADS,
        .lost_max = RIG_CALLS,
        .queue_limit = 2,
        .idle_timeout = 60,
        .header_timeout = choice & 8 ? 10 : 0,
        .max_connections = 100,
        .keepalive_requests = choice & 16 ? 3 : 0,
        .limit_params = 300,
        .limit_param_count = 20,
        .limit_requests = 4,
        .stream_body = choice & 128,
        .body = {.memory = 8192, .total = 200000, .spool_dir = choice & 32 ? "/nonexistent" : "/tmp"},
        .script_name = choice & 64 ? "/a" : "",
    };
    if (rig.front->configure)
        rig.front->configure(&config, choice);
    rig.lane = lane_new(&config, &none);
    assert(rig.lane);
    workers_join();
    assert(!lane_start(rig.lane));
    fcgi()->silence.after = fcgi()->stall.after = 60; /* passes in rig_idle only, however slow the machine is */
    for (size_t i = 0; i < RIG_PEERS; i++)
        rig.peers[i].fd = -1;
}

void rig_run(const struct rig_front *front, const uint8_t *data, size_t size) {
    rig = (struct conn_rig){.front = front, .pos = data, .end = data + size};
    memset(late_filler, LATE_BYTE, sizeof late_filler);
    log_max_level = LOG_LEVEL_DEBUG;
    begin(rig_next());
    for (int steps = 0; rig.pos < rig.end && steps < STEPS_MAX && !fake_sched_has_quit(rig.lane->sched); steps++) {
        front->steps[rig_next() % front->nsteps]();
        if (!rig.hold)
            rig_loop();
        check_lane();
    }
    rig.pos = rig.end;
    end();
}
