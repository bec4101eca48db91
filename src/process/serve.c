#include "config.h"

#include "process/serve.h"

#include "base/ascii.h"
#include "base/clock.h"
#include "base/descriptors.h"
#include "base/fdtable.h"
#include "base/log.h"
#include "cli/value.h"
#include "net/address.h"
#include "net/lane.h"
#include "net/loop.h"
#include "net/peer.h"
#include "process/signals.h"
#include "python/child.h"
#include "python/interp.h"
#include "python/pysignal.h"
#include "python/wsgi.h"

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
    JOIN_NS = 1000000000     /* for threads that have nothing left to do */
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

/* Relative paths of options mean the directory in which the program was started, whatever --chdir says. Returns `path`
 * made absolute, in memory that lives as long as the process: that of the environment may be overwritten by the
 * application (setproctitle). */
static const char *from_start(const char *path) {
    static struct made {
        struct made *next;
        char text[];
    } * all;
    static char start[PATH_MAX];
    if (!path || !path[0] || (!start[0] && !getcwd(start, sizeof start)))
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
    for (size_t i = 0; i < o->pythonpath.count; i++)
        o->pythonpath.items[i] = from_start(o->pythonpath.items[i]);
    o->spool_dir = from_start(o->spool_dir);
    o->venv = from_start(o->venv);
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
        log_error("cannot write to the directory for request bodies, %s: %s: give another one with --spool-dir",
                  o->spool_dir, strerror(errno));
        return errno == EACCES ? EX_NOPERM : EX_CANTCREAT;
    }
    return 0;
}

static bool is_inherited(const char *address) {
    return !strncmp(address, "fd:", 3);
}

static int check_address(const char *option, const char *address) {
    char reason[ADDRESS_REASON_SIZE];
    struct address *list;
    size_t count;
    int status = address_parse(address, &list, &count, reason);
    if (status)
        log_error("%s %s: %s", option, address, reason);
    else
        free(list);
    return status;
}

static int check_addresses(const struct options *o) {
    int status = 0;
    for (size_t i = 0; i < o->sockets.count && !status; i++)
        status = check_address("--socket", o->sockets.items[i]);
    for (size_t i = 0; i < o->http.count && !status; i++)
        status = check_address("--http", o->http.items[i]);
    if (!status && o->proxy_protocol && !o->forwarded_allow.count) {
        log_error("--proxy-protocol: name the proxies that speak it with --forwarded-allow");
        status = EX_USAGE;
    }
    return status;
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

/* Opens the addresses of a list that are, or are not, sockets of the parent process. */
static int open_list(const struct options *o, const struct options_list *addresses, enum listener_protocol protocol,
                     bool inherited, struct listener_set *set) {
    struct listener_settings settings = {.mode = o->socket_mode,
                                         .owner = o->socket_owner,
                                         .group = o->socket_group,
                                         .backlog = o->backlog,
                                         .protocol = protocol};
    int status = 0;
    for (size_t i = 0; i < addresses->count && !status; i++) {
        if (is_inherited(addresses->items[i]) == inherited)
            status = listener_open(set, addresses->items[i], &settings);
    }
    return status;
}

/* Sockets of a parent process are taken before Python runs, so that no program the application starts inherits them. */
static int open_inherited(const struct options *o, struct listener_set *set) {
    if (!o->sockets.count && !o->http.count && listener_stdin_is_socket())
        return listener_open_stdin(set);
    if (!o->sockets.count && !o->http.count && !o->check) {
        log_error("no socket to listen on: give one with --socket, such as -s /run/app.sock (descriptor 0 is not a "
                  "listening socket)");
        return EX_USAGE;
    }
    int status = open_list(o, &o->sockets, LISTENER_FASTCGI, true, set);
    return status ? status : open_list(o, &o->http, LISTENER_HTTP, true, set);
}

/* The others are made when the application is loaded: who can connect gets an answer. */
static int open_others(const struct options *o, struct listener_set *set) {
    int status = open_list(o, &o->sockets, LISTENER_FASTCGI, false, set);
    if (!status)
        status = open_list(o, &o->http, LISTENER_HTTP, false, set);
    for (size_t i = 0; i < set->count && !status; i++)
        listener_warn_web_user(&set->items[i]);
    return status;
}

/* Serving. */

struct server {
    const struct options *o;
    struct listener_set listeners;
    struct access access;
    struct access_list forwarded;
    struct ev_loop *loop; /* until the lane has it */
    struct lane *lane;
    unsigned signals; /* for handlers of the application: what signals_drain said */
    bool exit_wanted; /* by such a handler, */
    int exit_status;  /* with this status */
};

/* May wait for the GIL, and with it for the application: not while something else can still be done first. What the
 * application does at SIGTERM is left for the end, as it may be to end the process: then all others wait with it. */
static void run_signal_handlers(struct server *server) {
    if (!server->signals || server->signals & SIGNALS_PYTHON_TERM)
        return;
    server->exit_wanted |= pysignal_run(server->signals & SIGNALS_PYTHON_INT, &server->exit_status);
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
        .thread_stop = wsgi_thread_stop,
        .thread_pause = wsgi_thread_pause,
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

static void log_ready(const struct server *server) {
    char python[256], application[512];
    interp_describe(python, sizeof python);
    wsgi_describe(application, sizeof application);
    log_info("wsgi-fcgi %s with %s serves %s, up to %u requests at a time", PACKAGE_VERSION, python, application,
             server->o->threads);
    for (size_t i = 0; i < server->listeners.count; i++)
        log_info("listening on %s%s", server->listeners.items[i].text,
                 server->listeners.items[i].protocol == LISTENER_HTTP ? " (HTTP)" : "");
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
    uint64_t deadline = clock_ns() + (uint64_t)(seconds * 1e9);
    unsigned connections, requests;
    ascii_put_seconds(shown, seconds);
    lane_stop(server->lane);
    /* The interpreter may be stuck with the GIL held: an end comes in any case. */
    signals_exit_after((unsigned)seconds + FINALIZE_SECONDS, server->exit_status);
    lane_count(server->lane, &connections, &requests);
    log_info("stopping (%s): %u requests in work get up to %s seconds", stop_reason(server), requests, shown);
    run_signal_handlers(server);
    if (!wait_stopped(server, deadline))
        return false;
    lane_count(server->lane, &connections, &requests);
    log_warning("after %s seconds (--graceful-timeout) %u requests and %u connections are left: ending without them",
                shown, requests, connections);
    lane_abort(server->lane);
    return wait_stopped(server, clock_ns() + JOIN_NS) > 0;
}

static int run(struct server *server) {
    struct sched *sched = lane_sched(server->lane);
    log_ready(server);
    log_start_service();
    descriptors_watch(signals_unlink_sockets);
    pysignal_release_gil();
    if (lane_start(server->lane)) {
        log_error("cannot start a thread: %s", strerror(errno));
        pysignal_acquire_gil();
        return EX_OSERR;
    }
    sched_watch(sched, signals_read_fd(), 0, on_wake, server);
    bool left = stop(server);
    descriptors_watch(NULL); /* atexit functions may close what they like */
    signals_exit_after(FINALIZE_SECONDS, server->exit_status);
    pysignal_acquire_gil();
    pysignal_run_last(signals_chain, &server->exit_status);
    if (left) {
        signals_exit_after(FINALIZE_SECONDS, server->exit_status);
        interp_run_atexit();
        listener_unlink_all(&server->listeners);
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
    return (o->app_stderr & OPTION_STDERR_LOG ? WSGI_ERRORS_LOG : 0) |
           (o->app_stderr & OPTION_STDERR_FASTCGI ? WSGI_ERRORS_PEER : 0);
}

static int load(const struct options *o, char *const *argv, const char *cwd) {
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
    signals_load_begins();
    status = wsgi_init(o->application, o->threads > 1, errors_destinations(o));
    signals_load_ends(!status);
    return status ? end_python(status) : 0;
}

static int print_check(const struct options *o, const char *cwd) {
    char python[256], application[512];
    interp_describe(python, sizeof python);
    wsgi_describe(application, sizeof application);
    printf("%s\napplication: %s\ndirectory: %s\n", python, application, cwd);
    for (size_t i = 0; i < o->sockets.count; i++)
        printf("socket: %s (not opened)\n", o->sockets.items[i]);
    for (size_t i = 0; i < o->http.count; i++)
        printf("socket: %s (HTTP, not opened)\n", o->http.items[i]);
    printf("ok\n");
    return flush_output();
}

/* Of what was given, that which has no effect. */
static void warn(const struct server *server) {
    const struct listener_set *set = &server->listeners;
    unsigned have = server->o->forwarded_allow.count ? 1u << OPTION_NEEDS_FORWARDED : 0;
    for (size_t i = 0; i < set->count; i++) {
        const struct listener *l = &set->items[i];
        have |= 1u << (l->is_unix ? OPTION_NEEDS_UNIX : OPTION_NEEDS_TCP);
        have |= 1u << (l->protocol == LISTENER_HTTP ? OPTION_NEEDS_HTTP : OPTION_NEEDS_FASTCGI);
        have |= l->path ? 1u << OPTION_NEEDS_FILE : 0;
        have |= l->inherited ? 0 : 1u << OPTION_NEEDS_OWN_SOCKET;
    }
    options_warn(server->o, have);
    access_warn(&server->access, set->items, set->count);
    peer_warn(&server->forwarded, set->items, set->count);
}

static int serve_loaded(struct server *server, const char *cwd) {
    if (server->o->check)
        return print_check(server->o, cwd);
    /* Before there is a socket that clients, and supervisors, can see. */
    signals_set_sockets(&server->listeners);
    signals_install(pysignal_is_handled(SIGTERM), pysignal_is_handled(SIGINT));
    pysignal_set_wakeup(signals_wake_fd());
    int status = open_others(server->o, &server->listeners);
    if (!status)
        status = make_lane(server);
    if (status)
        return status;
    warn(server);
    return run(server);
}

int serve(struct options *o, char *const *argv) {
    struct server server = {.o = o};
    char cwd[PATH_MAX];
    resolve_paths(o);
    raise_files(o);
    fdtable_prepare(max_connections(o));
    int status = check_directories(o, cwd);
    if (!status)
        status = check_addresses(o);
    if (!status)
        status = read_access(o, &server.access);
    if (!status)
        status = access_list_init(&server.forwarded, "--forwarded-allow", o->forwarded_allow.items,
                                  o->forwarded_allow.count);
    if (!status && (descriptors_init() || signals_open())) {
        log_error("cannot make a pipe: %s", strerror(errno));
        status = EX_OSERR;
    }
    if (!status)
        status = open_inherited(o, &server.listeners);
    if (!status && !(server.loop = loop_new()))
        status = complain_loop();
    if (!status)
        status = load(o, argv, cwd);
    if (!status) {
        status = serve_loaded(&server, cwd);
        wsgi_fini();
        listener_unlink_all(&server.listeners);
        signals_set_sockets(NULL);
        status = end_python(status);
    }
    if (child_is()) /* an atexit function has forked: the threads are its parent's */
        return status;
    lane_free(server.lane);
    loop_free(server.loop);
    access_fini(&server.access);
    access_list_fini(&server.forwarded);
    listener_close_all(&server.listeners);
    return status;
}
