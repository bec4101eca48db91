#include "config.h"

#include "supervisor/zygotes.h"

#include "base/ascii.h"
#include "base/clock.h"
#include "base/descriptors.h"
#include "base/log.h"
#include "ipc/control.h"
#include "ipc/fd_socket.h"
#include "supervisor/spawn.h"
#include "supervisor/tell.h"
#include "supervisor/workers.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>

enum { BATCH = 16 /* messages that are read before the loop looks elsewhere */ };

#define SECOND_NS UINT64_C(1000000000)
#define LIVES_WELL_NS (10 * SECOND_NS) /* a zygote that has lived for so long is started again before it is needed */
#define CLOSED_NS (5 * SECOND_NS)      /* that it may take to end when it has closed its socket */
#define AGAIN_NS UINT64_C(50000000)    /* between attempts to send a message */

static struct zygote *find(struct supervisor *s, unsigned generation) {
    for (struct zygote *z = s->zygotes; z < s->zygotes + SUPERVISOR_ZYGOTES; z++) {
        if ((z->state == ZYGOTE_STARTING || z->state == ZYGOTE_LOADED) && z->generation == generation)
            return z;
    }
    return NULL;
}

unsigned zygotes_generation(const struct supervisor *s) {
    unsigned youngest = 0;
    for (size_t i = 0; i < SUPERVISOR_ZYGOTES && !reload_is_starting(s); i++) {
        if (s->zygotes[i].state == ZYGOTE_LOADED && s->zygotes[i].generation > youngest)
            youngest = s->zygotes[i].generation;
    }
    return youngest ? youngest : s->generation;
}

/* What it tells. */

static void on_loaded(struct zygote *z, uint64_t now) {
    char shown[ASCII_SECONDS_SIZE];
    if (z->state != ZYGOTE_STARTING)
        return;
    z->state = ZYGOTE_LOADED;
    z->supervisor->loaded = true;
    ascii_put_seconds(shown, (double)((now - z->started_at) / 10000000) / 100);
    log_info("the zygote (process %d) has loaded the application, %s s after its start", (int)z->pid, shown);
}

static void on_message(struct zygote *z, const struct control_message *m, uint64_t now) {
    switch (m->type) {
    case CONTROL_LOADED:
        on_loaded(z, now);
        break;
    case CONTROL_FORKED:
        workers_forked(z, m->slot, (pid_t)m->a, (int)m->b, now);
        break;
    case CONTROL_DIED:
        workers_ended(z->supervisor, (pid_t)m->a, (int)m->b);
        break;
    default:
        log_debug("the zygote (process %d) says something unknown: %d", (int)z->pid, (int)m->type);
    }
}

static void close_control(struct zygote *z) {
    if (z->control < 0)
        return;
    ev_io_stop(z->supervisor->loop, &z->watch);
    descriptors_close(z->control);
    z->control = -1;
}

/* Takes at most `most` messages. */
static void read_control(struct zygote *z, unsigned most, uint64_t now) {
    struct control_message m;
    int got = 0;
    for (unsigned i = 0; i < most && z->control >= 0 && (got = control_receive(z->control, &m)) > 0; i++) {
        control_close_fds(&m);
        on_message(z, &m, now);
    }
    if (z->control < 0 || got > 0 || (got < 0 && errno == EAGAIN))
        return;
    bool gone = !got; /* it usually has ended */
    z->kill_text = gone ? "has closed its control socket, and has not ended" : "talks nonsense to the supervisor";
    z->kill_at = gone ? now + CLOSED_NS : now;
    close_control(z);
}

static void control_cb(struct ev_loop *loop, ev_io *watch, int revents) {
    (void)loop;
    (void)revents;
    read_control(watch->data, BATCH, clock_ns());
}

void zygotes_watch(struct zygote *z) {
    ev_io_init(&z->watch, control_cb, z->control, EV_READ);
    z->watch.data = z;
    ev_io_start(z->supervisor->loop, &z->watch);
}

/* What it is told. Each function returns false when that is to be tried again. */

static bool tell(struct zygote *z, struct control_message m) {
    return !control_send(z->control, &m) || (errno != EAGAIN && errno != ETOOMANYREFS && errno != ENOBUFS);
}

static bool greet(struct zygote *z) {
    const struct supervisor *s = z->supervisor;
    return tell(
        z, (struct control_message){
               .type = CONTROL_HELLO, .b = z->generation, .fds = {s->board_fd, s->queue[0], s->queue[1]}, .nfds = 3});
}

static bool tell_all(struct zygote *z) {
    if (!z->greeted && !(z->greeted = greet(z)))
        return false;
    for (; z->shared_told < CONTROL_MEMORY_COUNT; z->shared_told++) {
        if (!tell(z, tell_memory(z->supervisor, z->shared_told)))
            return false;
    }
    if (!z->prepare_told && !(z->prepare_told = tell(z, (struct control_message){.type = CONTROL_PREPARE_TO_FORK})))
        return false;
    if (z->end_due)
        z->end_due = !tell(z, (struct control_message){.type = CONTROL_RETIRE});
    return !z->end_due;
}

static bool fork_worker(struct zygote *z, struct worker *w) {
    if (!tell(z, (struct control_message){.type = CONTROL_FORK, .slot = worker_slot(w), .fds = {w->given}, .nfds = 1}))
        return false;
    workers_given(w, z);
    return true;
}

static bool fork_workers(struct zygote *z) {
    struct supervisor *s = z->supervisor;
    for (unsigned i = 0; i < s->slots_made; i++) {
        struct worker *w = &s->workers[i];
        if (w->state == WORKER_STARTING && w->waits && w->generation == z->generation && !fork_worker(z, w))
            return false;
    }
    return true;
}

/* The start. */

/* Returns 0, or -1 with errno. */
static int spawn(struct zygote *z) {
    int pair[2];
    if (fd_socket_pair(pair))
        return -1;
    z->pid = spawn_worker(z->supervisor->command, pair[1], z->supervisor->config_fd);
    descriptors_close(pair[1]);
    z->control = pair[0];
    if (z->pid > 0)
        return 0;
    descriptors_close(pair[0]);
    return -1;
}

/* Those who wait for a zygote that is not to come have failed. */
static void fail_waiting(struct supervisor *s, unsigned generation, pid_t pid, int status) {
    for (unsigned i = 0; i < s->slots_made; i++) {
        struct worker *w = &s->workers[i];
        if (w->state == WORKER_STARTING && w->waits && w->generation == generation)
            workers_lost(w, pid, status);
    }
}

static void start(struct supervisor *s, unsigned generation, uint64_t now) {
    struct zygote *z = s->zygotes;
    while (z < s->zygotes + SUPERVISOR_ZYGOTES && z->state != ZYGOTE_NONE)
        z++;
    if (z == s->zygotes + SUPERVISOR_ZYGOTES) {
        supervisor_is_due(s, now + SECOND_NS, now); /* old ones have to end first */
        return;
    }
    *z = (struct zygote){.supervisor = s, .generation = generation, .started_at = now, .control = -1};
    if (spawn(z)) {
        log_error("cannot start the zygote: %s", strerror(errno));
        fail_waiting(s, generation, 0, W_EXITCODE(EX_OSERR, 0));
        return;
    }
    z->state = ZYGOTE_STARTING;
    zygotes_watch(z);
    log_info("the zygote (process %d) is started, which loads the application", (int)z->pid);
}

static void start_wanted(struct supervisor *s, uint64_t now) {
    if (s->revive && !find(s, s->revive))
        start(s, s->revive, now);
    s->revive = 0;
    for (unsigned i = 0; i < s->slots_made; i++) {
        const struct worker *w = &s->workers[i];
        if (w->state == WORKER_STARTING && w->waits && !find(s, w->generation))
            start(s, w->generation, now);
    }
}

/* The end. */

static void retire(struct zygote *z) {
    if (z->state == ZYGOTE_STARTING)
        kill(z->pid, SIGTERM); /* it does not listen to messages yet */
    z->state = ZYGOTE_ENDING;
    z->end_due = true;
}

static bool is_live(const struct zygote *z) {
    return z->state == ZYGOTE_STARTING || z->state == ZYGOTE_LOADED;
}

void zygotes_retire(struct supervisor *s, unsigned generation) {
    for (struct zygote *z = s->zygotes; z < s->zygotes + SUPERVISOR_ZYGOTES; z++) {
        if (is_live(z) && z->generation == generation)
            retire(z);
    }
}

void zygotes_retire_others(struct supervisor *s, unsigned generation) {
    for (struct zygote *z = s->zygotes; z < s->zygotes + SUPERVISOR_ZYGOTES; z++) {
        if (is_live(z) && z->generation != generation)
            retire(z);
    }
}

/* With the whole server: it ends behind its workers, which may take as long as they may. */
static void stop(struct zygote *z, uint64_t now) {
    if (is_live(z))
        retire(z);
    if (!z->kill_at) {
        z->kill_at = now + (uint64_t)((z->supervisor->o->graceful_timeout + 2 * SUPERVISOR_MARGIN) * 1e9);
        z->kill_text = "has not ended although it was to stop";
    }
}

static void look_at(struct zygote *z, uint64_t now) {
    struct supervisor *s = z->supervisor;
    if (s->stopping)
        stop(z, now);
    if (z->control >= 0 && (!tell_all(z) || (z->state == ZYGOTE_LOADED && !fork_workers(z))))
        supervisor_is_due(s, now + AGAIN_NS, now);
    if (z->killed || !(s->at_once_at || (z->kill_at && supervisor_is_due(s, z->kill_at, now))))
        return;
    if (!s->at_once_at)
        log_error("the zygote (process %d) %s: it is killed", (int)z->pid, z->kill_text);
    z->killed = true;
    kill(z->pid, SIGKILL);
}

void zygotes_look(struct supervisor *s, uint64_t now) {
    /* A reload without --preload may have found some of the generations before. */
    if (s->o->preload && !s->stopping)
        start_wanted(s, now);
    for (struct zygote *z = s->zygotes; z < s->zygotes + SUPERVISOR_ZYGOTES; z++) {
        if (z->state != ZYGOTE_NONE)
            look_at(z, now);
    }
}

/* What was forked and not told of sees that its pair is closed, and ends. */
static void fail_given(struct zygote *z) {
    struct supervisor *s = z->supervisor;
    for (unsigned i = 0; i < s->slots_made; i++) {
        if (s->workers[i].state != WORKER_NONE && s->workers[i].zygote == z)
            workers_forked(z, i, 0, ESRCH, clock_ns());
    }
}

static void on_end(struct zygote *z, int status) {
    struct supervisor *s = z->supervisor;
    char how[WORKERS_STATUS_SIZE];
    const uint64_t now = clock_ns();
    read_control(z, UINT32_MAX, now); /* its last words */
    close_control(z);
    fail_given(z);
    workers_describe_status(status, how);
    const enum zygote_state state = z->state;
    z->state = ZYGOTE_NONE;
    if (state == ZYGOTE_ENDING) {
        log_info("the zygote (process %d) %s", (int)z->pid, how);
    } else if (state == ZYGOTE_STARTING) {
        if (s->served || WIFSIGNALED(status)) /* else it has said why, and that is the status of the server */
            log_error("the zygote (process %d) %s before it had loaded the application", (int)z->pid, how);
        fail_waiting(s, z->generation, z->pid, status);
    } else {
        const bool well = now - z->started_at >= LIVES_WELL_NS;
        log_error("the zygote (process %d) %s: its workers go on, and another one is started %s", (int)z->pid, how,
                  well ? "now" : "when it is needed");
        s->revive = well && z->generation == zygotes_generation(s) ? z->generation : 0;
    }
}

bool zygotes_reaped(struct supervisor *s, pid_t pid, int status) {
    for (struct zygote *z = s->zygotes; z < s->zygotes + SUPERVISOR_ZYGOTES; z++) {
        if (z->state != ZYGOTE_NONE && z->pid == pid) {
            on_end(z, status);
            return true;
        }
    }
    return false;
}

void zygotes_reopen_log(struct supervisor *s) {
    for (unsigned i = 0; i < SUPERVISOR_ZYGOTES; i++) {
        struct zygote *z = &s->zygotes[i];
        if (z->state != ZYGOTE_NONE && z->control >= 0)
            (void)tell(z, tell_reopen_log);
    }
}

bool zygotes_are_gone(const struct supervisor *s) {
    for (const struct zygote *z = s->zygotes; z < s->zygotes + SUPERVISOR_ZYGOTES; z++) {
        if (z->state != ZYGOTE_NONE)
            return false;
    }
    return true;
}
