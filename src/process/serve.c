#include "config.h"

#include "process/serve.h"

#include "base/ascii.h"
#include "base/clock.h"
#include "base/descriptors.h"
#include "base/fdtable.h"
#include "base/log.h"
#include "base/thread_limit.h"
#include "cli/value.h"
#include "net/listen/address.h"
#include "net/lane.h"
#include "net/loop.h"
#include "process/ends.h"
#include "process/listen.h"
#include "process/signals.h"
#include "python/child.h"
#include "python/exit_calls.h"
#include "python/error_lines.h"
#include "python/interp.h"
#include "python/interp_start.h"
#include "python/signal_handlers.h"
#include "python/thread.h"
#include "python/wsgi/wsgi.h"

#include <errno.h>
#include <ev.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

enum {
    REQUESTS_PER_CONNECTION = 128,
    CONNECTIONS_MAX = 65535, /* unless --max-connections says more */
    FINALIZE_SECONDS = 10,   /* that the interpreter may take to end beyond --graceful-timeout */
    JOIN_NS = 1000000000,    /* for threads that have nothing left to do */
    STATUS_CUT = 79          /* requests were cut off: one more than those of sysexits.h */
};

static int flush_output(void) {
    if (!fflush(stdout))
        return 0;
    log_error("cannot write to standard output: %s", strerror(errno));
    return EX_OSERR;
}

int serve_print_version(void) {
    char python[128];
    interp_describe(python, sizeof python);
    printf("wsgi-fcgi %s\n%s\nlibev %d.%d (%s)\nbuild options: %s\n", PACKAGE_VERSION, python, ev_version_major(),
           ev_version_minor(), lane_backend_name(), WSGI_FCGI_BUILD_OPTIONS);
    return flush_output();
}

/* NULL when it is not known. To be called before --chdir is obeyed. */
static const char *start_directory(void) {
    static char start[PATH_MAX];
    return start[0] || getcwd(start, sizeof start) ? start : NULL;
}

/* Relative paths of options mean the directory in which the program was started, whatever --chdir says. Returns `path`
 * made absolute, in memory that lives as long as the process: that of the environment may be overwritten by the
 * application (setproctitle). */
static const char *from_start(const char *path) {
    static struct made {
        struct made *next;
        char text[];
    } * all;
    const char *start = start_directory();
    if (!path || !path[0] || !start)
        return path;
    const char *directory = path[0] == '/' ? "" : start, *slash = path[0] == '/' ? "" : "/";
    size_t size = strlen(directory) + strlen(path) + 2;
    struct made *made = malloc(sizeof *made + size);
    if (!made)
        return path;
    snprintf(made->text, size, "%s%s%s", directory, slash, path);
    made->next = all;
    all = made;
    return made->text;
}

/* A directory may be too deep for its sockets to have absolute addresses: then the relative one is left, which means the
 * same as long as nobody changes to another directory. */
static const char *address_from_start(const char *address, bool moves) {
    const char *path = address_path(address);
    const char *absolute = path && path[0] ? from_start(path) : address;
    return !moves && strlen(absolute) >= sizeof((struct sockaddr_un *)0)->sun_path ? address : absolute;
}

static void resolve_paths(struct options *o) {
    for (size_t i = 0; i < o->sockets.count; i++)
        o->sockets.items[i] = address_from_start(o->sockets.items[i], o->chdir);
    for (size_t i = 0; i < o->http.count; i++)
        o->http.items[i] = address_from_start(o->http.items[i], o->chdir);
    o->spool_dir = from_start(o->spool_dir);
    o->venv = from_start(o->venv);
}

/* from_start of the first `len` bytes. NULL without memory. */
static const char *part_from_start(const char *text, size_t len) {
    char *part = strndup(text, len);
    const char *absolute = from_start(part);
    if (absolute != part)
        free(part);
    return absolute;
}

/* Python ignores what it cannot read, and an import that fails does not tell why. */
static void warn_unreadable(const char *path) {
    char shown[PATH_MAX];
    if (access(path, R_OK))
        log_warning("--pythonpath: nothing is imported from %s: %s%s",
                    log_escape(shown, sizeof shown, path, strlen(path)), strerror(errno),
                    strchr(path, ',') ? ": between directories stands a colon" : "");
}

/* Appends the directories that stand in `text`, with colons between them as in PYTHONPATH, unless all of it is the name of
 * one. Returns 0, or -1 without memory. */
static int split_path(struct options_list *list, const char *text) {
    const bool whole = !access(text, F_OK);
    for (size_t len; *text; text += len + (text[len] == ':')) {
        len = whole ? strlen(text) : strcspn(text, ":");
        if (!len)
            continue;
        const char **items = realloc(list->items, (list->count + 1) * sizeof *items);
        const char *path = items ? part_from_start(text, len) : NULL;
        list->items = items ? items : list->items;
        if (!path)
            return -1;
        warn_unreadable(path);
        items[list->count++] = path;
    }
    return 0;
}

static int resolve_pythonpath(struct options *o) {
    struct options_list given = o->pythonpath;
    int failed = 0;
    o->pythonpath = (struct options_list){0};
    for (size_t i = 0; i < given.count && !failed; i++)
        failed = split_path(&o->pythonpath, given.items[i]);
    free(given.items);
    if (failed)
        log_error("out of memory");
    return failed ? EX_OSERR : 0;
}

/* What is checked before Python starts, so that mistakes show at once. */

static int check_directories(const struct options *o, char cwd[static PATH_MAX]) {
    if (o->chdir && chdir(o->chdir)) {
        log_error("--chdir: cannot change to %s: %s", o->chdir, strerror(errno));
        return errno == EACCES ? EX_NOPERM : EX_NOINPUT;
    }
    if (!getcwd(cwd, PATH_MAX)) {
        log_error("cannot find the current directory: %s: give one with --chdir", strerror(errno));
        return EX_OSERR;
    }
    if (access(o->spool_dir, W_OK | X_OK)) {
        /* A container with a read-only root has this one all the same. */
        int error = errno;
        bool shm = !access("/dev/shm", W_OK | X_OK);
        log_error(
            "cannot write to the directory for request bodies, %s: %s: give another one with --spool-dir%s, or mount a "
            "tmpfs there",
            o->spool_dir, strerror(error), shm ? ", such as /dev/shm, which is memory" : "");
        return error == EACCES ? EX_NOPERM : EX_CANTCREAT;
    }
    return 0;
}

static int read_access(const struct options *o, struct access *rules) {
    struct access_settings settings = {
        .allow = o->allow.items,
        .nallow = o->allow.count,
        .web_server_addrs = getenv("FCGI_WEB_SERVER_ADDRS"),
        .users = o->allow_uid.items,
        .nusers = o->allow_uid.count,
        .groups = o->allow_gid.items,
        .ngroups = o->allow_gid.count,
    };
    return access_init(rules, &settings);
}

/* Serving. */

struct server {
    const struct options *o;
    struct listener_set listeners;
    struct access access;
    struct access_list forwarded;
    struct ev_loop *loop; /* until the lane has it */
    struct lane *lane;
    struct pylane *python;  /* the application, once it is loaded */
    unsigned signals;       /* for handlers of the application: what signals_drain said */
    bool exit_wanted;       /* by such a handler, */
    int exit_status;        /* with this status */
    uint64_t stop_at;       /* clock_ns when the stop began; 0: not yet */
    unsigned finished, cut; /* requests since then, and those that were left behind */
};

/* May wait for the GIL, and with it for the application: not while something else can still be done first. What the
 * application does at SIGTERM is left for the end, as it may be to end the process: then all others wait with it. */
static void run_signal_handlers(struct server *server) {
    if (!server->signals || server->signals & SIGNALS_PYTHON_TERM)
        return;
    server->exit_wanted |= signal_handlers_run(server->signals & SIGNALS_PYTHON_INT, &server->exit_status);
    server->signals = 0;
}

static bool on_wake(void *arg) {
    struct server *server = arg;
    server->signals |= signals_drain();
    if (signals_stop() || server->signals & SIGNALS_PYTHON_TERM)
        return true;
    run_signal_handlers(server);
    return server->exit_wanted;
}

static bool on_wake_while_stopping(void *arg) {
    struct server *server = arg;
    server->signals |= signals_drain();
    run_signal_handlers(server);
    return false;
}

/* The usual soft limit, 1,024, is there for programs that use select(2), and a single client can have as many connections.
 * No more is taken than connections need: in containers the hard limit may be a thousand million, and programs that the
 * application starts inherit the limit, of which some close all descriptors up to it. */
static void raise_files(const struct options *o) {
    rlim_t connections = o->max_connections > CONNECTIONS_MAX ? o->max_connections : CONNECTIONS_MAX;
    rlim_t wanted = connections / 3 * 4 + 4;
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= wanted || limit.rlim_cur >= limit.rlim_max)
        return;
    rlim_t before = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
    if (setrlimit(RLIMIT_NOFILE, &limit))
        log_debug("cannot raise the limit of open files above %llu: %s", (unsigned long long)before, strerror(errno));
    else
        log_debug("the limit of open files is %llu now, instead of %llu", (unsigned long long)limit.rlim_cur,
                  (unsigned long long)before);
}

/* Unless told otherwise: three quarters of the descriptors are for connections, the rest for the application's own files
 * and connections. */
static unsigned max_connections(const struct options *o) {
    struct rlimit limit;
    if (o->max_connections)
        return o->max_connections;
    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur / 4 * 3 > CONNECTIONS_MAX)
        return CONNECTIONS_MAX;
    return limit.rlim_cur < 8 ? 1 : (unsigned)(limit.rlim_cur / 4 * 3);
}

static int complain_loop(void) {
    log_error("cannot prepare the event loop: %s", strerror(errno));
    return EX_OSERR;
}

static int make_lane(struct server *server) {
    static const enum forwarded_kind kinds[] = {[OPTION_FIELDS_X_FORWARDED] = FORWARDED_X,
                                                [OPTION_FIELDS_X_REAL_IP] = FORWARDED_X_REAL_IP,
                                                [OPTION_FIELDS_FORWARDED] = FORWARDED_RFC7239};
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
        .max_connections = max_connections(o),
        .keepalive_requests = o->keepalive_requests,
        .limit_params = o->limit_params,
        .limit_param_count = o->limit_param_count,
        .limit_requests = REQUESTS_PER_CONNECTION,
        .body = {.memory = o->body_memory, .total = o->limit_request_body, .spool_dir = o->spool_dir},
        .stream_body = o->stream_body,
        .script_name = o->script_name,
        .access = &server->access,
        .drop_abandoned = o->drop_abandoned,
        .forwarded = o->forwarded_allow.count ? &server->forwarded : NULL,
        .forwarded_kind = kinds[o->forwarded_fields],
        .server_header = o->server_header,
        .proxy_protocol = o->proxy_protocol,
        .min_body_rate = (double)o->min_body_rate,
        .wake_fd = signals_wake_fd(),
        .loop = server->loop,
    };
    server->loop = NULL;
    server->lane = lane_new(&config, &server->listeners);
    return server->lane ? 0 : complain_loop();
}

static const char *plural(unsigned n) {
    return n == 1 ? "" : "s";
}

static void log_ready(const struct server *server) {
    char python[256], application[512], whom[ACCESS_TEXT_SIZE];
    const struct listener *list = server->listeners.items;
    interp_describe(python, sizeof python);
    wsgi_describe(server->python, application, sizeof application);
    log_info("wsgi-fcgi %s with %s serves %s, up to %u request%s at a time", PACKAGE_VERSION, python, application,
             server->o->threads, plural(server->o->threads));
    for (size_t i = 0; i < server->listeners.count; i++)
        log_info("listening on %s%s", list[i].text, access_describe(&server->access, &list[i], whom));
}

/* Waits for the scheduler to end, until `deadline`. Returns how many requests, or else threads, are left. */
static unsigned wait_stopped(struct server *server, uint64_t deadline) {
    struct sched *sched = lane_sched(server->lane);
    unsigned connections, requests;
    sched_watch(sched, signals_read_fd(), deadline, on_wake_while_stopping, server);
    lane_count(server->lane, &connections, &requests);
    return requests ? requests : sched_join(sched, clock_ns() + JOIN_NS);
}

static const char *stop_reason(const struct server *server) {
    if (signals_stop())
        return sigabbrev_np(signals_stop());
    return server->exit_wanted ? "the application's signal handler" : "TERM, by _thread.interrupt_main";
}

/* Returns whether something of the application is still running and has to be left behind. */
static bool stop(struct server *server) {
    double seconds = server->o->graceful_timeout;
    char shown[ASCII_SECONDS_SIZE];
    server->stop_at = clock_ns();
    unsigned before = lane_ended(server->lane);
    uint64_t deadline = server->stop_at + (uint64_t)(seconds * 1e9);
    unsigned connections, requests;
    ascii_put_seconds(shown, seconds);
    lane_stop(server->lane);
    /* The interpreter may be stuck with the GIL held: an end comes in any case. */
    signals_exit_after((unsigned)seconds + FINALIZE_SECONDS, server->exit_status);
    lane_count(server->lane, &connections, &requests);
    log_info("stopping (%s): %u request%s in work, up to %s s to finish%s", stop_reason(server), requests,
             plural(requests), shown, requests ? "; a second signal ends it at once" : "");
    run_signal_handlers(server);
    bool left = wait_stopped(server, deadline);
    server->finished = lane_ended(server->lane) - before;
    if (!left)
        return false;
    lane_count(server->lane, &connections, &requests);
    log_warning("after %s s (--graceful-timeout) %u request%s and %u connection%s are left: ending without them", shown,
                requests, plural(requests), connections, plural(connections));
    server->cut = requests;
    if (requests && !server->exit_status)
        server->exit_status = STATUS_CUT;
    lane_abort(server->lane);
    return wait_stopped(server, clock_ns() + JOIN_NS) > 0;
}

/* The last line of all, unless Python does not come to an end. */
static void log_stopped(const struct server *server) {
    char shown[ASCII_SECONDS_SIZE];
    ascii_put_seconds(shown, (double)((clock_ns() - server->stop_at) / 10000000) / 100);
    log_info("stopped after %s s: %u request%s finished, %u cut off", shown, server->finished, plural(server->finished),
             server->cut);
}

static int run(struct server *server) {
    struct sched *sched = lane_sched(server->lane);
    ends_bound();
    log_ready(server);
    thread_release_main();
    if (lane_start(server->lane)) { /* the scheduler has said why */
        thread_attach_main();
        return EX_OSERR;
    }
    sched_watch(sched, signals_read_fd(), 0, on_wake, server);
    bool left = stop(server);
    descriptors_watch(NULL); /* atexit functions may close what they like */
    signals_exit_after(FINALIZE_SECONDS, server->exit_status);
    thread_attach_main();
    signal_handlers_run_last(signals_chain, &server->exit_status);
    if (left) {
        signals_exit_after(FINALIZE_SECONDS, server->exit_status);
        interp_run_atexit();
        listener_unlink_all(&server->listeners);
        log_stopped(server);
        log_flush();
        _exit(server->exit_status);
    }
    return server->exit_status;
}

/* Python joins the application's own threads, runs atexit, and may hang in either: an end with `status` comes in any
 * case. Returns it, or another one when it was 0 and something failed. */
static int end_python(int status) {
    signals_exit_after(FINALIZE_SECONDS, status);
    int ended = interp_stop();
    return status ? status : ended;
}

static unsigned errors_destinations(const struct options *o) {
    return (o->app_stderr & OPTION_STDERR_LOG ? ERROR_LINES_LOG : 0) |
           (o->app_stderr & OPTION_STDERR_FASTCGI ? ERROR_LINES_PEER : 0);
}

/* Whoever waits to be accepted learns now that nobody will answer, and not when Python has ended. */
static void close_sockets(struct server *server) {
    for (size_t i = 0; i < server->listeners.count; i++)
        listener_stop(&server->listeners.items[i]);
}

static int load(struct server *server, char *const *argv, const char *cwd) {
    const struct options *o = server->o;
    const char *environment = getenv("VIRTUAL_ENV");
    bool venv_from_env = o->venv && environment && !strcmp(from_start(environment), o->venv);
    struct interp_config config = {
        .argv = argv,
        .venv = o->venv,
        .venv_from_env = venv_from_env,
        .chdir = cwd,
        .pythonpath = o->pythonpath.items,
        .npythonpath = o->pythonpath.count,
    };
    int status = interp_start(&config);
    if (status)
        return status;
    exit_calls_watch(ends_exit);
    signals_load_begins();
    error_lines_set_destinations(errors_destinations(o));
    server->python = wsgi_init(o->application, start_directory(), o->threads > 1, &status);
    signals_load_ends(!status);
    descriptors_check();
    if (!status)
        return 0;
    descriptors_watch(NULL);
    close_sockets(server);
    return end_python(status);
}

static int print_check(const struct server *server, const char *cwd) {
    const struct options *o = server->o;
    char python[256], application[512];
    interp_describe(python, sizeof python);
    wsgi_describe(server->python, application, sizeof application);
    printf("%s\napplication: %s\ndirectory: %s\n", python, application, cwd);
    for (size_t i = 0; i < o->sockets.count; i++)
        printf("socket: %s (not opened)\n", o->sockets.items[i]);
    for (size_t i = 0; i < o->http.count; i++)
        printf("socket: %s (HTTP, not opened)\n", o->http.items[i]);
    printf("ok\n");
    return flush_output();
}

static int serve_loaded(struct server *server, const char *cwd) {
    char limit[THREAD_LIMIT_SIZE];
    if (server->o->check)
        return print_check(server, cwd);
    /* Not before the application is loaded, which may fork then as a process of one thread; and before there is anything to
     * say: a signal no longer ends who waits for the reader of the log. */
    if (log_start_writer()) {
        log_error("cannot start a thread: %s", thread_limit_explain(errno, limit));
        return EX_OSERR;
    }
    signals_install(signal_handlers_has(SIGTERM), signal_handlers_has(SIGINT));
    signal_handlers_set_wakeup(signals_wake_fd());
    int status = make_lane(server);
    if (status)
        return status;
    listen_warn(server->o, &server->listeners, &server->access, &server->forwarded);
    return run(server);
}

int serve(struct options *o, char *const *argv) {
    struct server server = {.o = o};
    char cwd[PATH_MAX];
    resolve_paths(o);
    raise_files(o);
    fdtable_prepare(max_connections(o));
    int status = resolve_pythonpath(o);
    if (!status)
        status = check_directories(o, cwd);
    if (!status)
        status = listen_check(o);
    if (!status)
        status = read_access(o, &server.access);
    if (!status)
        status = access_list_init(&server.forwarded, "--forwarded-allow", o->forwarded_allow.items,
                                  o->forwarded_allow.count);
    if (!status && (descriptors_init() || signals_open())) {
        log_error("cannot make a pipe: %s", strerror(errno));
        status = EX_OSERR;
    }
    if (!status && !(server.loop = loop_new()))
        status = complain_loop();
    if (!status) {
        /* From before there is a file that would be left behind. */
        signals_set_sockets(&server.listeners);
        ends_install();
        descriptors_watch(signals_unlink_sockets);
        status = listen_open(o, &server.listeners);
    }
    if (!status)
        status = load(&server, argv, cwd);
    if (!status) {
        status = serve_loaded(&server, cwd);
        descriptors_watch(NULL); /* atexit functions may close what they like */
        wsgi_fini(server.python);
        listener_unlink_all(&server.listeners);
        status = end_python(status);
    }
    signals_set_sockets(NULL);
    if (child_is()) /* an atexit function has forked: the threads are its parent's */
        return status;
    if (server.stop_at)
        log_stopped(&server);
    lane_free(server.lane);
    loop_free(server.loop);
    access_fini(&server.access);
    access_list_fini(&server.forwarded);
    listener_close_all(&server.listeners);
    return status;
}
