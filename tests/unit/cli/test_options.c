#include "config.h"

#include "cli/options.h"

#include "cli/configuration.h"
#include "cli/other_servers.h"
#include "cli/option_table.h"

#include "unit/unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

enum { ARGS_MAX = 32 };

#if WSGI_FCGI_HTTP
#define FIRST_COMMAND "wsgi-fcgi --http :8000 app:app"
#else
#define FIRST_COMMAND "wsgi-fcgi -s /run/app.sock app:app"
#endif

static struct options parsed;
static char output[16384];

/* Parses `args` (separated by single spaces, "''" for an empty one) with descriptor `fd` going to `output`. */
static int parse(int fd, const char *args) {
    static char words[1024];
    char *argv[ARGS_MAX + 1] = {words};
    int argc = 1;
    snprintf(words, sizeof(words), "wsgi-fcgi %s", args);
    for (char *p = strchr(words, ' '); p && p[1]; p = strchr(p + 1, ' ')) {
        ck_assert_int_lt(argc, ARGS_MAX);
        *p = '\0';
        argv[argc++] = p + 1;
    }
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "''") == 0)
            argv[i] += 2;

    FILE *file = tmpfile();
    fflush(stdout);
    int saved = dup(fd);
    ck_assert_int_eq(dup2(fileno(file), fd), fd);
    int status = configuration_read(&parsed, argc, argv, true);
    fflush(stdout);
    ck_assert_int_eq(dup2(saved, fd), fd);
    close(saved);
    rewind(file);
    output[fread(output, 1, sizeof(output) - 1, file)] = '\0';
    fclose(file);
    return status;
}

static void check_refused(const char *args, const char *complaint) {
    int status = parse(STDERR_FILENO, args);
    ck_assert_msg(status == EX_USAGE, "\"%s\": status %d", args, status);
    ck_assert_msg(strstr(output, complaint) != NULL, "\"%s\": got \"%s\", wanted \"%s\"", args, output, complaint);
    ck_assert_msg(strncmp(output, "wsgi-fcgi: error: ", 18) == 0, "\"%s\": got \"%s\"", args, output);
    ck_assert_msg(strchr(output, '\n') == output + strlen(output) - 1, "\"%s\": not one line: \"%s\"", args, output);
    options_fini(&parsed);
}

static void check_accepted(const char *args) {
    int status = parse(STDERR_FILENO, args);
    ck_assert_msg(status == -1, "\"%s\": status %d, \"%s\"", args, status, output);
    ck_assert_str_eq(output, "");
}

static void clean_environment(void) {
    unsetenv("VIRTUAL_ENV");
    unsetenv("TMPDIR");
}

START_TEST(test_defaults)
{
    clean_environment();
    check_accepted("app:app");
    ck_assert_str_eq(parsed.application, "app:app");
    ck_assert_ptr_null(parsed.chdir);
    ck_assert_uint_eq(parsed.pythonpath.count, 0);
    ck_assert_ptr_null(parsed.venv);
    ck_assert_str_eq(parsed.script_name, "");
    ck_assert(!parsed.check);
    ck_assert(!parsed.version);
    ck_assert_uint_eq(parsed.sockets.count, 0);
    ck_assert_uint_eq(parsed.socket_mode, 0660);
    ck_assert_int_eq(parsed.umask, -1);
    ck_assert_ptr_null(parsed.socket_owner);
    ck_assert_ptr_null(parsed.socket_group);
    ck_assert_uint_eq(parsed.backlog, 511);
    ck_assert_uint_eq(parsed.threads, 32);
    ck_assert_uint_eq(parsed.queue_limit, 65536);
    ck_assert_double_eq(parsed.queue_timeout, 10);
    ck_assert_double_eq(parsed.request_timeout, 0);
    ck_assert(!parsed.request_timeout_interrupts);
    ck_assert_double_eq(parsed.stuck_timeout, 10);
    ck_assert_uint_eq(parsed.limit_request_body, UINT64_C(1) << 30);
    ck_assert_uint_eq(parsed.limit_params, 128 * 1024);
    ck_assert_uint_eq(parsed.limit_param_count, 1000);
    ck_assert_uint_eq(parsed.body_memory, 256 * 1024);
    ck_assert_str_eq(parsed.spool_dir, "/tmp");
    ck_assert_double_eq(parsed.idle_timeout, 120);
    ck_assert_double_eq(parsed.graceful_timeout, 30);
    ck_assert_int_eq(parsed.log_level, LOG_LEVEL_INFO);
    options_fini(&parsed);
}
END_TEST

START_TEST(test_every_option)
{
    check_accepted("--chdir /srv --pythonpath /a --pythonpath /b --venv /v --script-name /app --check "
                   "--socket-mode 0606 --socket-owner www-data --socket-group 33 --backlog 5 -t 7 pkg.mod:obj.attr");
    ck_assert_str_eq(parsed.application, "pkg.mod:obj.attr");
    ck_assert_str_eq(parsed.chdir, "/srv");
    ck_assert_uint_eq(parsed.pythonpath.count, 2);
    ck_assert_str_eq(parsed.pythonpath.items[0], "/a");
    ck_assert_str_eq(parsed.pythonpath.items[1], "/b");
    ck_assert_str_eq(parsed.venv, "/v");
    ck_assert_str_eq(parsed.script_name, "/app");
    ck_assert(parsed.check);
    ck_assert_uint_eq(parsed.socket_mode, 0606);
    ck_assert_str_eq(parsed.socket_owner, "www-data");
    ck_assert_str_eq(parsed.socket_group, "33");
    ck_assert_uint_eq(parsed.backlog, 5);
    ck_assert_uint_eq(parsed.threads, 7);
    options_fini(&parsed);

    check_accepted(
        "--queue-limit 8 --queue-timeout 0.25 --limit-request-body 3M --limit-params 1K "
        "--limit-param-count 9 --body-memory 65536 --spool-dir /var/tmp --idle-timeout 1.5 "
        "--graceful-timeout 0 --log-level debug --request-timeout 30 --request-timeout-action interrupt app");
    ck_assert_double_eq(parsed.request_timeout, 30);
    ck_assert(parsed.request_timeout_interrupts);
    ck_assert_uint_eq(parsed.queue_limit, 8);
    ck_assert_double_eq(parsed.queue_timeout, 0.25);
    ck_assert_uint_eq(parsed.limit_request_body, 3 << 20);
    ck_assert_uint_eq(parsed.limit_params, 1024);
    ck_assert_uint_eq(parsed.limit_param_count, 9);
    ck_assert_uint_eq(parsed.body_memory, 65536);
    ck_assert_str_eq(parsed.spool_dir, "/var/tmp");
    ck_assert_double_eq(parsed.idle_timeout, 1.5);
    ck_assert_double_eq(parsed.graceful_timeout, 0);
    ck_assert_int_eq(parsed.log_level, LOG_LEVEL_DEBUG);
    options_fini(&parsed);
}
END_TEST

START_TEST(test_forms)
{
    check_accepted("app:app -s/run/a --socket=@b -t 2 --socket [::1]:80 --threads=2");
    ck_assert_uint_eq(parsed.sockets.count, 3);
    ck_assert_str_eq(parsed.sockets.items[0], "/run/a");
    ck_assert_str_eq(parsed.sockets.items[1], "@b");
    ck_assert_str_eq(parsed.sockets.items[2], "[::1]:80");
    ck_assert_uint_eq(parsed.threads, 2);
    options_fini(&parsed);
    check_accepted("-t 3 -- --odd");
    ck_assert_str_eq(parsed.application, "--odd");
    ck_assert_uint_eq(parsed.threads, 3);
    options_fini(&parsed);
    check_accepted("--script-name '' mod:create_app()");
    ck_assert_str_eq(parsed.script_name, "");
    options_fini(&parsed);
    check_accepted("--thr 4 app");
    ck_assert_uint_eq(parsed.threads, 4);
    options_fini(&parsed);
}
END_TEST

/* The last one counts, as wrappers expect that add options of their own; but it may be a slip as well. */
START_TEST(test_twice)
{
    ck_assert_int_eq(parse(STDERR_FILENO, "--threads 4 --script-name /a\033 -t 8 --script-name '' a"), -1);
    ck_assert_ptr_nonnull(strstr(output, "--threads is given twice, \"4\" and \"8\": the last one counts\n"));
    ck_assert_ptr_nonnull(strstr(output, "--script-name is given twice, \"/a\\x1b\" and \"\": the last one counts\n"));
    ck_assert_uint_eq(parsed.threads, 8);
    ck_assert_str_eq(parsed.script_name, "");
    options_fini(&parsed);
    /* Neither the same again, nor what may be repeated, nor an option without a value. */
    check_accepted("-t 4 --threads 4 --allow any --allow 10.0.0.1 --check --check a");
    options_fini(&parsed);
    /* Nor the environment, nor a default. */
    setenv("TMPDIR", "/env/t", 1);
    check_accepted("--spool-dir /own --log-level debug a");
    options_fini(&parsed);
    clean_environment();
}
END_TEST

static const struct {
    const char *text;
    uint64_t bytes;
} sizes[] = {
    {"65536", 65536},      {"100k", 100 << 10}, {"100K", 100 << 10}, {"100kb", 100 << 10}, {"100KB", 100 << 10},
    {"100KiB", 100 << 10}, {"10m", 10 << 20},   {"10MB", 10 << 20},  {"10mib", 10 << 20},  {"10MiB", 10 << 20},
    {"1G", 1 << 30},       {"1GB", 1 << 30},    {"1gib", 1 << 30},   {"65536B", 65536},    {"65536b", 65536},
};

START_TEST(test_sizes)
{
    char args[64];
    snprintf(args, sizeof args, "--body-memory %s a", sizes[_i].text);
    check_accepted(args);
    ck_assert_uint_eq(parsed.body_memory, sizes[_i].bytes);
    options_fini(&parsed);
}
END_TEST

static const struct {
    const char *text;
    double seconds;
} times[] = {
    {"30", 30},    {"1.5", 1.5}, {"30s", 30},  {"0.5s", 0.5}, {"500ms", 0.5}, {"1m", 60},
    {"5min", 300}, {"1.5m", 90}, {"2h", 7200}, {"1d", 86400}, {"0s", 0},
};

START_TEST(test_times)
{
    char args[64];
    snprintf(args, sizeof args, "--idle-timeout %s a", times[_i].text);
    check_accepted(args);
    ck_assert_double_eq(parsed.idle_timeout, times[_i].seconds);
    options_fini(&parsed);
}
END_TEST

static const struct {
    const char *text;
    enum log_level level;
} log_levels[] = {
    {"error", LOG_LEVEL_ERROR},     {"ERROR", LOG_LEVEL_ERROR},  {"err", LOG_LEVEL_ERROR},
    {"critical", LOG_LEVEL_ERROR},  {"warn", LOG_LEVEL_WARNING}, {"WARN", LOG_LEVEL_WARNING},
    {"Warning", LOG_LEVEL_WARNING}, {"INFO", LOG_LEVEL_INFO},    {"DEBUG", LOG_LEVEL_DEBUG},
};

START_TEST(test_levels)
{
    char args[64];
    snprintf(args, sizeof args, "--log-level %s a", log_levels[_i].text);
    check_accepted(args);
    ck_assert_int_eq(parsed.log_level, log_levels[_i].level);
    options_fini(&parsed);
}
END_TEST

START_TEST(test_environment)
{
    setenv("VIRTUAL_ENV", "/env/v", 1);
    setenv("TMPDIR", "/env/t", 1);
    check_accepted("app");
    ck_assert_str_eq(parsed.venv, "/env/v");
    ck_assert_str_eq(parsed.spool_dir, "/env/t");
    options_fini(&parsed);
    check_accepted("--venv /mine --spool-dir /own app");
    ck_assert_str_eq(parsed.venv, "/mine");
    ck_assert_str_eq(parsed.spool_dir, "/own");
    options_fini(&parsed);
    setenv("VIRTUAL_ENV", "", 1);
    setenv("TMPDIR", "", 1);
    check_accepted("app");
    ck_assert_ptr_null(parsed.venv);
    ck_assert_str_eq(parsed.spool_dir, "/tmp");
    options_fini(&parsed);
}
END_TEST

START_TEST(test_version)
{
    check_accepted("-V");
    ck_assert(parsed.version);
    ck_assert_ptr_null(parsed.application);
    options_fini(&parsed);
}
END_TEST

START_TEST(test_help)
{
    static const char *const expected[] = {
        "Usage: wsgi-fcgi [OPTIONS] MODULE:CALLABLE\n"
        "For example: " FIRST_COMMAND "\n",
        "\nApplication:\n",
        "\nSockets:\n",
        WSGI_FCGI_HTTP ? "\nHTTP:\n      --http ADDR "
                       : "\nHTTP:\n  not in this build: install llhttp, and configure and build it again\n\n",
        "\nLimits and time-outs:\n",
        "\nLogging:\n",
        "\nInformation:\n",
        "\n  -s, --socket ADDR ",
        "\n      --backlog N ",
        "(default: 0660)\n",
        "(default: $TMPDIR, else /tmp)\n",
        "(default: $VIRTUAL_ENV)\n",
        "\n  -h, --help ",
        "\nSIZE is in bytes, or 64K, 10M, 1G; SECONDS are 30 or 1.5, or 500ms, 5m, 2h.\n",
    };
    ck_assert_int_eq(parse(STDOUT_FILENO, "--help --nonsense"), 0);
    options_fini(&parsed);
    for (int i = 0; i < COUNT(expected); i++)
        ck_assert_msg(strstr(output, expected[i]) != NULL, "\"%s\" is not in the help", expected[i]);
    ck_assert_int_eq(strstr(output, "--server-header") != NULL, WSGI_FCGI_HTTP);
    for (const char *line = output; *line; line += strcspn(line, "\n") + 1) {
        size_t len = strcspn(line, "\n");
        ck_assert_msg(len <= 80, "longer than 80 columns: %.*s", (int)len, line);
        ck_assert_msg(!len || line[len - 1] != ' ', "ends in a space: %.*s", (int)len, line);
    }
}
END_TEST

START_TEST(test_help_unwritable)
{
    int full = open("/dev/full", O_WRONLY);
    int saved = dup(STDOUT_FILENO);
    ck_assert_int_ge(full, 0);
    fflush(stdout);
    dup2(full, STDOUT_FILENO);
    int status = parse(STDERR_FILENO, "-h");
    __fpurge(stdout);
    clearerr(stdout);
    dup2(saved, STDOUT_FILENO);
    close(full);
    close(saved);
    ck_assert_int_eq(status, EX_OSERR);
    ck_assert_str_eq(output, "wsgi-fcgi: error: --help: standard output cannot be written\n");
}
END_TEST

static const struct {
    const char *args, *complaint;
} refused[] = {
    {"a b", "\"b\" is one operand too many"},
    {":app", "nothing in front of the colon"},
    {"app:", "nothing behind the colon"},

    {"--threads abc a", "--threads: \"abc\" is not a number from 1 to 1024"},
    {"-t 0 a", "\"0\" is not a number from 1 to 1024"},
    {"-t 1025 a", "\"1025\" is not a number from 1 to 1024"},
    {"-t 1x a", "\"1x\" is not a number from 1 to 1024"},
    {"-t -1 a", "\"-1\" is not a number from 1 to 1024"},
    {"-t +1 a", "\"+1\" is not a number"},
    {"-t '' a", "\"\" is not a number"},
    {"-t 4294967297 a", "is not a number"},
    {"-t 18446744073709551617 a", "is not a number"},
    {"-t \033[1m a", "\"\\x1b[1m\" is not a number"},
    {"--socket-mode 0888 a", "--socket-mode: \"0888\" is not an octal mode from 0 to 777, such as 0660"},
    {"--socket-mode 1777 a", "is not an octal mode"},
    {"--umask 0o22 a", "--umask: \"0o22\" is not an octal mask from 0 to 777, such as 027"},
    {"--umask 1000 a", "is not an octal mask"},
    {"--limit-params 1023 a", "--limit-params: \"1023\" is not a size from 1K to 16M"},
    {"--limit-params 17M a", "is not a size from 1K to 16M"},
    {"--limit-params 17MiB a", "is not a size from 1K to 16M"},
    {"--limit-params 1KBB a", "is not a size from 1K to 16M: write bytes, or a number with K, M or G, such as 10M\n"},
    {"--limit-params 1iB a", "is not a size"},
    {"--limit-params 1.5K a", "is not a size"},
    {"--limit-params 1T a", "is not a size"},
    {"--limit-params K a", "is not a size"},
    {"--body-memory 63K a", "is not a size from 64K to 1G"},
    {"--limit-request-body 17179869185G a", "is not a size from 0 to 1024G"},
    {"--limit-request-body 1025G a", "is not a size from 0 to 1024G"},
    {"--idle-timeout 1e3 a", "--idle-timeout: \"1e3\" is not a time from 0 to 86400 seconds"},
    {"--idle-timeout 1M a", "\"1M\" is not a time from 0 to 86400 seconds: write 30 or 30s, 500ms, 5m or 2h\n"},
    {"--idle-timeout 1x a", "is not a time"},
    {"--idle-timeout s a", "is not a time"},
    {"--idle-timeout 1h30m a", "is not a time"},
    {"--idle-timeout 25h a", "is not a time from 0 to 86400 seconds"},
    {"--idle-timeout inf a", "is not a time"},
    {"--idle-timeout . a", "is not a time"},
    {"--idle-timeout 1.2.3 a", "is not a time"},
    {"--idle-timeout 86401 a", "is not a time"},
    {"--queue-timeout -1 a", "--queue-timeout: \"-1\" is not a time from 0 to 86400 seconds"},
    {"--request-timeout 1 --request-timeout-action kill a",
     "--request-timeout-action: \"kill\" is not answer or interrupt"},
    {"--request-timeout-action interrupt a",
     "--request-timeout-action is about calls beyond --request-timeout, and there is none: give --request-timeout"},
    {"--workers 2 --stuck-timeout 1 a", "--stuck-timeout is about calls beyond --request-timeout, and there is none"},
    {"--workers 2 --request-timeout 0 --stuck-timeout 1 a", "--stuck-timeout is about calls beyond --request-timeout"},
    {"--request-timeout 5 --stuck-timeout 1 a", "--stuck-timeout is for workers, and there are none"},
    {"--forwarded-fields x a", "--forwarded-fields: \"x\" is not x-forwarded, x-real-ip or forwarded"},
    {"--log-level loud a", "--log-level: \"loud\" is not error, warning, info or debug"},
    {"--script-name app a", "--script-name: \"app\" does not start with \"/\""},
    {"--warm-up x a", "--warm-up: \"x\" does not start with \"/\""},
    {"--warm-up '' a", "--warm-up: \"\" does not start with \"/\""},
    {"--warm-up /a\tb a", "\"/a\\x09b\" has a blank or a control character"},
    {"--warm-up /a\177 a", "has a blank or a control character"},
    {"--warm-up /a#b a", "has a \"#\""},
    {"--warm-up /a%2 a", "has a \"%\" that does not begin the code of a byte"},
    {"--warm-up /a% a", "has a \"%\" that does not begin the code of a byte"},
    {"--warm-up /a%00 a", "has a \"%\" that does not begin the code of a byte"},
    {"--script-name /app/ a", "ends with \"/\": write it without"},
    {"--script-name / a", "is the root: write \"\""},
    {"--socket= a", "--socket: \"\" is empty where ADDR is needed"},
    {"--chdir= a", "--chdir: \"\" is empty where DIR is needed"},

    {"a --threads", "--threads: N is missing behind it"},
    {"a -s", "--socket: ADDR is missing behind it"},
    {"--help=x a", "--help: takes no value"},
    {"--check=x a", "--check: \"x\" is not yes or no"},
    {"--sockets /x a", "unknown option --sockets: did you mean --socket?"},
    {"--scoket=/x a", "unknown option --scoket: did you mean --socket?"},
    {"--trheads 1 a", "did you mean --threads?"},
    {"--nonsense a", "unknown option --nonsense: see wsgi-fcgi --help"},
    {"--a-name-that-is-longer-than-any-name-an-option-of-this-program-has-got a", ": see wsgi-fcgi --help"},
    {"--sock /x a", "--sock may mean any of --socket, --socket-mode, --socket-owner, --socket-group"},
    {"-x a", "unknown option -x: see"},
    {"-Vx", "unknown option -x: see"},
};

START_TEST(test_refused)
{ check_refused(refused[_i].args, refused[_i].complaint); }
END_TEST

/* What a newcomer needs stands first. */
START_TEST(test_no_application)
{
    static const char *const args[] = {"", "''", "-t 3"};
    ck_assert_int_eq(parse(STDERR_FILENO, args[_i]), EX_USAGE);
    static const char first[] = "For example: " FIRST_COMMAND "\n";
    ck_assert_msg(!strncmp(output, first, sizeof first - 1), "first \"%s\"", output);
    ck_assert_ptr_nonnull(strstr(
        output, "error: no application given: write MODULE:CALLABLE behind the options; see wsgi-fcgi --help\n"));
    options_fini(&parsed);
}
END_TEST

START_TEST(test_workers)
{
    static const struct {
        const char *args;
        unsigned count;
    } cases[] = {{"app:app", 0},
                 {"--workers 1 app:app", 1},
                 {"--workers 128 app:app", 128},
                 {"--workers auto app:app", OPTIONS_WORKERS_AUTO}};
    ck_assert_int_eq(parse(STDERR_FILENO, cases[_i].args), -1);
    ck_assert_uint_eq(parsed.workers, cases[_i].count);
    options_fini(&parsed);
}
END_TEST

START_TEST(test_workers_refused)
{
    static const struct {
        const char *args, *said;
    } cases[] = {
        {"--workers 0 app:app", "--workers: \"0\" is neither auto nor a number from 1 to 128\n"},
        {"--workers 129 app:app", "--workers: \"129\" is neither auto nor a number from 1 to 128\n"},
        {"--workers many app:app", "--workers: \"many\" is neither auto nor a number from 1 to 128\n"},
        {"--max-memory 1G app:app", "--max-memory is for workers, and there are none: give --workers N as well\n"},
        {"--max-lifetime 1d app:app", "--max-lifetime is for workers, and there are none: give --workers N as well\n"},
    };
    ck_assert_int_eq(parse(STDERR_FILENO, cases[_i].args), EX_USAGE);
    ck_assert_msg(strstr(output, cases[_i].said) != NULL, "%s", output);
    options_fini(&parsed);
}
END_TEST

#define HAVE(need) (1u << OPTION_NEEDS_##need)

static const struct {
    const char *args, *said;
} foreign[] = {
    {"-b 0.0.0.0:8000 app:app", "-b is gunicorn's: here --"},
    {"-b:8000 app:app", "-b is gunicorn's: here --"},
    {"--bind=:8000 app:app", "--bind is gunicorn's: here --"},
    {"-w4 app:app", "-w is gunicorn's (workers) and uWSGI's (module): here --workers N, each of which runs"},
    {"--processes 4 app:app", "--processes is uWSGI's and mod_wsgi's: here --workers N, each of which runs"},
    {"--http-socket :8000 app:app", "--http-socket is uWSGI's: here --"},
    {"--daemonize=/var/log/app.log app:app", "it stays in the foreground"},
    {"--chmod-socket=666 app:app", "here --socket-mode MODE\n"},
    {"-m 022 app:app", "-m is gunicorn's: here --umask MODE; permissions of sockets"},
    {"--timeout 30 app:app", "--timeout is gunicorn's: here --request-timeout SECONDS, which ends one request"},
    {"--harakiri=30 app:app", "--harakiri is uWSGI's: here --request-timeout SECONDS"},
    {"--deadlock-timeout 60 app:app", "--deadlock-timeout is mod_wsgi's: here --stuck-timeout SECONDS, with"},
    /* These are beginnings of options of the server's own. */
    {"--keepalive 5 app:app",
     "--keepalive is gunicorn's, uvicorn's, waitress's and uWSGI's: here --idle-timeout SECONDS\n"},
    {"--keepalive=5 app:app",
     "--keepalive is gunicorn's, uvicorn's, waitress's and uWSGI's: here --idle-timeout SECONDS\n"},
    {"--header=X-A:b app:app", "--header is uvicorn's: here "},
};

START_TEST(test_foreign)
{ check_refused(foreign[_i].args, foreign[_i].said); }
END_TEST

/* Whether --help, in `help`, has the option that `text` begins with; *len is how long that is. */
static bool help_has(const char *help, const char *text, size_t *len) {
    char found[64];
    *len = strspn(text, "-abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
    bool letter = text[1] != '-';
    for (const char *end = letter ? ", " : " \n"; *end; end++) {
        snprintf(found, sizeof found, " %.*s%c", (int)*len, text, *end);
        if (strstr(help, found))
            return true;
    }
    return false;
}

/* No word is an option here, each is told about, with a value and without, and what is told are options of this
 * build. */
START_TEST(test_foreign_table)
{
    static char help[sizeof output];
    size_t count, len;
    ck_assert_int_eq(parse(STDOUT_FILENO, "--help"), 0);
    options_fini(&parsed);
    memcpy(help, output, sizeof help);
    const struct other_servers_row *rows = other_servers_rows(&count);
    for (const struct other_servers_row *row = rows; row < rows + count; row++) {
        for (const char *word = row->words; *word; word += strcspn(word, " "), word += *word == ' ') {
            char args[128], said[512];
            size_t n = strcspn(word, " ");
            ck_assert_msg(!help_has(help, word, &len), "\"%s\" is an option here", word);
            ck_assert_ptr_eq(other_servers_find(word, n), row);
            snprintf(said, sizeof said, "%.*s is %s: here %s\n", (int)n, word, row->whose, row->here);
            snprintf(args, sizeof args, word[1] == '-' ? "%.*s=1 a" : "%.*s1 a", (int)n, word);
            check_refused(args, said);
            snprintf(args, sizeof args, "%.*s a", (int)n, word);
            check_refused(args, said);
        }
        for (const char *text = row->here; (text = strchr(text, '-')); text += len)
            ck_assert_msg((len = 1, text > row->here && text[-1] != ' ') || help_has(help, text, &len),
                          "no option here: \"%s\"", text);
    }
    ck_assert_uint_ge(count, 30);
}
END_TEST

static const struct {
    const char *args;
    unsigned have;
    const char *said; /* lines between newlines; "" nothing */
} useless[] = {
    {"a", 0, ""},
    {"--chdir / --threads 7 --idle-timeout 3 a", 0, ""},
    {"--socket-mode 0600 --backlog 7 a", HAVE(FILE) | HAVE(OWN_SOCKET), ""},
    {"--socket-mode 0600 --backlog 7 a", HAVE(TCP),
     "--socket-mode has no effect: no socket file is made\n"
     "--backlog has no effect: all sockets were made by the parent process\n"},
    /* What is the default anyhow changes nothing anywhere. */
    {"--socket-mode 0660 --app-stderr log --forwarded-fields x-forwarded a", 0, ""},
    {"--socket-owner 1 a", 0, "--socket-owner has no effect: no socket file is made\n"},
    {"--allow any a", HAVE(UNIX),
     "--allow has no effect: it is for TCP, and no TCP socket listens: see --socket-mode and --allow-uid\n"},
    {"--allow-uid 0 --allow-gid 0 a", HAVE(TCP),
     "--allow-uid has no effect: it is for Unix sockets, and none listens: see --allow\n"
     "--allow-gid has no effect: it is for Unix sockets, and none listens: see --allow\n"},
    {"--allow-uid 0 --allow any a", HAVE(TCP) | HAVE(UNIX), ""},
    {"--app-stderr both a", HAVE(HTTP), "--app-stderr has no effect: no socket speaks FastCGI: see --socket\n"},
    {"--app-stderr both a", HAVE(FASTCGI), ""},
    {"--forwarded-fields forwarded a", 0,
     "--forwarded-fields has no effect: no proxy is named with --forwarded-allow\n"},
    {"--forwarded-fields x-real-ip a", HAVE(FORWARDED), ""},
};

START_TEST(test_useless)
{
    char expected[1024] = "", text[512];
    check_accepted(useless[_i].args);
    snprintf(text, sizeof text, "%s", useless[_i].said);
    for (char *rest = text, *line; (line = strsep(&rest, "\n")) && *line;)
        snprintf(expected + strlen(expected), sizeof expected - strlen(expected), "wsgi-fcgi: warning: %s\n", line);
    FILE *file = tmpfile();
    int saved = dup(STDERR_FILENO);
    ck_assert_int_eq(dup2(fileno(file), STDERR_FILENO), STDERR_FILENO);
    options_warn(&parsed, useless[_i].have);
    ck_assert_int_eq(dup2(saved, STDERR_FILENO), STDERR_FILENO);
    close(saved);
    rewind(file);
    output[fread(output, 1, sizeof output - 1, file)] = '\0';
    fclose(file);
    ck_assert_str_eq(output, expected);
    options_fini(&parsed);
}
END_TEST

START_TEST(test_fields)
{
    static const char *const names[] = {"x-forwarded", "x-real-ip", "forwarded"};
    static const enum forwarded_kind values[] = {FORWARDED_X, FORWARDED_X_REAL_IP, FORWARDED_RFC7239};
    char args[64];
    snprintf(args, sizeof args, "--forwarded-fields %s a", names[_i]);
    check_accepted(args);
    ck_assert_uint_eq(parsed.forwarded_fields, values[_i]);
    options_fini(&parsed);
}
END_TEST

static void check_in(const char *directory, const char *name, const char *path) {
    char expected[128];
    snprintf(expected, sizeof expected, "%s/%s", directory, name);
    ck_assert_str_eq(path, expected);
}

/* Relative paths mean the directory of the start, and what the environment has given may be overwritten. */
START_TEST(test_resolve)
{
    char directory[] = "/tmp/wsgi-fcgi-unit.XXXXXX", venv[] = "VIRTUAL_ENV=env";
    ck_assert_ptr_nonnull(mkdtemp(directory));
    ck_assert_int_eq(chdir(directory), 0);
    ck_assert_int_eq(mkdir("c:d", 0700), 0);
    clean_environment();
    putenv(venv);
    check_accepted("--spool-dir spool --pythonpath a:/b: --pythonpath c:d --socket ./app.sock a");
    ck_assert_int_eq(options_resolve(&parsed), 0);
    memset(strchr(venv, '=') + 1, 'x', 3);
    ck_assert_int_eq(rmdir("c:d"), 0);
    ck_assert_int_eq(chdir("/"), 0);
    ck_assert_int_eq(rmdir(directory), 0);
    ck_assert_str_eq(parsed.start_directory, directory);
    check_in(directory, "spool", parsed.spool_dir);
    check_in(directory, "env", parsed.venv);
    ck_assert(parsed.venv_from_env);
    ck_assert_uint_eq(parsed.pythonpath.count, 3);
    check_in(directory, "a", parsed.pythonpath.items[0]);
    ck_assert_str_eq(parsed.pythonpath.items[1], "/b");
    check_in(directory, "c:d", parsed.pythonpath.items[2]);
    ck_assert_str_eq(parsed.sockets.items[0], "./app.sock");
    options_fini(&parsed);
    clean_environment();
    check_accepted("--venv /v a");
    ck_assert_int_eq(options_resolve(&parsed), 0);
    ck_assert_str_eq(parsed.venv, "/v");
    ck_assert(!parsed.venv_from_env);
    options_fini(&parsed);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("options");
    TCase *tc = tcase_create("options");
    tcase_add_test(tc, test_defaults);
    tcase_add_test(tc, test_every_option);
    tcase_add_test(tc, test_forms);
    tcase_add_test(tc, test_twice);
    tcase_add_loop_test(tc, test_workers, 0, 4);
    tcase_add_loop_test(tc, test_workers_refused, 0, 5);
    tcase_add_loop_test(tc, test_sizes, 0, COUNT(sizes));
    tcase_add_loop_test(tc, test_times, 0, COUNT(times));
    tcase_add_loop_test(tc, test_levels, 0, COUNT(log_levels));
    tcase_add_test(tc, test_environment);
    tcase_add_test(tc, test_version);
    tcase_add_test(tc, test_help);
    tcase_add_test(tc, test_help_unwritable);
    tcase_add_loop_test(tc, test_no_application, 0, 3);
    tcase_add_loop_test(tc, test_refused, 0, COUNT(refused));
    tcase_add_loop_test(tc, test_foreign, 0, COUNT(foreign));
    tcase_add_test(tc, test_foreign_table);
    tcase_add_loop_test(tc, test_useless, 0, COUNT(useless));
    tcase_add_loop_test(tc, test_fields, 0, 3);
    tcase_add_test(tc, test_resolve);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
