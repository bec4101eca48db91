#include "config.h"

#include "cli/other_servers.h"

#include <stdbool.h>
#include <string.h>

/* No text names an option that this build lacks. */
#if WSGI_FCGI_HTTP
#define LISTEN_AT(address) "--http " address ", or --socket " address " for FastCGI"
#define ABOUT_HTTP(option) option
#else
#define LISTEN_AT(address) "--socket " address ", which speaks FastCGI: this program was built without HTTP"
#define ABOUT_HTTP(option) "there is none: this program was built without HTTP"
#endif

/* A letter that several servers use is in the table if one answer fits all of them. */
static const struct other_servers_row rows[] = {
    /* where it listens */
    {"-b --bind", "gunicorn's", LISTEN_AT("ADDR")},
    {"--host --port", "uvicorn's, granian's and waitress's", "both are one: " LISTEN_AT("HOST:PORT")},
    {"--listen", "waitress's and uWSGI's", "an address is " LISTEN_AT("ADDR") "; a length of the queue is --backlog N"},
    {"--uds --unix-socket", "uvicorn's and waitress's", LISTEN_AT("/PATH")},
    {"--fd", "uvicorn's", LISTEN_AT("fd:N")},
    {"--http-socket", "uWSGI's", LISTEN_AT("ADDR")},
    {"--fastcgi-socket", "uWSGI's", "--socket ADDR"},
    {"--chmod-socket -C --unix-socket-perms", "uWSGI's and waitress's", "--socket-mode MODE"},
    {"-m", "gunicorn's", "--umask MODE; permissions of sockets are --socket-mode MODE"},
    {"--chown-socket", "uWSGI's", "--socket-owner USER and --socket-group GROUP"},
    {"--reuse-port", "gunicorn's and uWSGI's", "servers share a socket that their parent has opened, --socket fd:N"},
    {"--certfile --keyfile --ssl-certfile --ssl-keyfile --ssl-certificate --https",
     "gunicorn's, uvicorn's, granian's "
     "and uWSGI's",
     "there is no TLS: it ends in the web server in front"},

    /* what it runs */
    {"--wsgi-file --file --module --wsgi --callable --app", "uWSGI's",
     "the application stands behind the options: wsgi-fcgi [OPTIONS] MODULE:CALLABLE"},
    {"--factory --call", "uvicorn's, granian's and waitress's", "the call is written out: MODULE:create_app()"},
    {"--interface --worker-class -k --gevent --loop", "granian's, gunicorn's, uWSGI's and uvicorn's",
     "it is always WSGI on threads, --threads N"},
    {"--virtualenv -H --home --pyhome", "uWSGI's", "--venv DIR"},
    {"--pp --python-path", "uWSGI's and mod_wsgi's", "--pythonpath DIR"},
    {"--app-dir --working-dir --working-directory", "uvicorn's, granian's and mod_wsgi's", "--chdir DIR"},
    {"--root-path --url-prefix --url-path-prefix --mount --mount-point",
     "uvicorn's, waitress's, granian's, uWSGI's and mod_wsgi's", "--script-name PREFIX"},
    {"-e", "gunicorn's", "--env NAME=VALUE"},
    {"--env-file", "uvicorn's", "variables are --env NAME=VALUE, or EnvironmentFile= of systemd"},
    {"-c --ini --yaml --xml --json -y --fpm-config", "gunicorn's, uWSGI's and php-fpm's",
     "--config FILE, with lines KEY = VALUE whose keys are options of this program: see wsgi-fcgi-migrate(7)"},
    {"--check-config --test", "gunicorn's and php-fpm's", "--check, and --print-config for what the options say"},
    {"--static-map --static-path-mount --url-alias --document-root", "uWSGI's, granian's and mod_wsgi's",
     "the web server in front sends files, or the application does (WhiteNoise)"},
    {"--plugin --plugins --plugins-dir", "uWSGI's", "nothing has to be loaded: leave it out"},

    /* processes and threads */
    {"-w", "gunicorn's (workers) and uWSGI's (module)",
     "--workers N, each of which runs up to --threads N calls at a time; and the application stands behind the "
     "options: wsgi-fcgi [OPTIONS] MODULE:CALLABLE"},
    {"--processes", "uWSGI's and mod_wsgi's", "--workers N, each of which runs up to --threads N calls at a time"},
    {"--blocking-threads --runtime-threads", "granian's", "--threads N"},
    {"--master -M --single-interpreter --enable-threads -T --lazy-apps --need-app --vacuum --die-on-term "
     "--thunder-lock",
     "uWSGI's", "nothing stands for it, this server works like that: leave it out"},
    {"-D --daemon --daemonize -d -F --nodaemonize", "gunicorn's, uWSGI's and php-fpm's",
     "it stays in the foreground: let systemd or a container run it, and leave it out"},
    {"--pid", "gunicorn's", "--pidfile PATH"},
    {"-p", "gunicorn's (pid) and uWSGI's (processes)", "--pidfile PATH; processes are --workers N"},
    {"-u --uid", "gunicorn's and uWSGI's", "--user USER"},
    {"-g --gid", "gunicorn's and uWSGI's", "--group GROUP"},
    {"-n --name --procname", "gunicorn's and uWSGI's",
     "the process has no name but its own: systemd and containers name services"},
    {"--py-autoreload --python-autoreload --reload-on-changes", "uWSGI's and mod_wsgi's",
     "--reload, at work; in production, with --workers N, SIGHUP loads new code and loses no request"},
    {"--reload-extra-file --reload-include --reload-dir --reload-paths --touch-reload",
     "gunicorn's, uvicorn's, granian's and uWSGI's",
     "--reload-extra GLOB, with --reload, which knows the files of the application itself"},
    {"--reload-engine --reload-tick --reload-delay", "gunicorn's, uvicorn's and granian's",
     "nothing stands for it, changes are noticed at once: leave it out"},
    {"--maximum-requests --limit-max-requests", "uvicorn's and mod_wsgi's", "--max-requests N, with --workers N"},
    {"--max-requests-delta", "uWSGI's", "--max-requests-jitter N, with --max-requests N"},
    {"--reload-on-rss --workers-max-rss", "uWSGI's and granian's", "--max-memory SIZE, with --workers N"},
    {"--max-worker-lifetime --workers-lifetime", "uWSGI's and granian's", "--max-lifetime SECONDS, with --workers N"},

    /* times and sizes */
    {"--timeout", "gunicorn's",
     "--request-timeout SECONDS, which ends one request and no process; waiting for a thread has --queue-timeout "
     "SECONDS, clients have --header-timeout and --idle-timeout"},
    {"--harakiri --http-harakiri", "uWSGI's", "--request-timeout SECONDS, which ends one request and no process"},
    {"--harakiri-verbose", "uWSGI's", "the log always says where a call is that takes longer than --request-timeout"},
    {"--deadlock-timeout", "mod_wsgi's", "--stuck-timeout SECONDS, with --request-timeout and --workers N"},
    {"--keep-alive --keepalive --timeout-keep-alive --channel-timeout --socket-timeout --http-timeout --http-keepalive",
     "gunicorn's, uvicorn's, waitress's and uWSGI's", "--idle-timeout SECONDS"},
    {"--timeout-graceful-shutdown --shutdown-timeout --worker-reload-mercy", "uvicorn's, mod_wsgi's and uWSGI's",
     "--graceful-timeout SECONDS"},
    {"--worker-connections --connection-limit --limit-concurrency --backpressure",
     "gunicorn's, waitress's, uvicorn's and granian's", "--max-connections N, and --threads N for calls at a time"},
    {"--buffer-size --limit-request-line --limit-request-field_size --max-request-header-size",
     "uWSGI's, gunicorn's and waitress's", "--limit-params SIZE"},
    {"--limit-request-fields", "gunicorn's", "--limit-param-count N"},
    {"--limit-post --max-request-body-size", "uWSGI's and waitress's", "--limit-request-body SIZE"},
    {"--post-buffering --inbuf-overflow --worker-tmp-dir", "uWSGI's, waitress's and gunicorn's",
     "--body-memory SIZE, and --spool-dir DIR for what is beyond"},

    /* proxies and headers */
    {"--forwarded-allow-ips --proxy-allow-from --proxy-headers --trusted-proxy --trust-proxy-header",
     "gunicorn's, uvicorn's, waitress's and mod_wsgi's", "--forwarded-allow ADDR"},
    {"--trusted-proxy-headers", "waitress's", "--forwarded-fields KIND"},
    {"--http-enable-proxy-protocol", "uWSGI's", ABOUT_HTTP("--proxy-protocol")},
    {"--ident --no-server-header", "waitress's and uvicorn's", ABOUT_HTTP("--server-header TEXT")},
    {"--header", "uvicorn's", "headers are set by the application, or by the web server in front"},

    /* what it writes */
    {"--access-logfile --access-logformat --no-access-log --log-format --disable-logging",
     "gunicorn's, uvicorn's, granian's and uWSGI's",
     "--access-log FILE, - or syslog writes a line for each request, in the form of --access-log-format; without it "
     "there is "
     "none, and the web server in front may write one"},
    {"--error-logfile --log-config --logto --capture-output --log-to-terminal",
     "gunicorn's, uvicorn's, uWSGI's and mod_wsgi's",
     "the log goes to standard error, which systemd or the container keeps, or to --log-file PATH"},
    {"--stats --metrics", "uWSGI's and granian's", "--status ADDR, where Prometheus finds figures at /metrics"},
    {"--statsd-host --statsd-prefix --statsd", "gunicorn's and uWSGI's",
     "nothing is sent to StatsD: --status ADDR has figures for Prometheus"},
    {"-v", "gunicorn's", "-V or --version"},
};

const struct other_servers_row *other_servers_rows(size_t *count) {
    *count = sizeof rows / sizeof *rows;
    return rows;
}

static bool has_word(const char *words, const char *word, size_t len) {
    while (*words) {
        size_t n = strcspn(words, " ");
        if (n == len && !memcmp(words, word, len))
            return true;
        words += n + (words[n] == ' ');
    }
    return false;
}

const struct other_servers_row *other_servers_find(const char *word, size_t len) {
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (has_word(rows[i].words, word, len))
            return &rows[i];
    }
    return NULL;
}
