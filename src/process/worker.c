#include "config.h"

#include "process/worker.h"

#include "base/ascii.h"
#include "base/clock.h"
#include "base/descriptors.h"
#include "base/hash.h"
#include "base/log.h"
#include "ipc/inspect.h"
#include "ipc/log_ring.h"
#include "ipc/metrics.h"
#include "net/lane.h"
#include "net/listen/listener.h"
#include "process/access_output.h"
#include "process/inspector.h"
#include "process/memory_trace.h"
#include "process/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

enum { GREET_MS = 10000 };

/* How it begins. */

static bool has_option(int fd, int option, int wanted) {
    int value = -1;
    socklen_t len = sizeof value;
    return !getsockopt(fd, SOL_SOCKET, option, &value, &len) && value == wanted;
}

/* The number of the descriptor; or -1 if `text` names none that can be the end of such a pair. */
static int read_socket(const char *text) {
    uint64_t number;
    if (!ascii_is_number(text, INT_MAX, &number))
        return -1;
    int fd = (int)number;
    bool fits = has_option(fd, SO_DOMAIN, AF_UNIX) && has_option(fd, SO_TYPE, SOCK_SEQPACKET);
    return fits && !fcntl(fd, F_SETFD, FD_CLOEXEC) ? fd : -1;
}

/* Who made the pair. The parent may be another process, which the supervisor had fork this one. */
static pid_t find_supervisor(int socket) {
    struct ucred made_by;
    socklen_t len = sizeof made_by;
    bool is_known = !getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &made_by, &len) && made_by.pid;
    return is_known ? made_by.pid : getppid();
}

static void init(struct worker *w, int socket) {
    *w = (struct worker){.socket = socket, .log_sent = -1};
    for (size_t i = 0; i < SCOREBOARD_SLOTS; i++)
        w->peers[i] = -1;
}

int worker_find(struct worker *w) {
    const char *text = getenv(CONTROL_ENV);
    char shown[64];
    init(w, -1);
    if (!text)
        return 0;
    w->socket = read_socket(text);
    log_escape(shown, sizeof shown, text, strlen(text));
    unsetenv(CONTROL_ENV);
    if (w->socket < 0) {
        log_error("%s=%s names no socket of a supervisor: wsgi-fcgi itself sets this variable for its workers; remove "
                  "it from the environment",
                  CONTROL_ENV, shown);
        return EX_USAGE;
    }
    w->supervisor = find_supervisor(w->socket);
    return 0;
}

static void forget_metrics(struct worker *w) {
    if (w->metrics)
        metrics_unmap(w->metrics);
    if (w->counted)
        metrics_unmap_slot(w->counted);
    w->metrics = NULL;
    w->counted = NULL;
}

void worker_begin_forked(struct worker *w, int socket) {
    forget_metrics(w);
    struct log_ring *ring = w->log_ring; /* what is logged goes there until its own slot is known */
    scoreboard_unmap(w->handover.board);
    init(w, socket);
    w->log_ring = ring;
    w->supervisor = find_supervisor(socket);
}

/* What the supervisor says. Each function returns 0, or -1 with errno: EPROTO when it makes no sense. */

static int makes_no_sense(void) {
    errno = EPROTO;
    return -1;
}

/* A descriptor of the message, which is the caller's from now on. */
static int take(struct control_message *m, unsigned i) {
    int fd = m->fds[i];
    m->fds[i] = -1;
    return fd;
}

static int on_hello(struct worker *w, struct control_message *m) {
    if (w->greeted || m->nfds != 3 || m->slot >= SCOREBOARD_SLOTS || m->a > UINT_MAX)
        return makes_no_sense();
    struct scoreboard *board = scoreboard_map(m->fds[0]);
    if (!board)
        return -1;
    w->greeted = true;
    w->number = (unsigned)m->a;
    w->generation = m->b;
    w->handover = (struct handover_config){
        .send_fd = take(m, 1),
        .receive_fd = take(m, 2),
        .board = board,
        .slot = m->slot,
    };
    return 0;
}

/* Nobody needs the log ring to serve: one that cannot be mapped is a line of the log. */
static void keep_log(struct worker *w, int fd) {
    struct log_ring *before = w->log_ring, *ring = log_ring_map(fd);
    if (!ring) {
        log_warning("cannot share the last lines of the log with the status page: %s",
                    errno == EPROTO ? "it was made by another version" : strerror(errno));
        return;
    }
    log_ring_keep(ring, w->is_zygote ? LOG_RING_ZYGOTES : w->handover.slot);
    w->log_ring = ring;
    if (before)
        log_ring_unmap(before);
}

/* Nor does anybody need this: a process that has none tells only its log what runs. */
static void keep_inspect(struct worker *w, int fd) {
    if (w->is_zygote)
        return;
    if (w->inspect)
        inspect_unmap(w->inspect);
    w->inspect = inspect_map(fd);
    if (!w->inspect)
        log_warning("cannot share with others what runs here: %s",
                    errno == EPROTO ? "the memory for that was made by another version" : strerror(errno));
}

/* Nor to be counted. */
static void keep_metrics(struct worker *w, int fd) {
    forget_metrics(w);
    w->metrics = metrics_map(fd, false);
    w->counted = w->metrics ? metrics_map_slot(fd, w->handover.slot) : NULL;
    if (w->counted)
        return;
    log_warning("what this worker does is not counted: %s",
                errno == EPROTO ? "the memory for that was made by another version" : strerror(errno));
    forget_metrics(w);
}

static int on_memory(struct worker *w, struct control_message *m) {
    if (m->nfds != 1 || w->lane)
        return makes_no_sense();
    switch (m->a) {
    case CONTROL_MEMORY_LOG:
        keep_log(w, m->fds[0]);
        return 0;
    case CONTROL_MEMORY_INSPECT:
        keep_inspect(w, m->fds[0]);
        return 0;
    case CONTROL_MEMORY_METRICS:
        keep_metrics(w, m->fds[0]);
        return 0;
    default:
        return 0;
    }
}

/* Where it cannot be had any more, the log goes on in the file before. */
static int on_access_log(struct control_message *m) {
    if (m->nfds != 1)
        return makes_no_sense();
    if (access_output_take(m->fds[0]))
        log_error("cannot take the access log of the supervisor: %s", strerror(errno));
    return 0;
}

static int on_peer(struct worker *w, struct control_message *m) {
    if (m->nfds != 1 || m->slot >= SCOREBOARD_SLOTS)
        return makes_no_sense();
    int *kept = &w->peers[m->slot], fd = take(m, 0);
    if (w->lane) {
        handover_add_peer(w->lane, m->slot, fd);
        return 0;
    }
    if (*kept >= 0)
        descriptors_close(*kept);
    *kept = fd;
    return 0;
}

static int on_listener(struct worker *w, struct control_message *m) {
    if (m->nfds != 1 || m->a >= LISTENER_STATUS || w->told_to_serve)
        return makes_no_sense();
    struct listener_sent sent = {
        .fd = take(m, 0),
        .text = m->text,
        .protocol = (enum listener_protocol)m->a,
        .is_unix = m->b & CONTROL_LISTENER_UNIX,
        .inherited = m->b & CONTROL_LISTENER_INHERITED,
    };
    return listener_add_sent(w->listeners, &sent);
}

/* The descriptor is there before anybody looks for it. One that nobody has looked for is out of date. */
static void on_reopen_log(struct worker *w, struct control_message *m) {
    int before = m->nfds ? atomic_exchange(&w->log_sent, take(m, 0)) : -1;
    if (before >= 0)
        descriptors_close(before);
    atomic_store(&w->reopens_log, true);
    signals_wake();
}

/* A stop stays one. */
static void end(struct worker *w, enum worker_end how) {
    if (atomic_load(&w->end) < how)
        atomic_store(&w->end, how);
}

static int act(struct worker *w, struct control_message *m) {
    if (!w->greeted && m->type != CONTROL_HELLO)
        return makes_no_sense();
    switch ((int)m->type) {
    case CONTROL_HELLO:
        return on_hello(w, m);
    case CONTROL_PREPARE_TO_FORK:
        w->prepares_to_fork = true;
        return 0;
    case CONTROL_MEMORY:
        return on_memory(w, m);
    case CONTROL_ACCESS_LOG:
        return on_access_log(m);
    case CONTROL_PEER:
        return on_peer(w, m);
    case CONTROL_LISTENER:
        return on_listener(w, m);
    case CONTROL_SERVE:
        w->told_to_serve = w->listeners->count > 0;
        return w->told_to_serve ? 0 : makes_no_sense();
    case CONTROL_RETIRE:
        end(w, WORKER_RETIRES);
        return 0;
    case CONTROL_REOPEN_LOG:
        on_reopen_log(w, m);
        return 0;
    case CONTROL_LOG_STACKS:
        if (w->lane)
            inspector_log(INSPECTOR_SIGNAL, "SIGUSR2 to the supervisor");
        return 0;
    case CONTROL_TRACE_MEMORY:
        if (w->lane)
            memory_trace_begin(m->a, m->b);
        return 0;
    case CONTROL_STOP:
        atomic_store(&w->told_to_stop, true);
        end(w, WORKER_STOPS); /* before the watch sees the signal */
        signals_end_by((int)m->a);
        return 0;
    default:
        log_debug("message %d of the supervisor is not known: ignored", (int)m->type);
        return 0;
    }
}

int worker_complain(const struct worker *w, int received) {
    if (!received) {
        log_error("the supervisor (process %d) is gone: ending, as nobody would replace this worker",
                  (int)w->supervisor);
        return EX_UNAVAILABLE;
    }
    if (errno != EPROTO && errno != EMSGSIZE) {
        log_error("cannot take what the supervisor sends: %s", strerror(errno));
        return EX_OSERR;
    }
    log_error("the supervisor (process %d) says what makes no sense: ending; is it of another version than %s?",
              (int)w->supervisor, PACKAGE_VERSION);
    return EX_PROTOCOL;
}

/* Acts on all messages that are there. Returns 0, or a status as worker_complain. */
static int act_on_all(struct worker *w) {
    struct control_message m;
    int n, failed = 0;
    while (!failed && (n = control_receive(w->socket, &m)) > 0) {
        failed = act(w, &m);
        int error = errno;
        control_close_fds(&m);
        errno = error;
    }
    if (!failed && n < 0 && errno == EAGAIN)
        return 0;
    return worker_complain(w, failed ? -1 : n);
}

bool worker_tell(const struct worker *w, const struct control_message *m) {
    if (!control_send(w->socket, m))
        return true;
    if (errno != EPIPE && errno != ECONNRESET)
        log_warning("cannot tell the supervisor (process %d) something: %s", (int)w->supervisor, strerror(errno));
    return false;
}

void worker_tell_loaded(const struct worker *w) {
    (void)worker_tell(w, &(struct control_message){.type = CONTROL_LOADED});
}

/* Waiting for it, before there is a loop. */

/* Returns 0, or a sysexits status after a log line. */
static int wait_for_greeting(const struct worker *w, uint64_t deadline) {
    struct pollfd p = {.fd = w->socket, .events = POLLIN};
    int n;
    do {
        uint64_t now = clock_ns();
        n = poll(&p, 1, now >= deadline ? 0 : (int)((deadline - now) / 1000000) + 1);
    } while (n < 0 && errno == EINTR);
    if (n > 0)
        return 0;
    log_error("the supervisor (process %d) has said nothing for %d s: ending", (int)w->supervisor, GREET_MS / 1000);
    return EX_UNAVAILABLE;
}

/* Whether everything has come that is sent behind CONTROL_HELLO at once. */
static bool has_all(const struct worker *w) {
    return w->greeted && (w->is_zygote ? w->prepares_to_fork : w->peers[w->handover.slot] >= 0);
}

int worker_greet(struct worker *w, struct listener_set *listeners, bool zygote) {
    uint64_t deadline = clock_ns() + (uint64_t)GREET_MS * 1000000;
    int status = 0;
    descriptors_lock();
    w->socket = descriptors_adopt(w->socket);
    descriptors_unlock();
    if (w->socket < 0) {
        log_error("out of memory");
        return EX_OSERR;
    }
    descriptors_guard(w->socket, "by which the supervisor is heard");
    w->listeners = listeners;
    w->is_zygote = zygote;
    while (!status && !has_all(w)) {
        status = wait_for_greeting(w, deadline);
        if (!status)
            status = act_on_all(w);
    }
    return status;
}

/* Whether the process is to end before it serves. */
static bool is_to_end(struct worker *w, unsigned signals) {
    if (!signals_stop() && !(signals & SIGNALS_PYTHON_TERM) && atomic_load(&w->end) == WORKER_GOES_ON)
        return false;
    log_printf(atomic_load(&w->told_to_stop) ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO, "worker %u ends before it has served",
               w->number);
    return true;
}

int worker_wait(struct worker *w, unsigned *signals, int *status) {
    struct pollfd p[] = {{.fd = w->socket, .events = POLLIN}, {.fd = signals_read_fd(), .events = POLLIN}};
    *status = act_on_all(w);
    while (!*status && !is_to_end(w, *signals)) {
        if (w->told_to_serve) {
            signals_wake(); /* the watch is to look at *signals */
            return 0;
        }
        (void)poll(p, 2, -1);
        *signals |= signals_drain();
        *status = act_on_all(w);
    }
    return -1;
}

/* While it serves. */

/* On the owner. The supervisor is not there any more, or nobody knows what it wants: nobody would replace this worker,
 * nor tell it to end. */
static void go_alone(struct worker *w) {
    ev_io_stop(w->loop, &w->io);
    end(w, WORKER_STOPS);
    signals_end_by(SIGTERM);
}

static void control_cb(struct ev_loop *loop, ev_io *io, int revents) {
    struct worker *w = io->data;
    (void)loop;
    (void)revents; /* after EV_ERROR libev has stopped the watcher: what is there is read, and then it is over */
    if (act_on_all(w) || revents & EV_ERROR)
        go_alone(w);
    if (atomic_load(&w->end) != WORKER_GOES_ON)
        signals_wake();
}

static _Atomic uint32_t *state_of(const struct worker *w) {
    return &w->handover.board->slots[w->handover.slot].state;
}

/* A worker that ends already does not serve again. */
static void serves_cb(struct sched_note *note) {
    struct worker *w = (struct worker *)(void *)((char *)note - offsetof(struct worker, serves_note));
    uint32_t before = SCOREBOARD_STARTING;
    if (atomic_compare_exchange_strong(state_of(w), &before, SCOREBOARD_SERVING))
        (void)worker_tell(w, &(struct control_message){.type = CONTROL_SERVING});
}

void worker_join(struct worker *w, struct ev_loop *loop, struct lane *lane) {
    w->loop = loop;
    w->lane = lane;
    for (unsigned i = 0; i < SCOREBOARD_SLOTS; i++) {
        if (w->peers[i] >= 0)
            handover_add_peer(lane, i, w->peers[i]);
    }
    ev_io_init(&w->io, control_cb, w->socket, EV_READ);
    w->io.data = w;
    ev_io_start(loop, &w->io);
}

void worker_serves(struct worker *w) {
    w->serves_note.call = serves_cb;
    sched_post(lane_sched(w->lane), &w->serves_note);
}

bool worker_is_to_reopen_log(struct worker *w, int *sent) {
    if (!atomic_exchange(&w->reopens_log, false))
        return false;
    *sent = atomic_exchange(&w->log_sent, -1);
    return true;
}

/* In each turn of the loop, and only where it was asked for, so that requests themselves need not look. */
static void count_cb(struct ev_loop *loop, ev_prepare *count, int revents) {
    struct worker *w = count->data;
    (void)revents;
    if (lane_ended(w->lane) < w->most_requests)
        return;
    ev_prepare_stop(loop, count);
    worker_tell_wish(w, CONTROL_REASON_REQUESTS);
}

void worker_limit_requests(struct worker *w, unsigned most, unsigned jitter) {
    w->most_requests = most + (unsigned)(hash_seed() % ((uint64_t)jitter + 1));
    ev_prepare_init(&w->count, count_cb);
    w->count.data = w;
    ev_prepare_start(w->loop, &w->count);
}

void worker_tell_ending(struct worker *w) {
    atomic_store(state_of(w), SCOREBOARD_ENDING);
}

void worker_tell_wish(const struct worker *w, enum control_reason reason) {
    (void)worker_tell(w, &(struct control_message){.type = CONTROL_WANTS_TO_RETIRE, .a = reason});
}

void worker_tell_ends(const struct worker *w, unsigned finished, unsigned cut) {
    (void)worker_tell(w, &(struct control_message){.type = CONTROL_ENDS, .a = finished, .b = cut});
}
