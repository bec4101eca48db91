#include "config.h"

#include "process/serve.h"

#include "base/ascii.h"
#include "base/descriptors.h"
#include "base/log.h"
#include "base/thread_limit.h"
#include "net/fcgi/protocol.h"
#include "net/http/protocol.h"
#include "net/lane.h"
#include "net/loop.h"
#include "process/directories.h"
#include "process/ends.h"
#include "process/exit_timer.h"
#include "process/open_files.h"
#include "process/run.h"
#include "process/show.h"
#include "process/signals.h"
#include "process/sockets.h"
#include "python/child.h"
#include "python/exit_calls.h"
#include "python/error_lines.h"
#include "python/interp.h"
#include "python/interp_start.h"
#include "python/signal_handlers.h"
#include "python/thread.h"
#include "python/wsgi/wsgi.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sysexits.h>

enum { REQUESTS_PER_CONNECTION = 128 };

struct server {
    const struct options *o;
    struct sockets sockets;
    struct ev_loop *loop;  /* until the lane has it */
    struct pylane *python; /* the application, once it is loaded */
    struct run run;
};

static int complain_loop(void) {
    log_error("cannot prepare the event loop: %s", strerror(errno));
    return EX_OSERR;
}

/* Does everything that needs no Python, up to sockets that listen. `cwd`: see directories_check. */
static int prepare(struct server *server, char cwd[static PATH_MAX]) {
    const struct options *o = server->o;
    open_files_raise(o);
    int status = directories_check(o, cwd);
    if (!status)
        status = sockets_read(&server->sockets, o);
    if (!status && (descriptors_init() || signals_open())) {
        log_error("cannot make a pipe: %s", strerror(errno));
        status = EX_OSERR;
    }
    if (!status && !(server->loop = loop_new()))
        status = complain_loop();
    if (status)
        return status;
    ends_install();
    descriptors_on_loss(sockets_unlink);
    return sockets_open(&server->sockets, o);
}

/* Ends Python. It joins the application's own threads and runs atexit, and may hang in either; the process ends with
 * `status` in any case. Returns `status`, or another one if that was 0 and something failed. */
static int end_python(int status) {
    exit_timer_set(EXIT_TIMER_PYTHON, status);
    int ended = interp_stop();
    return status ? status : ended;
}

static int load(struct server *server, char *const *argv, const char *cwd) {
    const struct options *o = server->o;
    struct interp_config config = {
        .argv = argv,
        .venv = o->venv,
        .venv_from_env = o->venv_from_env,
        .chdir = cwd,
        .pythonpath = o->pythonpath.items,
        .npythonpath = o->pythonpath.count,
    };
    int status = interp_start(&config);
    if (status)
        return status;
    exit_calls_report(ends_exit);
    signals_load_begins();
    error_lines_set_destinations(o->app_stderr);
    server->python = wsgi_init(o->application, o->start_directory, o->threads > 1, &status);
    signals_load_ends(!status);
    descriptors_check();
    if (!status)
        return 0;
    descriptors_on_loss(NULL);
    sockets_stop(&server->sockets);
    return end_python(status);
}

static int make_lane(struct server *server) {
    static const struct protocol *const protocols[] = {
        [LISTENER_FASTCGI] = &fcgi_protocol,
#if WSGI_FCGI_HTTP
        [LISTENER_HTTP] = &http_protocol,
#endif
    };
    const struct options *o = server->o;
    struct lane_config config = {
        .run = wsgi_run,
        .user = server->python,
        .thread_stop = thread_stop_cb,
        .thread_pause = thread_pause_cb,
        .threads = o->threads,
        .queue_limit = o->queue_limit,
        .queue_timeout = o->queue_timeout,
        .idle_timeout = o->idle_timeout,
        .header_timeout = o->header_timeout,
        .max_connections = open_files_connections(o),
        .keepalive_requests = o->keepalive_requests,
        .limit_params = o->limit_params,
        .limit_param_count = o->limit_param_count,
        .limit_requests = REQUESTS_PER_CONNECTION,
        .body = {.memory = o->body_memory, .total = o->limit_request_body, .spool_dir = o->spool_dir},
        .stream_body = o->stream_body,
        .script_name = o->script_name,
        .allow = &server->sockets.allow,
        .drop_abandoned = o->drop_abandoned,
        .forwarded = o->forwarded_allow.count ? &server->sockets.proxies : NULL,
        .forwarded_kind = o->forwarded_fields,
        .server_header = o->server_header,
        .proxy_protocol = o->proxy_protocol,
        .min_body_rate = (double)o->min_body_rate,
        .wake_fd = signals_wake_fd(),
        .loop = server->loop,
    };
    for (size_t i = 0; i < server->sockets.opened.count; i++) {
        enum listener_protocol spoken = server->sockets.opened.items[i].protocol;
        config.protocols[spoken] = protocols[spoken];
    }
    server->loop = NULL;
    server->run.lane = lane_new(&config, &server->sockets.opened);
    return server->run.lane ? 0 : complain_loop();
}

static void log_ready(const struct server *server) {
    char python[256], application[512], whom[ALLOW_TEXT_SIZE];
    const struct listener_set *set = &server->sockets.opened;
    interp_describe(python, sizeof python);
    wsgi_describe(server->python, application, sizeof application);
    log_info("wsgi-fcgi %s with %s serves %s, up to %u request%s at a time", PACKAGE_VERSION, python, application,
             server->o->threads, ascii_plural(server->o->threads));
    for (size_t i = 0; i < set->count; i++)
        log_info("listening on %s%s", set->items[i].text, allow_describe(&server->sockets.allow, &set->items[i], whom));
}

static int serve_loaded(struct server *server, const char *cwd) {
    char limit[THREAD_LIMIT_SIZE];
    if (server->o->check)
        return show_check(&server->sockets, server->python, cwd);
    /* Only once the application is loaded: while it is loaded it may fork, as a process with one thread. But before
     * anything else is logged: a signal no longer ends a process that waits for the reader of the log. */
    if (log_start_writer()) {
        log_error("cannot start a thread: %s", thread_limit_explain(errno, limit));
        return EX_OSERR;
    }
    signals_install(signal_handlers_has(SIGTERM), signal_handlers_has(SIGINT));
    signal_handlers_set_wakeup(signals_wake_fd());
    int status = make_lane(server);
    if (status)
        return status;
    sockets_warn(&server->sockets, server->o);
    ends_bound();
    log_ready(server);
    return run_lane(&server->run);
}

int serve(const struct options *o, char *const *argv) {
    struct server server = {.o = o, .run.graceful_timeout = o->graceful_timeout};
    char cwd[PATH_MAX];
    int status = prepare(&server, cwd);
    if (!status)
        status = load(&server, argv, cwd);
    if (!status) {
        status = serve_loaded(&server, cwd);
        descriptors_on_loss(NULL); /* atexit functions may close what they like */
        wsgi_fini(server.python);
        sockets_unlink();
        status = end_python(status);
    }
    if (!child_is()) { /* else an atexit function has forked: the threads are its parent's */
        if (server.run.stop_at)
            run_log_stopped(&server.run);
        lane_free(server.run.lane);
        loop_free(server.loop);
    }
    sockets_fini(&server.sockets);
    return status;
}
