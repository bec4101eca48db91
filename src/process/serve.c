#include "config.h"

#include "process/serve.h"

#include "base/ascii.h"
#include "base/clock.h"
#include "base/descriptors.h"
#include "base/error_destinations.h"
#include "base/log.h"
#include "base/notify.h"
#include "base/thread_limit.h"
#include "ipc/inspect.h"
#include "ipc/log_ring.h"
#include "ipc/metrics.h"
#include "ipc/scoreboard.h"
#include "net/fcgi/protocol.h"
#include "net/http/protocol.h"
#include "net/lane.h"
#include "net/loop.h"
#include "process/access_output.h"
#include "process/development.h"
#include "process/directories.h"
#include "process/ends.h"
#include "process/exit_timer.h"
#include "process/inspector.h"
#include "process/leave.h"
#include "process/open_files.h"
#include "process/otlp.h"
#include "process/pid_file.h"
#include "process/run.h"
#include "process/show.h"
#include "process/signals.h"
#include "process/sockets.h"
#include "process/status.h"
#include "process/title.h"
#include "process/user.h"
#include "process/warm_up.h"
#include "process/watchdog.h"
#include "process/watch_thread.h"
#include "process/worker.h"
#include "process/zygote.h"
#include "python/child.h"
#include "python/exit_calls.h"
#include "python/error_lines.h"
#include "python/interp.h"
#include "python/interp_start.h"
#include "python/module.h"
#include "python/report.h"
#include "python/signal_handlers.h"
#include "python/stack.h"
#include "python/thread.h"
#include "python/wsgi/wsgi.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

enum { REQUESTS_PER_CONNECTION = 128 };

struct server {
    const struct options *o;
    const struct user *user;
    struct worker *worker;         /* NULL: this process is none */
    bool zygote;                   /* it is to be forked for workers */
    struct access_log *access_log; /* NULL: none */
    /* What others read; in a worker, its supervisor's, which may have no metrics. The slot is this process's. */
    struct log_ring *log_ring; /* the last lines of the log */
    struct scoreboard *board;
    struct metrics *metrics;
    struct metrics_slot *counted;
    unsigned slot;
    struct sockets sockets;
    struct ev_loop *loop;  /* until the lane has it */
    struct pylane *python; /* the application, once it is loaded */
    struct development development;
    struct otlp otlp;
    struct run run;
    struct sched_note ready;
    struct watchdog watchdog;
    struct process_status status;
    struct inspect *inspect; /* where it is told what runs here; NULL: it cannot be */
    unsigned inspect_slot;
    char python_text[256], application_text[512]; /* for the log */
};

static int complain_loop(void) {
    log_error("cannot prepare the event loop: %s", strerror(errno));
    return EX_OSERR;
}

/* Makes the descriptors that this process has for itself. The zygote has no loop. */
static int open_own(struct server *server) {
    if (signals_open()) {
        log_error("cannot make a pipe: %s", strerror(errno));
        return EX_OSERR;
    }
    if (!server->zygote && !(server->loop = loop_new()))
        return complain_loop();
    return 0;
}

static int complain_shared(void) {
    log_error("cannot make shared memory (memfd_create): %s", strerror(errno));
    return EX_OSERR;
}

/* The only process has the first slot of each. */
static void take_slot(struct server *server) {
    struct scoreboard_slot *slot = &server->board->slots[server->slot];
    log_ring_keep(server->log_ring, server->slot);
    metrics_use(server->metrics, server->slot);
    server->counted = &server->metrics->slots[server->slot].slot;
    atomic_store(&slot->pid, getpid());
    atomic_store(&slot->generation, 1);
    atomic_store(&slot->state, SCOREBOARD_STARTING);
}

/* A worker gets it from its supervisor. Returns 0, or a sysexits status after printing. */
static int open_shared(struct server *server) {
    int fd;
    if (!(server->log_ring = log_ring_new(&fd)))
        return complain_shared();
    descriptors_close(fd);
    if (!(server->board = scoreboard_new(&fd)))
        return complain_shared();
    descriptors_close(fd);
    if (!(server->metrics = metrics_new(&fd)))
        return complain_shared();
    descriptors_close(fd);
    take_slot(server);
    return 0;
}

/* The process serves from now on. On the loop. */
static void tell_start(struct server *server) {
    const uint64_t now = clock_unix_ns();
    if (server->counted)
        metrics_set(server->counted, METRICS_STARTED_AT, now);
    if (server->worker)
        return;
    atomic_store(&server->metrics->supervisor.started_at, now);
    atomic_store(&server->board->slots[server->slot].state, SCOREBOARD_SERVING);
    atomic_store(&server->run.leaving, &server->board->leaving);
}

/* Opens what may need more rights than the application is to have; a worker has all that of the supervisor. */
static int open_all(struct server *server) {
    const struct options *o = server->o;
    int status = sockets_read(&server->sockets, o);
    if (!status && descriptors_init()) {
        log_error("out of memory");
        status = EX_OSERR;
    }
    if (!status)
        status = open_own(server);
    if (status)
        return status;
    ends_install();
    descriptors_on_loss(leave_nothing);
    if (server->worker)
        return 0;
    status = open_shared(server);
    if (!status && o->pid_file && !o->check)
        status = pid_file_open(o->pid_file, options_name(o, "--pidfile"));
    return status ? status : sockets_open(&server->sockets, o);
}

/* Learns which worker this process is, or that it is the zygote. */
static int greet(struct server *server) {
    int status = worker_greet(server->worker, &server->sockets.opened, server->zygote);
    if (status)
        return status;
    server->log_ring = server->worker->log_ring;
    server->board = server->worker->handover.board;
    server->metrics = server->worker->metrics;
    server->counted = server->worker->counted;
    server->slot = server->worker->handover.slot;
    if (server->zygote)
        title_set("zygote", NULL);
    else
        title_set_worker(server->worker->number, NULL);
    return 0;
}

/* Makes the process what the application is to run in. */
static int become_user(const struct server *server) {
    const struct options *o = server->o;
    if (o->umask >= 0)
        (void)umask((mode_t)o->umask);
    return user_become(server->user, o);
}

/* With the rights that the application is going to have. */
static int check_directories(const struct server *server, char cwd[static PATH_MAX]) {
    int status = user_act_as(server->user, true);
    if (status)
        return status;
    status = directories_check(server->o, cwd);
    int failed = user_act_as(server->user, false);
    return status ? status : failed;
}

/* Does everything that needs no Python, up to sockets that listen; in a worker, up to what the supervisor says first.
 * `cwd`: see directories_check. */
static int prepare(struct server *server, char cwd[static PATH_MAX]) {
    const struct options *o = server->o;
    open_files_raise(o);
    if (!server->worker && !o->check) {
        notify_begin();
        notify_tell(NOTIFY_STARTING, "loads the application");
    }
    int status = check_directories(server, cwd);
    if (!status)
        status = open_all(server);
    if (!status)
        status = become_user(server);
    if (status)
        return status;
    return server->worker ? greet(server) : 0;
}

/* In the place of the application, a page that shows what was printed about it. Returns 0, or a status after
 * printing. */
static int show_why(struct server *server) {
    const struct buf *said = &server->development.said;
    server->python =
        wsgi_init_broken(buf_len(said) ? buf_head(said) : "", buf_len(said), server->o->threads > 1, server->worker);
    return server->python ? 0 : EX_SOFTWARE;
}

static int begin_python(const struct server *server, const struct interp_life *life, char *const *argv,
                        const char *cwd) {
    const struct options *o = server->o;
    struct interp_config config = {
        .argv = argv,
        .venv = o->venv,
        .venv_source = o->venv_from_env ? NULL : options_name(o, "--venv"),
        .chdir = cwd,
        .pythonpath = o->pythonpath.items,
        .npythonpath = o->pythonpath.count,
    };
    return life->begin(&config);
}

static int load(struct server *server) {
    const struct options *o = server->o;
    int status;
    exit_calls_report(o->reload ? development_exit : ends_exit);
    signals_load_begins();
    error_lines_set_destinations(o->app_stderr);
    development_load_begins(&server->development);
    server->python = wsgi_init(o->application, o->start_directory, o->threads > 1, server->worker, &status);
    if (development_load_ends(&server->development, status))
        status = show_why(server);
    signals_load_ends(!status);
    descriptors_check();
    if (!status)
        return 0;
    descriptors_on_loss(NULL);
    sockets_stop(&server->sockets);
    return status;
}

/* What the application wants to be done before its first request. */
static int run_start_hooks(struct server *server) {
    if (server->development.broken)
        return 0;
    signals_load_resumes();
    development_hooks_begin(&server->development);
    int status = module_run_start_hooks();
    if (development_load_ends(&server->development, status))
        status = show_why(server);
    signals_load_ends(!status);
    descriptors_check();
    if (status) {
        descriptors_on_loss(NULL);
        sockets_stop(&server->sockets);
    }
    return status;
}

/* For the watchdog of the service manager. */
static bool is_well(const void *arg) {
    const struct server *server = arg;
    return !lost_calls_are_stuck(&server->run.lost_calls);
}

/* In the place that the supervisor has given to this worker. Without it the process tells only itself. */
static void find_inspect(struct server *server) {
    const struct worker *worker = server->worker;
    int fd;
    if (worker && worker->inspect) {
        server->inspect = worker->inspect;
        server->inspect_slot = worker->handover.slot;
    } else if ((server->inspect = inspect_new(&fd)))
        descriptors_close(fd);
    else
        log_warning("cannot tell what runs in this process: shared memory (memfd_create): %s", strerror(errno));
}

static int start_inspector(struct server *server) {
    char limit[THREAD_LIMIT_SIZE];
    inspector_prepare(server->o);
    stack_count(server->counted ? &server->counted->counters[METRICS_STACKS_TAKEN] : NULL);
    const bool reports = server->o->request_timeout > 0 || server->o->slow_request > 0;
    if (!(reports && report_start()) &&
        (!server->inspect || !inspector_start(server->inspect, server->board, server->inspect_slot, server->run.lane)))
        return 0;
    log_error("cannot start a thread: %s", thread_limit_explain(errno, limit));
    return EX_OSERR;
}

/* struct lane_config.slow, .stuck */
static void slow_cb(struct request *r, struct sched_thread *thread, const char *line, void *arg) {
    (void)arg;
    report(r, thread, line);
}

static void stuck_cb(const char *line, void *arg) {
    (void)arg;
    inspector_log(INSPECTOR_STUCK, line);
}

static int make_lane(struct server *server) {
    const struct options *o = server->o;
    sigset_t others;
    signals_fill_others(&others); /* for threads that only run the loop */
    struct lane_config config = {
        .run = server->run.calls_on_main ? wsgi_run_on_main : wsgi_run,
        .user = server->python,
        .thread_stop = thread_stop_cb,
        .thread_pause = thread_pause_cb,
        .thread_released = thread_released_cb,
        .slow = slow_cb,
        .stuck = stuck_cb,
        .slow_request = o->slow_request,
        .stuck_log = o->stuck_log,
        .threads = o->threads,
        .queue_limit = o->queue_limit,
        .queue_timeout = o->queue_timeout,
        .idle_timeout = o->idle_timeout,
        .header_timeout = o->header_timeout,
        .min_send_rate = (double)o->min_send_rate,
        .max_connections = open_files_connections(o),
        .keepalive_requests = o->keepalive_requests,
        .limit_params = o->limit_params,
        .limit_param_count = o->limit_param_count,
        .limit_requests = REQUESTS_PER_CONNECTION,
        .body = {.memory = o->body_memory, .total = o->limit_request_body, .spool_dir = o->spool_dir},
        .stream_body = o->stream_body,
        .script_name = o->script_name,
        .allow = &server->sockets.allow,
        .request_id = o->request_id,
        .drop_abandoned = o->drop_abandoned,
        .forwarded = o->forwarded_allow.count ? &server->sockets.proxies : NULL,
        .forwarded_kind = o->forwarded_fields,
        .server_header = o->server_header,
        .proxy_protocol = o->proxy_protocol,
        .min_body_rate = (double)o->min_body_rate,
        .access_log = server->access_log,
        .board = server->board,
        .metrics = server->counted,
        .slot = server->slot,
        .handover = server->worker ? &server->worker->handover : NULL,
        .check = server->run.calls_on_main ? watch_thread_check_cb : NULL,
        .check_arg = &server->run,
        .wake_fd = signals_wake_fd(),
        .blocked_signals = server->run.calls_on_main ? &others : NULL,
        .loop = server->loop,
        /* All of them: requests of --warm-up are FastCGI, and a worker may be given a connection to a socket that is
         * none of its own. */
        .protocols =
            {
                [LISTENER_FASTCGI] = &fcgi_protocol,
#if WSGI_FCGI_HTTP
                [LISTENER_HTTP] = &http_protocol,
#endif
            },
    };
    lost_calls_configure(&server->run.lost_calls, &config);
    int status = otlp_start(&server->otlp, &config);
    if (status)
        return status;
    struct ev_loop *loop = server->loop;
    const struct status_source memory = {
        .board = server->board,
        .metrics = server->metrics,
        .inspect = server->inspect,
        .log = server->log_ring,
    };
    process_status_init(&server->status, o, server->worker, &memory, server->inspect, loop, &config);
    server->loop = NULL;
    server->run.lane = lane_new(&config, &server->sockets.opened);
    if (!server->run.lane)
        return complain_loop();
    watchdog_start(&server->watchdog, loop, is_well, server);
    if (server->worker)
        worker_join(server->worker, loop, server->run.lane);
    development_join(&server->development, loop, server->run.lane);
    status = server->worker ? 0 : process_status_open(&server->status, loop, &server->sockets);
    if (status)
        return status;
    if (server->worker && o->max_requests)
        worker_limit_requests(server->worker, o->max_requests, o->max_requests_jitter);
    return 0;
}

static int make_warm_up(struct server *server) {
    const struct options *o = server->o;
    struct warm_up_config config = {
        .paths = o->warm_up.items,
        .sources = options_where(o, "--warm-up"),
        .count = o->warm_up.count,
        .script_name = o->script_name,
        .log_errors = !(o->app_stderr & ERRORS_TO_LOG),
        .done = run_warmed_up_cb,
        .arg = &server->run,
    };
    if (!o->warm_up.count || server->development.broken)
        return 0;
    server->run.warm_up = warm_up_new(server->run.lane, &config);
    return server->run.warm_up ? 0 : complain_loop();
}

/* About its sockets a worker says nothing: they are the supervisor's. */
static void log_ready(const struct server *server) {
    char whom[ALLOW_TEXT_SIZE], worker[40] = "";
    const struct listener_set *set = &server->sockets.opened;
    if (server->worker)
        snprintf(worker, sizeof worker, ", as worker %u", server->worker->number);
    log_info("wsgi-fcgi %s with %s serves %s, up to %u request%s at a time%s", PACKAGE_VERSION, server->python_text,
             server->application_text, server->o->threads, ascii_plural(server->o->threads), worker);
    for (size_t i = 0; i < set->count && !server->worker; i++)
        log_info("listening on %s%s", set->items[i].text, allow_describe(&server->sockets.allow, &set->items[i], whom));
    if (server->o->status_path && !server->worker)
        log_info("the status page is at %s of what the application serves", server->o->status_path);
}

/* The loop runs, and looks at the listeners: the service manager hears nothing before. */
static void ready_cb(struct sched_note *note) {
    const struct server *server = (const void *)((const char *)note - offsetof(struct server, ready));
    char text[sizeof server->application_text + 16];
    snprintf(text, sizeof text, "serves %s", server->application_text);
    if (!lane_is_stopping(server->run.lane))
        notify_tell(NOTIFY_READY, text);
}

/* struct run.serving */
static void serving_cb(void *arg) {
    struct server *server = arg;
    log_ready(server);
    tell_start(server);
    if (server->worker) {
        worker_serves(server->worker);
        return;
    }
    server->ready.call = ready_cb;
    sched_post(lane_sched(server->run.lane), &server->ready);
}

/* Returns whether the worker ends instead, with *status. */
static bool wait_to_serve(struct server *server, int *status) {
    thread_release_main();
    bool ends = worker_wait(server->worker, &server->run.signals, status) != 0;
    thread_attach_main();
    if (!ends)
        return false;
    worker_tell_ending(server->worker);
    worker_tell_ends(server->worker, 0, 0);
    signal_handlers_run_last(signals_chain, status);
    return true;
}

static void log_preloaded(const struct server *server) {
    char python[256], application[512];
    interp_describe(python, sizeof python);
    wsgi_describe(server->python, application, sizeof application);
    log_info("wsgi-fcgi %s with %s has loaded %s, to be forked for each worker", PACKAGE_VERSION, python, application);
}

/* In a process that was forked by the zygote, and has none of its descriptors. */
static int begin_forked(struct server *server) {
    open_files_raise(server->o); /* the copy of the table is small */
    int status = open_own(server);
    descriptors_on_loss(sockets_unlink);
    return status ? status : greet(server);
}

/* What the supervisor wants first of a process that has loaded the application. Returns whether it is to serve;
 * otherwise it ends with *status. */
static bool is_to_serve(struct server *server, int *status) {
    struct worker *worker = server->worker;
    *status = 0;
    if (server->zygote) {
        log_preloaded(server);
        if (!zygote_fork_workers(worker, status))
            return false;
        server->zygote = false;
        *status = begin_forked(server);
    } else
        worker_tell_loaded(worker);
    if (!*status && wsgi_set_worker(server->python, worker->number)) {
        interp_print_error("cannot tell the application the number of its worker");
        *status = EX_SOFTWARE;
    }
    if (*status)
        return false;
    title_name_worker(worker->number);
    module_set_worker(worker->number);
    signal_handlers_set_wakeup(signals_wake_fd());
    return !wait_to_serve(server, status);
}

static void take_signals(const struct server *server) {
    bool chain_term = signal_handlers_has(SIGTERM), chain_int = signal_handlers_has(SIGINT);
    if (server->run.calls_on_main)
        signal_handlers_stay(signals_interrupted);
    signals_install(chain_term, chain_int);
}

static int label_requests(const struct server *server) {
    if (server->o->request_id == REQUEST_ID_OFF || !wsgi_label_requests(server->python))
        return 0;
    interp_print_error("cannot prepare the environ");
    return EX_SOFTWARE;
}

static int start_access_log(struct server *server) {
    _Atomic uint64_t *lost = server->counted ? &server->counted->counters[METRICS_ACCESS_LOG_LOST] : NULL;
    return access_output_start(server->o, server->worker ? (int)server->worker->number : -1, lost, &server->access_log);
}

static int serve_loaded(struct server *server, const char *cwd) {
    char limit[THREAD_LIMIT_SIZE];
    int status;
    if (server->o->check) {
        inspector_prepare(server->o);
        return show_check(&server->sockets, server->python, cwd);
    }
    take_signals(server);
    if (server->worker && !is_to_serve(server, &status))
        return status;
    status = run_start_hooks(server);
    if (status)
        return status;
    /* Only once the application is loaded and has begun: until then it may fork, as a process with one thread. But
     * before anything else is logged: a signal no longer ends a process that waits for the reader of the log. */
    if (log_start_writer()) {
        log_error("cannot start a thread: %s", thread_limit_explain(errno, limit));
        return EX_OSERR;
    }
    if (server->counted)
        log_count_lost(&server->counted->counters[METRICS_LOG_LINES_LOST]);
    if (!server->worker)
        signal_handlers_set_wakeup(signals_wake_fd());
    find_inspect(server);
    status = label_requests(server);
    if (!status)
        status = start_access_log(server);
    if (!status)
        status = make_lane(server);
    if (!status)
        status = make_warm_up(server);
    if (!status)
        status = start_inspector(server);
    if (!status)
        status = lost_calls_start(&server->run.lost_calls, server->run.lane);
    if (status)
        return status;
    if (!server->worker) {
        sockets_warn(&server->sockets, server->o);
        user_warn_root(server->o);
    }
    ends_bound();
    interp_describe(server->python_text, sizeof server->python_text);
    if (server->development.broken)
        snprintf(server->application_text, sizeof server->application_text, "a page that shows why %s does not load",
                 server->o->application);
    else
        wsgi_describe(server->python, server->application_text, sizeof server->application_text);
    return run_lane(&server->run);
}

static int load_and_serve(struct server *server, const char *cwd) {
    int status = load(server);
    if (status)
        return status;
    status = serve_loaded(server, cwd);
    otlp_stop(&server->otlp);
    descriptors_on_loss(NULL); /* atexit functions may close what they like */
    exit_timer_set(EXIT_TIMER_PYTHON, status);
    module_run_stop_hooks();
    wsgi_fini(server->python);
    sockets_unlink();
    return status;
}

/* Once there is no Python any more, or before there was one. */
static void last_cb(void *arg) {
    struct server *server = arg;
    if (!child_is()) { /* else an atexit function has forked: the threads are its parent's */
        if (server->run.stop_at)
            run_log_stopped(&server->run);
        warm_up_free(server->run.warm_up);
        process_status_fini(&server->status);
        lane_free(server->run.lane);
        otlp_fini(&server->otlp);
        loop_free(server->loop);
    }
    development_fini(&server->development);
    sockets_fini(&server->sockets);
    pid_file_close();
}

/* Ends Python. It joins the application's own threads and runs atexit, and may hang in either; the process ends with
 * `status` in any case. Returns `status`, or another one if that was 0 and something failed. */
static int end_python(struct server *server, const struct interp_life *life, int status) {
    exit_timer_set(EXIT_TIMER_PYTHON, status);
    module_fini();
    return life->end(status, last_cb, server);
}

static void init(struct server *server, const struct options *o, const struct user *user, struct worker *worker) {
    *server = (struct server){.o = o,
                              .user = user,
                              .sockets = {.user = user},
                              .run = {.serving = serving_cb,
                                      .serving_arg = server,
                                      .graceful_timeout = o->graceful_timeout,
                                      .stop_delay = o->stop_delay,
                                      .serves_cold = o->reload,
                                      .calls_on_main = o->threads == 1}};
    if (worker_is(worker))
        server->worker = server->run.worker = worker;
    server->zygote = server->worker && o->preload;
    lost_calls_init(&server->run.lost_calls, o, server->worker);
    development_init(&server->development, o, server->worker);
}

int serve(const struct options *o, const struct user *user, struct worker *worker, char *const *argv,
          const struct interp_life *life) {
    /* As long as the process: Python may end after this function (interp_adopted), and handlers of signals look at the
     * sockets.
     * Mutable server: as each of its parts says. */
    static struct server server;
    char cwd[PATH_MAX];
    init(&server, o, user, worker);
    int status = prepare(&server, cwd);
    if (!status)
        status = otlp_prepare(&server.otlp, o);
    if (!status)
        status = begin_python(&server, life, argv, cwd);
    if (status) {
        last_cb(&server);
        return status;
    }
    return end_python(&server, life, load_and_serve(&server, cwd));
}
