#include "config.h"

#include "net/lane.h"

#include "base/clock.h"
#include "base/descriptors.h"
#include "base/hash.h"
#include "base/log.h"
#include "net/fcgi/conn.h"
#if WSGI_FCGI_HTTP
#include "net/http/conn.h"
#endif
#include "net/lane_impl.h"
#include "net/loop.h"
#include "net/request_log.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    ROOM_TRIES = 256,      /* connections that turn out to be busy when one is to be closed, before others get a turn */
    ACCEPT_BATCH = 64,     /* connections accepted before the others get a turn */
    FULL_LOG_SECONDS = 10, /* between two lines that say the same */
    BODY_WINDOW_SECONDS = 30 /* without --header-timeout */
};
static const ev_tstamp ACCEPT_PAUSE = 0.5; /* seconds without descriptors before accept is tried again */
static const ev_tstamp SILENCE = 0.05;     /* seconds; a peer that means to send more of a body does so in less */
static const ev_tstamp STALL = 0.5;        /* unless it has too much else to do */
static const ev_tstamp LATE = 0.5;         /* seconds after which the loop is to blame: it was paused, or held up */

/* Seconds, when the lane stops. */
static const ev_tstamp STOP_LOOK = 0.1;   /* between looks at what is left */
static const ev_tstamp STOP_FRESH = 0.25; /* after it was accepted: the peer's first request is on its way, */
static const ev_tstamp STOP_HEAD = 1;     /* after the beginning of the stop: or the rest of a header, */
static const ev_tstamp STOP_SILENCE =
    0.5; /* or the end of its side, when it sends nothing more; of a connection that ends */

static const struct frontend *const frontends[] = {
    [LISTENER_FASTCGI] = &fcgi_protocol,
#if WSGI_FCGI_HTTP
    [LISTENER_HTTP] = &http_protocol,
#endif
};

/* The time. */

/* Before all other callbacks of a turn of the loop, but the scheduler's own. */
static void check_cb(struct ev_loop *loop, ev_check *w, int revents) {
    (void)loop;
    (void)revents;
    struct lane *lane = w->data;
    lane->now = (double)sched_polled(lane->sched) / 1e9;
}

/* Accepting. */

static void accept_start(struct lane *lane) {
    lane->accept_paused = false;
    ev_timer_stop(lane->loop, &lane->accept_pause);
    for (size_t i = 0; i < lane->listeners->count; i++)
        ev_io_start(lane->loop, &lane->accepting[i].io);
}

static void accept_stop(struct lane *lane) {
    for (size_t i = 0; i < lane->listeners->count; i++)
        ev_io_stop(lane->loop, &lane->accepting[i].io);
}

static void accept_pause_cb(struct ev_loop *loop, ev_timer *w, int revents) {
    (void)loop;
    (void)revents;
    accept_start(w->data);
}

static bool log_due(struct lane *lane, ev_tstamp *logged_at) {
    ev_tstamp now = lane_now(lane);
    if (*logged_at > 0 && *logged_at + FULL_LOG_SECONDS > now)
        return false;
    *logged_at = now;
    return true;
}

enum { CONNECTIONS_TEXT = 40 };
static const char *put_connections(const struct lane *lane, char out[static CONNECTIONS_TEXT]) {
    unsigned n = lane->config.max_connections;
    snprintf(out, CONNECTIONS_TEXT, "%u connection%s", n, n == 1 ? " is" : "s are");
    return out;
}

/* The limit is reached, and all are busy: further connections wait in the backlog until that changes. */
static void accept_full(struct lane *lane) {
    char text[CONNECTIONS_TEXT];
    if (log_due(lane, &lane->full_logged_at))
        log_warning("%s open (--max-connections), and %s busy: others wait until one ends", put_connections(lane, text),
                    lane->config.max_connections == 1 ? "is" : "all are");
    accept_stop(lane);
    lane->accept_paused = true;
}

/* Out of descriptors or memory: connections wait in the backlog until something is free again. */
static void accept_pause(struct lane *lane, int error) {
    char more[LOG_MORE_SIZE];
    if (log_limit_due(&lane->accept_limit, more))
        log_warning("cannot accept connections: %s: waiting for others to end; raise the limit of open files "
                    "(ulimit -n)%s",
                    strerror(error), more);
    accept_stop(lane);
    lane->accept_paused = true;
    ev_timer_set(&lane->accept_pause, ACCEPT_PAUSE, 0.);
    ev_timer_start(lane->loop, &lane->accept_pause);
}

/* Making room. */

static void log_made_room(struct lane *lane, int error) {
    char text[CONNECTIONS_TEXT];
    if (!log_due(lane, &lane->closed_logged_at))
        return;
    if (error)
        log_warning("cannot accept connections: %s: idle ones are closed for them; raise the limit of open files "
                    "(ulimit -n)",
                    strerror(error));
    else
        log_warning("%s open (--max-connections): idle ones are closed for new ones", put_connections(lane, text));
}

/* The next one to be closed for another: those that are over but for the peer's end of them, then those that rest, those
 * that have sent half a header, those whose peer goes on sending what nobody wants, and of each kind that which has done
 * so for longest. */
static struct conn *first_to_go(struct lane *lane) {
    struct conn *c = conn_first_lingering(&lane->parting);
    if (!c)
        c = TAILQ_FIRST(&lane->rests[CONN_RESTING]);
    if (!c)
        c = TAILQ_FIRST(&lane->rests[CONN_BEGUN]);
    return c ? c : conn_first_lingering(&lane->draining);
}

enum room { ROOM_NONE, ROOM_LATER, ROOM_MADE };

/* Closes a connection for another one. `error`: why that is needed, or 0 for --max-connections. */
static enum room make_room(struct lane *lane, int error) {
    struct conn *c;
    /* Each that is not closed has a request for the application now, or the rest of its header is to come. */
    for (int tries = 0; (c = first_to_go(lane)); tries++) {
        if (tries == ROOM_TRIES)
            return ROOM_LATER;
        bool over = c->state == CONN_LINGERING && c->end == CONN_END_PART;
        if (c->state == CONN_LINGERING)
            conn_close(c, CONN_MADE_ROOM);
        else if (!conn_gives_way(c, CONN_MADE_ROOM))
            continue;
        if (!over) /* it costs nobody anything */
            log_made_room(lane, error);
        return ROOM_MADE;
    }
    return ROOM_NONE;
}

/* accept4(2) says EMFILE, and the limit is reached, also when nobody waits. */
static bool somebody_waits(const struct lane_listener *l) {
    struct pollfd p = {.fd = l->listener->fd, .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

/* Whether there is room for one more under --max-connections. */
static bool has_room(struct lane_listener *l) {
    struct lane *lane = l->lane;
    if (atomic_load_explicit(&lane->nconns, memory_order_relaxed) < lane->config.max_connections)
        return true;
    if (!somebody_waits(l))
        return false;
    enum room room = make_room(lane, 0);
    if (room == ROOM_NONE && !lane->stopping)
        accept_full(lane);
    return room == ROOM_MADE;
}

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

/* The same when descriptors are short: then one more has to be had first. */
static int accept_with_room(struct lane_listener *l, struct sockaddr_storage *peer, socklen_t *len) {
    int fd = accept_from(l, peer, len), error = errno;
    if (fd >= 0 || !is_out_of_files(error))
        return fd;
    if (!somebody_waits(l)) {
        errno = EAGAIN;
        return -1;
    }
    switch (make_room(l->lane, error)) {
    case ROOM_MADE:
        return accept_from(l, peer, len);
    case ROOM_LATER:
        errno = EAGAIN;
        return -1;
    default:
        errno = error;
        return -1;
    }
}

/* Returns false when nothing more is to be had now. */
static bool accept_one(struct lane_listener *l) {
    struct sockaddr_storage peer = {0};
    socklen_t len;
    if (!has_room(l))
        return false;
    int fd = accept_with_room(l, &peer, &len);
    struct access *rules = l->lane->config.access;
    if (fd >= 0 && rules && !access_check(rules, l->listener, fd, (struct sockaddr *)&peer, len)) {
        descriptors_close(fd);
        return true;
    }
    if (fd >= 0) {
        if (!l->listener->is_unix)
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        frontends[l->listener->protocol]->accept(l->lane, fd, l->listener, (struct sockaddr *)&peer, len);
        return true;
    }
    switch (errno) {
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
            accept_pause(l->lane, errno);
        return false;
    }
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

void lane_accept_again(struct lane *lane) {
    accept_start(lane);
}

void lane_conn_closed(struct lane *lane) {
    if (lane->accept_paused)
        accept_start(lane);
    lane_check_stopped(lane);
}

void lane_check_stopped(struct lane *lane) {
    if (lane->quit || !lane->listening_ended || lane->nlive)
        return;
    lane->quit = true;
    sched_quit(lane->sched);
}

/* Idle connections: one timer for all, due when the least recently active one is. */

/* A time-out that is seen so late was none of the peer's: while nobody read it could send no more than the socket takes, and
 * on the same machine it may have been paused as well. It has its time again. */
static bool is_excused(const struct lane *lane, ev_tstamp due) {
    return due + LATE <= lane_now(lane);
}

static void idle_close(struct conn *c, bool excused) {
    conn_ref(c);
    if (conn_catch_up(c) || c->state == CONN_CLOSED || c->state == CONN_LINGERING) {
        conn_unref(c);
        return;
    }
    enum conn_reason reason = excused || conn_blocked(c) ? CONN_DONE : c->ops->idle(c);
    if (reason != CONN_DONE)
        conn_close(c, reason);
    else if (c->state != CONN_CLOSED)
        conn_touch(c);
    conn_unref(c);
}

static void idle_timer_start(struct lane *lane) {
    struct conn *oldest = TAILQ_FIRST(&lane->conns);
    if (!oldest || lane->config.idle_timeout <= 0)
        return;
    struct conn *slowest = TAILQ_FIRST(&lane->unsent);
    ev_tstamp since = slowest && slowest->out_at < oldest->active_at ? slowest->out_at : oldest->active_at;
    ev_tstamp after = since + lane->config.idle_timeout - lane_now(lane);
    ev_timer_set(&lane->idle_timer, after > 0.001 ? after : 0.001, 0.);
    ev_timer_start(lane->loop, &lane->idle_timer);
}

static void idle_timer_cb(struct ev_loop *loop, ev_timer *w, int revents) {
    (void)loop;
    (void)revents;
    struct lane *lane = w->data;
    struct conn *c;
    ev_tstamp due;
    while ((c = TAILQ_FIRST(&lane->unsent)) && (due = c->out_at + lane->config.idle_timeout) <= lane_now(lane))
        conn_output_late(c, is_excused(lane, due)); /* holds threads up, whatever it sends meanwhile */
    while ((c = TAILQ_FIRST(&lane->conns)) && (due = c->active_at + lane->config.idle_timeout) <= lane_now(lane))
        idle_close(c, is_excused(lane, due));
    idle_timer_start(lane);
}

/* Waits: one timer for each list of them, due when its oldest is. */

static void waits_timer_start(struct lane *lane, struct lane_waits *waits, ev_tstamp due) {
    ev_tstamp after = due - lane_now(lane);
    ev_timer_set(&waits->timer, after > 0.001 ? after : 0.001, 0.);
    ev_timer_start(lane->loop, &waits->timer);
}

/* The time of the oldest is over. Reading may end the wait, or begin it again. */
static void wait_look(struct lane_waits *waits, struct lane_wait *oldest) {
    struct lane *lane = waits->lane;
    struct conn *c = oldest->conn;
    ev_tstamp due = oldest->began_at + waits->after;
    conn_ref(c);
    (void)conn_catch_up(c);
    conn_watch(c); /* one that parts may not be yet */
    if (TAILQ_FIRST(&waits->list) == oldest && oldest->began_at + waits->after <= lane_now(lane)) {
        if (is_excused(lane, due))
            lane_wait_again(lane, waits, oldest);
        else
            oldest->late(oldest);
    }
    conn_unref(c);
}

static void waits_timer_cb(struct ev_loop *loop, ev_timer *w, int revents) {
    (void)revents;
    (void)loop;
    struct lane_waits *waits = w->data;
    struct lane *lane = waits->lane;
    struct lane_wait *oldest;
    while ((oldest = TAILQ_FIRST(&waits->list))) {
        ev_tstamp due = oldest->began_at + waits->after;
        if (due > lane_now(lane)) {
            waits_timer_start(lane, waits, due);
            return;
        }
        wait_look(waits, oldest);
    }
}

static void waits_init(struct lane *lane, struct lane_waits *waits, ev_tstamp after) {
    waits->lane = lane;
    TAILQ_INIT(&waits->list);
    waits->after = after;
    ev_timer_init(&waits->timer, waits_timer_cb, 0., 0.);
    waits->timer.data = waits;
}

/* Before the loop waits. */
static inline void waits_watch(struct lane *lane, struct lane_waits *waits) {
    struct lane_wait *oldest = TAILQ_FIRST(&waits->list);
    bool active = ev_is_active(&waits->timer);
    if (!oldest && active)
        ev_timer_stop(lane->loop, &waits->timer);
    else if (oldest && waits->after > 0 && !active)
        waits_timer_start(lane, waits, oldest->began_at + waits->after);
}

void lane_wait_begins(struct lane_waits *waits, struct lane_wait *wait, struct conn *conn,
                      void (*late)(struct lane_wait *wait)) {
    wait->conn = conn;
    wait->began_at = lane_now(waits->lane);
    wait->late = late;
    TAILQ_INSERT_TAIL(&waits->list, wait, link);
}

void lane_wait_ends(struct lane_waits *waits, struct lane_wait *wait) {
    TAILQ_REMOVE(&waits->list, wait, link);
}

void lane_wait_again(struct lane *lane, struct lane_waits *waits, struct lane_wait *wait) {
    wait->began_at = lane_now(lane);
    if (TAILQ_NEXT(wait, link)) {
        TAILQ_REMOVE(&waits->list, wait, link);
        TAILQ_INSERT_TAIL(&waits->list, wait, link);
    }
}

/* Before the loop waits: whatever is open by now is watched, and somebody has to notice when it is idle for too long. */
static void prepare_cb(struct ev_loop *loop, ev_prepare *w, int revents) {
    (void)revents;
    struct lane *lane = w->data;
    struct conn *c, *next;
    for (c = TAILQ_FIRST(&lane->unwatched); c; c = next) {
        next = TAILQ_NEXT(c, unwatched_link);
        conn_settle(c);
    }
    if (TAILQ_EMPTY(&lane->conns))
        ev_timer_stop(loop, &lane->idle_timer);
    else if (!ev_is_active(&lane->idle_timer))
        idle_timer_start(lane);
    waits_watch(lane, &lane->headers);
    waits_watch(lane, &lane->bodies);
    waits_watch(lane, &lane->silence);
    waits_watch(lane, &lane->stall);
    waits_watch(lane, &lane->draining);
    waits_watch(lane, &lane->parting);
}

/* The end. */

/* Calls `visit` for every connection; it may close the one that it is given. */
static void each_conn(struct lane *lane, void (*visit)(struct conn *c)) {
    struct conn *c, *next;
    for (c = TAILQ_FIRST(&lane->lingering); c; c = next) {
        next = TAILQ_NEXT(c, link);
        visit(c);
    }
    /* Reading from a connection moves it to the end of the list: the last of now is the last to look at. */
    struct conn *last = TAILQ_LAST(&lane->conns, conn_list);
    for (c = TAILQ_FIRST(&lane->conns); c; c = next) {
        next = c == last ? NULL : TAILQ_NEXT(c, link);
        visit(c);
    }
}

/* A peer that has just connected is about to send its request. One that has connected earlier and sent nothing (a browser's
 * connection in reserve, a health check) may never do so. */
static bool is_fresh(const struct conn *c) {
    return !c->used && c->active_at + STOP_FRESH > lane_now(c->lane);
}

static void stop_one(struct conn *c) {
    conn_ref(c);
    c->ops->stop(c);
    if (c->state == CONN_OPEN && c->rest == CONN_RESTING && !is_fresh(c) && !conn_blocked(c))
        conn_close(c, CONN_STOPPING);
    conn_unref(c);
}

static bool is_to_end(const struct conn *c) {
    switch (c->rest) {
    case CONN_RESTING:
        return !is_fresh(c);
    case CONN_BEGUN:
        return c->lane->stopped_at + STOP_HEAD <= lane_now(c->lane);
    default:
        return false;
    }
}

static void end_one(struct conn *c) {
    conn_ref(c);
    if (c->state == CONN_LINGERING)
        conn_end_silent(c, STOP_SILENCE);
    else if (c->state == CONN_OPEN && is_to_end(c))
        (void)conn_gives_way(c, CONN_STOPPING);
    else if (c->state == CONN_OPEN && !c->paused)
        c->ops->end(c);
    conn_unref(c);
}

static void stop_cb(struct sched_note *note) {
    struct lane *lane = (struct lane *)(void *)((char *)note - offsetof(struct lane, stop_note));
    lane->stopping = true;
    lane->stopped_at = lane_now(lane);
    accept_stop(lane);
    ev_timer_stop(lane->loop, &lane->accept_pause);
    lane->accept_paused = false;
    for (size_t i = 0; i < lane->listeners->count; i++) {
        while (accept_one(&lane->accepting[i]))
            ;
        loop_unwatch(lane->loop, lane->accepting[i].listener->fd);
        listener_stop(lane->accepting[i].listener);
    }
    lane->listening_ended = true;
    each_conn(lane, stop_one);
    ev_timer_start(lane->loop, &lane->stop_timer);
    lane_check_stopped(lane);
}

/* Whether connections without a whole request have had their time. */
static void stop_timer_cb(struct ev_loop *loop, ev_timer *w, int revents) {
    (void)loop;
    (void)revents;
    each_conn(w->data, end_one);
}

static void abort_one(struct conn *c) {
    conn_close(c, CONN_STOPPING);
}

/* What has come whole from peers that have left is not called any more. */
static void abort_closed(struct lane *lane) {
    struct conn *c, *next;
    for (c = TAILQ_FIRST(&lane->closed); c; c = next) {
        next = TAILQ_NEXT(c, link);
        c->left = false;
        conn_ref(c);
        c->ops->gone(c);
        conn_unref(c);
    }
}

static void abort_cb(struct sched_note *note) {
    struct lane *lane = (struct lane *)(void *)((char *)note - offsetof(struct lane, abort_note));
    lane->aborting = true;
    (void)request_log_oldest(lane, "requests are cut off");
    abort_closed(lane);
    each_conn(lane, abort_one);
}

void lane_stop(struct lane *lane) {
    if (!atomic_flag_test_and_set(&lane->stop_posted)) {
        lane->stop_note.call = stop_cb;
        sched_post(lane->sched, &lane->stop_note);
    }
}

void lane_abort(struct lane *lane) {
    if (!atomic_flag_test_and_set(&lane->abort_posted)) {
        lane->abort_note.call = abort_cb;
        sched_post(lane->sched, &lane->abort_note);
    }
}

/* Descriptors that the application closes are noticed when calls have run. */
static bool guard(void *arg) {
    struct lane *lane = arg;
    descriptors_check();
    return atomic_load(&lane->nrequests) > 0;
}

/* Life cycle. */

struct lane *lane_new(const struct lane_config *config, struct listener_set *listeners) {
    struct lane *lane = calloc(1, sizeof *lane);
    if (!lane) {
        loop_free(config->loop);
        return NULL;
    }
    lane->config = *config;
    lane->config.body.spares = &lane->body_spares;
    lane->memo.seed = hash_seed();
    lane->log_table.seed = hash_seed();
    lane->listeners = listeners;
    TAILQ_INIT(&lane->conns);
    TAILQ_INIT(&lane->lingering);
    TAILQ_INIT(&lane->closed);
    for (int i = 0; i < CONN_REST_COUNT; i++)
        TAILQ_INIT(&lane->rests[i]);
    TAILQ_INIT(&lane->unsent);
    TAILQ_INIT(&lane->unwatched);
    waits_init(lane, &lane->headers, config->header_timeout);
    waits_init(lane, &lane->bodies, config->header_timeout > 0 ? config->header_timeout : BODY_WINDOW_SECONDS);
    waits_init(lane, &lane->silence, SILENCE);
    waits_init(lane, &lane->stall, STALL);
    waits_init(lane, &lane->draining, CONN_DRAIN_SECONDS);
    waits_init(lane, &lane->parting, CONN_PART_SECONDS);
    atomic_flag_clear(&lane->stop_posted);
    atomic_flag_clear(&lane->abort_posted);
    lane->accepting = calloc(listeners->count, sizeof *lane->accepting);
    lane->loop = config->loop ? config->loop : loop_new();
    struct sched_config sched = {
        .loop = lane->loop,
        .threads = config->threads,
        .peer_waits_max = SCHED_PEER_WAITS_MAX,
        .queue_limit = config->queue_limit,
        .queue_timeout = (uint64_t)(config->queue_timeout * 1e9),
        .thread_stop = config->thread_stop,
        .thread_pause = config->thread_pause,
        .user = config->user,
        .guard = guard,
        .guard_arg = lane,
        .wake_fd = config->wake_fd,
    };
    if (!lane->accepting || !lane->loop || !(lane->sched = sched_new(&sched))) {
        lane_free(lane);
        return NULL;
    }
    descriptors_describe(request_log_describe, lane);
    lane->now = (double)clock_ns() / 1e9;
    for (size_t i = 0; i < listeners->count; i++) {
        struct lane_listener *l = &lane->accepting[i];
        *l = (struct lane_listener){.lane = lane, .listener = &listeners->items[i]};
        ev_io_init(&l->io, accept_cb, l->listener->fd, EV_READ);
        l->io.data = l;
    }
    ev_timer_init(&lane->accept_pause, accept_pause_cb, 0., 0.);
    ev_timer_init(&lane->idle_timer, idle_timer_cb, 0., 0.);
    ev_timer_init(&lane->stop_timer, stop_timer_cb, STOP_LOOK, STOP_LOOK);
    request_log_init(lane);
    ev_prepare_init(&lane->prepare, prepare_cb);
    ev_check_init(&lane->check, check_cb);
    ev_set_priority(&lane->check, SCHED_CHECK_PRIORITY - 1);
    lane->accept_pause.data = lane->idle_timer.data = lane->prepare.data = lane->check.data = lane;
    lane->stop_timer.data = lane;
    ev_prepare_start(lane->loop, &lane->prepare);
    ev_check_start(lane->loop, &lane->check);
    return lane;
}

int lane_start(struct lane *lane) {
    accept_start(lane);
    return sched_start(lane->sched);
}

struct sched *lane_sched(struct lane *lane) {
    return lane->sched;
}

void lane_count(struct lane *lane, unsigned *connections, unsigned *requests) {
    *connections = atomic_load(&lane->nconns);
    *requests = atomic_load(&lane->nrequests);
}

unsigned lane_ended(const struct lane *lane) {
    return atomic_load(&lane->nended);
}

void lane_free(struct lane *lane) {
    if (!lane)
        return;
    descriptors_describe(NULL, NULL);
    sched_free(lane->sched);
    for (size_t i = 0; i < sizeof frontends / sizeof *frontends; i++)
        frontends[i]->free_pool(lane);
    body_spares_fini(&lane->body_spares);
    loop_free(lane->loop);
    free(lane->accepting);
    free(lane);
}

const char *lane_backend_name(void) {
    static const struct {
        unsigned flag;
        const char *name;
    } names[] = {{EVBACKEND_EPOLL, "epoll"},
                 {EVBACKEND_KQUEUE, "kqueue"},
                 {EVBACKEND_PORT, "port"},
                 {EVBACKEND_POLL, "poll"},
                 {EVBACKEND_SELECT, "select"}};
    unsigned backends = ev_recommended_backends();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (backends & names[i].flag)
            return names[i].name;
    }
    return "unknown";
}
