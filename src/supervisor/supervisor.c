#include "config.h"

#include "supervisor/supervisor.h"

#include "base/ascii.h"
#include "base/clock.h"
#include "base/descriptors.h"
#include "base/log.h"
#include "base/notify.h"
#include "base/thread_limit.h"
#include "ipc/fd_socket.h"
#include "net/loop.h"
#include "process/activation.h"
#include "process/pid_file.h"
#include "process/title.h"
#include "process/user.h"
#include "supervisor/calls.h"
#include "supervisor/count.h"
#include "supervisor/cpus.h"
#include "supervisor/files.h"
#include "supervisor/memory.h"
#include "supervisor/page.h"
#include "supervisor/slices.h"
#include "supervisor/take_signals.h"
#include "supervisor/workers.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>

enum {
    MEMORY_S = 5,   /* between looks at the memory of workers */
    STATUS_CUT = 79 /* as that of a single process (process/watch_thread.c) */
};

_Static_assert((unsigned)OPTIONS_WORKERS_MAX == (unsigned)SUPERVISOR_WORKERS_MAX, "as many as there are slots for");

static void look_timer_cb(struct ev_loop *loop, ev_timer *timer, int revents) {
    (void)loop; /* it has woken the loop, which looks before it waits again */
    (void)timer;
    (void)revents;
}

static void look_cb(struct ev_loop *loop, ev_prepare *look, int revents) {
    struct supervisor *s = look->data;
    (void)revents;
    supervisor_look(s);
    ev_timer_stop(loop, &s->look_timer);
    if (s->look_at == UINT64_MAX)
        return;
    const uint64_t now = clock_ns();
    ev_now_update(loop);
    ev_timer_set(&s->look_timer, s->look_at > now ? (double)(s->look_at - now) / 1e9 : 0., 0.);
    ev_timer_start(loop, &s->look_timer);
}

static void memory_cb(struct ev_loop *loop, ev_timer *timer, int revents) {
    struct supervisor *s = timer->data;
    const uint64_t now = clock_ns();
    (void)loop;
    (void)revents;
    for (unsigned i = 0; i < s->slots_made; i++)
        workers_check_memory(&s->workers[i], now);
}

static int complain(const char *what) {
    log_error("cannot make %s: %s", what, strerror(errno));
    return EX_OSERR;
}

/* Memory of another version is left to the workers of that one, which go on with it; nobody else reads it. */
static int open_log_ring(struct supervisor *s) {
    int *fd = &s->shared[CONTROL_MEMORY_LOG];
    s->log_ring = *fd >= 0 ? log_ring_map(*fd) : NULL;
    if (!s->log_ring && *fd >= 0)
        descriptors_close(*fd);
    if (!s->log_ring && !(s->log_ring = log_ring_new(fd)))
        return complain("shared memory (memfd_create)");
    log_ring_keep(s->log_ring, LOG_RING_SUPERVISOR);
    return 0;
}

static int open_inspect(struct supervisor *s) {
    int *fd = &s->shared[CONTROL_MEMORY_INSPECT];
    s->inspect = *fd >= 0 ? inspect_map(*fd) : NULL;
    if (!s->inspect && *fd >= 0)
        descriptors_close(*fd);
    if (!s->inspect && !(s->inspect = inspect_new(fd)))
        return complain("shared memory (memfd_create)");
    return 0;
}

/* What is shared beside the scoreboard, as far as it did not come from the program before this one. From now on what
 * this process logs is kept there. Returns 0, or a sysexits status after printing. */
static int open_shared(struct supervisor *s) {
    int status = open_log_ring(s);
    return status ? status : open_inspect(s);
}

/* Returns 0, or a sysexits status after printing. */
static int open_all(struct supervisor *s) {
    if (!(s->board = scoreboard_new(&s->board_fd)))
        return complain("shared memory (memfd_create)");
    if (fd_socket_pair(s->queue))
        return complain("the queue for connections");
    int status = open_shared(s);
    status = status ? status : count_open(s);
    if (!status && s->o->pid_file)
        status = pid_file_open(s->o->pid_file, options_name(s->o, "--pidfile"));
    return status ? status : sockets_open(&s->sockets, s->o);
}

static int open_loop(struct supervisor *s) {
    if (!(s->loop = loop_new()))
        return complain("the event loop");
    return take_signals_start(s) ? complain("a signalfd") : 0;
}

/* Returns 0, or a sysexits status after printing. `state`: of RELOAD_RESUME. */
static int prepare(struct supervisor *s, enum reload_role role, int state) {
    char limit[THREAD_LIMIT_SIZE];
    if (getpid() == 1)
        take_signals_block(); /* the kernel drops those that are neither blocked nor handled there */
    if (s->o->config.bytes && (s->config_fd = config_file_seal(&s->o->config)) < 0)
        return complain("a copy of the configuration file in memory (memfd_create)");
    int status = sockets_read(&s->sockets, s->o);
    take_signals_block(); /* names of hosts have been looked up, which may take long */
    if (role == RELOAD_RESUME) {
        int opened = open_loop(s);
        status = opened ? opened : reload_resume(s, state, !status);
        status = status ? status : open_shared(s);
    } else {
        status = status ? status : open_loop(s);
        status = status ? status : open_all(s);
    }
    if (status || !log_start_writer())
        return status;
    log_error("cannot start a thread: %s", thread_limit_explain(errno, limit));
    return EX_OSERR;
}

/* Each worker takes up to three descriptors, and a reload has two generations of them. A limit that cannot be raised
 * shows when one cannot be started. Workers raise it further (process/open_files.h). */
static void raise_limit(void) {
    const rlim_t wanted = 4 * SCOREBOARD_SLOTS;
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= wanted)
        return;
    limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

static void start_watchers(struct supervisor *s) {
    ev_prepare_init(&s->look, look_cb);
    s->look.data = s;
    ev_prepare_start(s->loop, &s->look);
    ev_timer_init(&s->look_timer, look_timer_cb, 0., 0.);
    ev_timer_init(&s->memory_timer, memory_cb, MEMORY_S, MEMORY_S);
    s->memory_timer.data = s;
    if (s->o->max_memory)
        ev_timer_start(s->loop, &s->memory_timer);
    watchdog_start(&s->watchdog, s->loop, NULL, NULL);
}

static unsigned choose_count(const struct options *o) {
    unsigned count = o->workers == OPTIONS_WORKERS_AUTO ? cpus_count() : o->workers;
    return count < SUPERVISOR_WORKERS_MAX ? count : SUPERVISOR_WORKERS_MAX;
}

static void log_stopped(const struct supervisor *s) {
    char shown[ASCII_SECONDS_SIZE];
    log_info("stopped after %s s: %llu request%s finished, %llu cut off",
             ascii_put_seconds(shown, (double)((clock_ns() - s->stop_at) / 10000000) / 100),
             (unsigned long long)s->finished, ascii_plural(s->finished), (unsigned long long)s->cut);
}

static void run(struct supervisor *s) {
    start_watchers(s);
    ev_run(s->loop, 0);
    if (!s->status && s->cut)
        s->status = STATUS_CUT;
    if (s->stop_at && s->served && !s->at_once_at)
        log_stopped(s);
}

static void close_all(struct supervisor *s) {
    files_close(s);
    page_close(s);
    if (s->config_fd >= 0)
        close(s->config_fd);
    reload_fini(s);
    sockets_fini(&s->sockets);
    pid_file_close();
    if (s->inspect)
        inspect_unmap(s->inspect);
    count_close(s);
    if (s->board)
        scoreboard_unmap(s->board);
    loop_free(s->loop);
}

static void warn(const struct supervisor *s) {
    sockets_warn(&s->sockets, s->o);
    user_warn_root(s->o);
    user_warn_supervisor(s->sockets.user);
    if (s->o->reload)
        log_warning("--reload is not for production: while the application does not load, every client is shown its "
                    "traceback");
}

int supervise(const struct options *o, const struct user *user, const struct command *command) {
    int state = -1;
    const enum reload_role role = reload_find(&state);
    notify_take();
    int status = activation_take();
    if (role == RELOAD_UNKNOWN)
        return EX_USAGE;
    if (role == RELOAD_CHECK)
        return reload_check(o, user, state);
    if (status)
        return status;
    struct supervisor *s = calloc(1, sizeof *s);
    if (!s) {
        log_error("out of memory");
        return EX_OSERR;
    }
    *s = (struct supervisor){
        .o = o,
        .command = command,
        .generation = 1,
        .chosen = choose_count(o),
        .sockets = {.user = user},
        .config_fd = -1,
        .shared = {[CONTROL_MEMORY_LOG] = -1, [CONTROL_MEMORY_INSPECT] = -1, [CONTROL_MEMORY_METRICS] = -1},
        .reload.config = -1};
    s->wanted = s->chosen;
    raise_limit();
    title_set("supervisor", NULL);
    notify_begin();
    status = prepare(s, role, state);
    if (!status)
        status = page_open(s);
    if (!status) {
        prctl(PR_SET_CHILD_SUBREAPER, 1);
        slices_shorten();
        if (role == RELOAD_FIRST)
            warn(s);
        status = files_open(s);
    }
    if (!status) {
        run(s);
        status = s->status;
    }
    close_all(s);
    free(s);
    log_flush();
    return status;
}

void supervisor_leave_sockets(struct supervisor *s) {
    page_stop(s);
    for (size_t i = 0; i < s->sockets.opened.count; i++)
        listener_refuse(&s->sockets.opened.items[i]);
    sockets_unlink();
    for (size_t i = 0; i < s->sockets.opened.count; i++)
        listener_leave(&s->sockets.opened.items[i]);
}
