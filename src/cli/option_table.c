#include "config.h"

#include "cli/options.h"

#include "cli/foreign.h"
#include "cli/help.h"
#include "cli/value.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#define FIELD(name) offsetof(struct options, name)
#define KIB (UINT64_C(1) << 10)
#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)
#define DAY_MS (UINT64_C(24) * 3600 * 1000)

static const struct option_row rows[] = {
    {.name = "chdir",
     .arg = "DIR",
     .group = OPTION_GROUP_APPLICATION,
     .parse = value_parse_string,
     .offset = FIELD(chdir),
     .otherwise = "the current directory",
     .help = "directory to run in; it is on sys.path as well"},
    {.name = "pythonpath",
     .arg = "DIR",
     .group = OPTION_GROUP_APPLICATION,
     .parse = value_parse_list,
     .offset = FIELD(pythonpath),
     .otherwise = "none",
     .help = "further directory in front of sys.path, or several, a:b; may be repeated"},
    {.name = "venv",
     .arg = "DIR",
     .group = OPTION_GROUP_APPLICATION,
     .parse = value_parse_string,
     .offset = FIELD(venv),
     .env = "VIRTUAL_ENV",
     .help = "virtual environment to use; its bin, or a file in that, will do"},
    {.name = "script-name",
     .arg = "PREFIX",
     .group = OPTION_GROUP_APPLICATION,
     .parse = value_parse_prefix,
     .offset = FIELD(script_name),
     .fallback = "",
     .otherwise = "none",
     .help = "path the application is mounted at, such as /app"},
    {.name = "stream-body",
     .group = OPTION_GROUP_APPLICATION,
     .parse = value_parse_flag,
     .offset = FIELD(stream_body),
     .help = "call the application as soon as the header of a request is there; it reads the body while it comes"},
    {.name = "check",
     .group = OPTION_GROUP_APPLICATION,
     .parse = value_parse_flag,
     .offset = FIELD(check),
     .help = "load everything, say what was found, and exit"},

    {.name = "socket",
     .letter = 's',
     .arg = "ADDR",
     .group = OPTION_GROUP_SOCKETS,
     .parse = value_parse_list,
     .offset = FIELD(sockets),
     .otherwise = "descriptor 0 when it is a listening socket",
     .help = "speak FastCGI here: /path, ./path, name.sock, unix:path, @name, port (of 127.0.0.1), :port (of every "
             "address), host:port, [::1]:port or fd:N; may be repeated"},
    {.name = "socket-mode",
     .arg = "MODE",
     .group = OPTION_GROUP_SOCKETS,
     .parse = value_parse_mode,
     .max = 0777,
     .offset = FIELD(socket_mode),
     .fallback = "0660",
     .need = OPTION_NEEDS_FILE,
     .help = "permissions of Unix socket files, octal"},
    {.name = "socket-owner",
     .arg = "USER",
     .group = OPTION_GROUP_SOCKETS,
     .parse = value_parse_string,
     .offset = FIELD(socket_owner),
     .otherwise = "the server's user",
     .need = OPTION_NEEDS_FILE,
     .help = "owner of Unix socket files"},
    {.name = "socket-group",
     .arg = "GROUP",
     .group = OPTION_GROUP_SOCKETS,
     .parse = value_parse_string,
     .offset = FIELD(socket_group),
     .otherwise = "the server's group",
     .need = OPTION_NEEDS_FILE,
     .help = "group of Unix socket files"},
    {.name = "backlog",
     .arg = "N",
     .group = OPTION_GROUP_SOCKETS,
     .parse = value_parse_number,
     .min = 1,
     .max = 65535,
     .offset = FIELD(backlog),
     .fallback = "511",
     .need = OPTION_NEEDS_OWN_SOCKET,
     .help = "connections that may wait to be accepted, per socket"},
    {.name = "allow",
     .arg = "ADDR",
     .group = OPTION_GROUP_SOCKETS,
     .parse = value_parse_list,
     .offset = FIELD(allow),
     .otherwise = "HTTP: any; FastCGI: $FCGI_WEB_SERVER_ADDRS, else 127.0.0.0/8 and ::1",
     .need = OPTION_NEEDS_TCP,
     .help = "TCP peers that may connect: an address, a network (10.0.0.0/8) or any; may be repeated"},
    {.name = "allow-uid",
     .arg = "USER",
     .group = OPTION_GROUP_SOCKETS,
     .parse = value_parse_list,
     .offset = FIELD(allow_uid),
     .otherwise = "every user",
     .need = OPTION_NEEDS_UNIX,
     .help = "user that may connect to Unix sockets; may be repeated"},
    {.name = "allow-gid",
     .arg = "GROUP",
     .group = OPTION_GROUP_SOCKETS,
     .parse = value_parse_list,
     .offset = FIELD(allow_gid),
     .otherwise = "every group",
     .need = OPTION_NEEDS_UNIX,
     .help = "group whose users may connect to Unix sockets; may be repeated"},
    {.name = "forwarded-allow",
     .arg = "ADDR",
     .group = OPTION_GROUP_SOCKETS,
     .parse = value_parse_list,
     .offset = FIELD(forwarded_allow),
     .otherwise = "none",
     .help = "proxy whose word about the client counts: an address, a network, any, or unix for peers of Unix "
             "sockets; over FastCGI the web server and the proxy in front of it; may be repeated"},
    {.name = "forwarded-fields",
     .arg = "KIND",
     .group = OPTION_GROUP_SOCKETS,
     .parse = value_parse_fields,
     .offset = FIELD(forwarded_fields),
     .fallback = "x-forwarded",
     .need = OPTION_NEEDS_FORWARDED,
     .help = "what these proxies set: x-forwarded (X-Forwarded-For, -Proto, -Host, -Port, -Prefix), x-real-ip "
             "(X-Real-IP in place of X-Forwarded-For) or forwarded (RFC 7239)"},

    {.name = "http",
     .arg = "ADDR",
     .group = OPTION_GROUP_HTTP,
     .parse = value_parse_list,
     .offset = FIELD(http),
     .otherwise = "none",
     .http = true,
     .help = "speak HTTP/1.1 here: port (of 127.0.0.1), :port (of every address) or what else --socket takes; may be "
             "repeated"},
    {.name = "server-header",
     .arg = "TEXT",
     .group = OPTION_GROUP_HTTP,
     .parse = value_parse_field,
     .offset = FIELD(server_header),
     .fallback = "wsgi-fcgi",
     .http = true,
     .need = OPTION_NEEDS_HTTP,
     .help = "value of the Server field of answers; none: no such field"},
    {.name = "proxy-protocol",
     .group = OPTION_GROUP_HTTP,
     .parse = value_parse_flag,
     .offset = FIELD(proxy_protocol),
     .http = true,
     .need = OPTION_NEEDS_HTTP,
     .help = "their connections begin with a header of the PROXY protocol, version 1 or 2"},
    {.name = "min-body-rate",
     .arg = "SIZE",
     .group = OPTION_GROUP_HTTP,
     .parse = value_parse_size,
     .max = GIB,
     .offset = FIELD(min_body_rate),
     .fallback = "100",
     .http = true,
     .need = OPTION_NEEDS_HTTP,
     .help = "bytes per second at which a request body has to come, in each period of --header-timeout; 0: any"},

    {.name = "threads",
     .letter = 't',
     .arg = "N",
     .group = OPTION_GROUP_LIMITS,
     .parse = value_parse_number,
     .min = 1,
     .max = 1024,
     .offset = FIELD(threads),
     .fallback = "32",
     .help = "application calls that may run at a time"},
    {.name = "queue-limit",
     .arg = "N",
     .group = OPTION_GROUP_LIMITS,
     .parse = value_parse_number,
     .min = 1,
     .max = 1000000,
     .offset = FIELD(queue_limit),
     .fallback = "1024",
     .help = "requests that may wait for a thread; more are answered with 503"},
    {.name = "queue-timeout",
     .arg = "SECONDS",
     .group = OPTION_GROUP_LIMITS,
     .parse = value_parse_seconds,
     .min = 1,
     .max = DAY_MS,
     .offset = FIELD(queue_timeout),
     .fallback = "30",
     .help = "answer a request with 503 when it has waited this long for a thread"},
    {.name = "drop-abandoned",
     .group = OPTION_GROUP_LIMITS,
     .parse = value_parse_flag,
     .offset = FIELD(drop_abandoned),
     .help = "do not call the application for a request whose client left while it waited for a thread"},
    {.name = "limit-request-body",
     .arg = "SIZE",
     .group = OPTION_GROUP_LIMITS,
     .parse = value_parse_size,
     .max = 1024 * GIB,
     .offset = FIELD(limit_request_body),
     .fallback = "1G",
     .help = "largest request body, in bytes or with K, M or G; 0: no limit"},
    {.name = "limit-params",
     .arg = "SIZE",
     .group = OPTION_GROUP_LIMITS,
     .parse = value_parse_size,
     .min = KIB,
     .max = 16 * MIB,
     .offset = FIELD(limit_params),
     .fallback = "128K",
     .help = "most bytes in the parameters (headers, URL) of a request"},
    {.name = "limit-param-count",
     .arg = "N",
     .group = OPTION_GROUP_LIMITS,
     .parse = value_parse_number,
     .min = 1,
     .max = 100000,
     .offset = FIELD(limit_param_count),
     .fallback = "1000",
     .help = "most parameters of a request"},
    {.name = "body-memory",
     .arg = "SIZE",
     .group = OPTION_GROUP_LIMITS,
     .parse = value_parse_size,
     .min = 64 * KIB,
     .max = GIB,
     .offset = FIELD(body_memory),
     .fallback = "256K",
     .help = "request body kept in memory, per request; the rest is spooled to a file"},
    {.name = "spool-dir",
     .arg = "DIR",
     .group = OPTION_GROUP_LIMITS,
     .parse = value_parse_string,
     .offset = FIELD(spool_dir),
     .env = "TMPDIR",
     .fallback = "/tmp",
     .help = "directory for spooled request bodies"},
    {.name = "idle-timeout",
     .arg = "SECONDS",
     .group = OPTION_GROUP_LIMITS,
     .parse = value_parse_seconds,
     .max = DAY_MS,
     .offset = FIELD(idle_timeout),
     .fallback = "120",
     .help = "close a connection on which nothing has happened for this long; 0: never"},
    {.name = "header-timeout",
     .arg = "SECONDS",
     .group = OPTION_GROUP_LIMITS,
     .parse = value_parse_seconds,
     .max = DAY_MS,
     .offset = FIELD(header_timeout),
     .fallback = "30",
     .help =
         "answer a request with 408 when its parameters are not complete after this long, or its body has not begun "
         "to come so long behind them (HTTP); 0: never"},
    {.name = "max-connections",
     .arg = "N",
     .group = OPTION_GROUP_LIMITS,
     .parse = value_parse_number,
     .min = 1,
     .max = 1000000,
     .offset = FIELD(max_connections),
     .otherwise = "three quarters of the limit of open files",
     .help = "connections that may be open; idle ones are closed for more, else these wait in the backlog"},
    {.name = "keepalive-requests",
     .arg = "N",
     .group = OPTION_GROUP_LIMITS,
     .parse = value_parse_number,
     .max = 1000000000,
     .offset = FIELD(keepalive_requests),
     .fallback = "0",
     .help = "close a kept connection after so many requests; 0: never"},
    {.name = "graceful-timeout",
     .arg = "SECONDS",
     .group = OPTION_GROUP_LIMITS,
     .parse = value_parse_seconds,
     .max = DAY_MS,
     .offset = FIELD(graceful_timeout),
     .fallback = "30",
     .help = "how long running requests may take to finish after SIGTERM; 0: do not wait"},

    {.name = "log-level",
     .arg = "LEVEL",
     .group = OPTION_GROUP_LOGGING,
     .parse = value_parse_level,
     .offset = FIELD(log_level),
     .fallback = "info",
     .help = "error, warning, info or debug"},
    {.name = "app-stderr",
     .arg = "WHERE",
     .group = OPTION_GROUP_LOGGING,
     .parse = value_parse_stderr,
     .offset = FIELD(app_stderr),
     .fallback = "log",
     .need = OPTION_NEEDS_FASTCGI,
     .help = "where wsgi.errors goes: log, fastcgi (to the web server) or both"},

    {.name = "version",
     .letter = 'V',
     .group = OPTION_GROUP_INFORMATION,
     .parse = value_parse_flag,
     .offset = FIELD(version),
     .help = "print the versions of the program, Python and libev and the build options, and exit"},
    {.name = "help", .letter = 'h', .group = OPTION_GROUP_INFORMATION, .help = "print this text and exit"},
};

enum { ROW_COUNT = sizeof(rows) / sizeof(rows[0]), LONG_BASE = 256, SHOWN_SIZE = 100 };
_Static_assert((int)ROW_COUNT <= (int)OPTIONS_MAX, "one bit of options.given each");

static char *field_of(struct options *o, const struct option_row *row) {
    return (char *)o + row->offset;
}

static int set_defaults(struct options *o) {
    char reason[VALUE_REASON_SIZE];
    *o = (struct options){0};
    for (const struct option_row *row = rows; row < rows + ROW_COUNT; row++) {
        const char *text = row->env ? getenv(row->env) : NULL;
        if (!text || !*text)
            text = row->fallback;
        int status = text ? row->parse(row, text, field_of(o, row), reason) : 0;
        if (status) {
            log_error("default of --%s: %s", row->name, reason);
            return status;
        }
    }
    return 0;
}

static const struct option_row *find_row(int code) {
    if (code >= LONG_BASE)
        return &rows[code - LONG_BASE];
    for (const struct option_row *row = rows; row < rows + ROW_COUNT; row++)
        if (row->letter == code)
            return row;
    return NULL;
}

static int print_help(void) {
    help_print(stdout, rows, ROW_COUNT);
    if (fflush(stdout) || ferror(stdout)) {
        log_error("--help: standard output cannot be written");
        return EX_OSERR;
    }
    return 0;
}

/* The last one counts, as wrappers expect that add options of their own. *before is what was given until now, or NULL. */
static void warn_twice(const struct option_row *row, const char **before, const char *text) {
    char first[SHOWN_SIZE], last[SHOWN_SIZE];
    if (!row->arg || row->parse == value_parse_list)
        return;
    if (*before && strcmp(*before, text) != 0)
        log_warning("--%s is given twice, \"%s\" and \"%s\": the last one counts", row->name,
                    log_escape(first, sizeof first, *before, strlen(*before)),
                    log_escape(last, sizeof last, text, strlen(text)));
    *before = text;
}

static int apply(struct options *o, const struct option_row *row, const char *text, const char **before) {
    char reason[VALUE_REASON_SIZE];
    if (!row->parse)
        return print_help();
    if (row->http && !WSGI_FCGI_HTTP) {
        log_error("--%s: this program was built without HTTP: install llhttp (apt-get install node-llhttp or "
                  "libllhttp-dev), and configure and build it again",
                  row->name);
        return EX_USAGE;
    }
    warn_twice(row, before, text);
    int status = row->parse(row, text, field_of(o, row), reason);
    if (status)
        log_error("--%s: %s", row->name, reason);
    else if (!row->fallback || strcmp(text, row->fallback) != 0)
        o->given |= UINT64_C(1) << (row - rows);
    return status ? status : -1;
}

static size_t min_size(size_t a, size_t b) {
    return a < b ? a : b;
}

/* Levenshtein distance; SIZE_MAX when a text is longer than any option. */
static size_t edit_distance(const char *a, size_t a_len, const char *b, size_t b_len) {
    size_t line[64];
    if (a_len >= 64 || b_len >= 64)
        return SIZE_MAX;
    for (size_t j = 0; j <= b_len; j++)
        line[j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        size_t diagonal = line[0];
        line[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t replace = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = line[j];
            line[j] = min_size(replace, min_size(line[j], line[j - 1]) + 1);
        }
    }
    return line[b_len];
}

static const char *nearest_option(const char *name, size_t len) {
    const char *nearest = NULL;
    size_t best = len / 3 < 3 ? len / 3 + 1 : 4;
    for (const struct option_row *row = rows; row < rows + ROW_COUNT; row++) {
        size_t distance = edit_distance(name, len, row->name, strlen(row->name));
        if (distance < best) {
            best = distance;
            nearest = row->name;
        }
    }
    return nearest;
}

/* The long options that start with `name`, as text; "" when fewer than two do. */
static const char *ambiguous_options(const char *name, size_t len, char *out, size_t size) {
    size_t matches = 0, used = 0;
    for (const struct option_row *row = rows; row < rows + ROW_COUNT; row++) {
        if (strncmp(row->name, name, len) != 0)
            continue;
        int n = snprintf(out + used, size - used, "%s--%s", matches++ ? ", " : "", row->name);
        used = min_size(used + (size_t)n, size - 1);
    }
    return matches > 1 ? out : "";
}

/* Whether the word, with its dashes, is an option of another server; says what to type here then. */
static bool complain_foreign(const char *word) {
    size_t len = strcspn(word, "=");
    const struct foreign_row *row = foreign_find(word, len);
    if (row)
        log_error("%.*s is %s: here %s", (int)len, word, row->whose, row->here);
    return row != NULL;
}

static int complain_long(const char *arg) {
    char shown[SHOWN_SIZE], candidates[512];
    size_t len = strcspn(arg, "=") - 2;
    const char *name = arg + 2, *nearest = nearest_option(name, len);
    if (complain_foreign(arg))
        return EX_USAGE;
    log_escape(shown, sizeof(shown), arg, len + 2);
    if (*ambiguous_options(name, len, candidates, sizeof(candidates)))
        log_error("%s may mean any of %s: write it in full", shown, candidates);
    else if (nearest)
        log_error("unknown option %s: did you mean --%s?", shown, nearest);
    else
        log_error("unknown option %s: see wsgi-fcgi --help", shown);
    return EX_USAGE;
}

/* What getopt_long refused: `code` is '?' or ':', and optopt tells which of its cases it is. */
static int complain(int code, const char *last) {
    char shown[SHOWN_SIZE];
    const char letter[] = {'-', (char)optopt, '\0'};
    const struct option_row *row = optopt ? find_row(optopt) : NULL;
    if (row && code == ':')
        log_error("--%s: %s is missing behind it", row->name, row->arg);
    else if (row)
        log_error("--%s: takes no value", row->name);
    else if (!optopt)
        return complain_long(last);
    else if (!complain_foreign(letter))
        log_error("unknown option %s: see wsgi-fcgi --help", log_escape(shown, sizeof(shown), letter, 2));
    return EX_USAGE;
}

static int take_application(struct options *o, char *const *operands) {
    char shown[SHOWN_SIZE];
    const char *given = operands[0];
    if (!given || !*given) {
        help_show_example();
        log_error("no application given: write MODULE:CALLABLE behind the options; see wsgi-fcgi --help");
        return EX_USAGE;
    }
    if (operands[1]) {
        log_error("\"%s\" is one operand too many: only one MODULE:CALLABLE is served",
                  log_escape(shown, sizeof(shown), operands[1], strlen(operands[1])));
        return EX_USAGE;
    }
    size_t module_len = strcspn(given, ":");
    if (!module_len || (given[module_len] && !given[module_len + 1])) {
        log_error("\"%s\" has nothing %s the colon: write MODULE:CALLABLE, for example app:app",
                  log_escape(shown, sizeof(shown), given, strlen(given)), module_len ? "behind" : "in front of");
        return EX_USAGE;
    }
    o->application = given;
    return -1;
}

/* The table in the form getopt_long wants: the code of a long option is LONG_BASE plus its row. */
static void make_getopt_tables(struct option *longs, char *letters) {
    *letters++ = ':';
    for (int i = 0; i < ROW_COUNT; i++) {
        longs[i] = (struct option){rows[i].name, rows[i].arg ? required_argument : no_argument, NULL, LONG_BASE + i};
        if (!rows[i].letter)
            continue;
        *letters++ = rows[i].letter;
        if (rows[i].arg)
            *letters++ = ':';
    }
    longs[ROW_COUNT] = (struct option){0};
    *letters = '\0';
}

/* The word of the option that getopt_long has just returned: its value may be in the same word or in the next one. */
static const char *typed_word(char **argv) {
    const char *last = argv[optind - 1];
    return optarg == last ? argv[optind - 2] : last;
}

int options_parse(struct options *o, int argc, char **argv) {
    struct option longs[ROW_COUNT + 1];
    const char *before[ROW_COUNT] = {0};
    char letters[2 * ROW_COUNT + 2];
    int status = set_defaults(o);
    if (status)
        return status;
    make_getopt_tables(longs, letters);
    opterr = 0;
    optind = 0; /* glibc: start afresh, whoever parsed before */
    for (int code; (code = getopt_long(argc, argv, letters, longs, NULL)) != -1;) {
        /* --keepalive is not short for --keepalive-requests. */
        if (code >= LONG_BASE && complain_foreign(typed_word(argv)))
            return EX_USAGE;
        const struct option_row *row = code == '?' || code == ':' ? NULL : find_row(code);
        status = row ? apply(o, row, optarg, &before[row - rows]) : complain(code, argv[optind - 1]);
        if (status != -1)
            return status;
    }
    return o->version ? -1 : take_application(o, argv + optind);
}

void options_warn(const struct options *o, unsigned have) {
    static const char *const lacks[] = {
        [OPTION_NEEDS_FILE] = "no socket file is made",
        [OPTION_NEEDS_OWN_SOCKET] = "all sockets were made by the parent process",
        [OPTION_NEEDS_TCP] = "it is for TCP, and no TCP socket listens: see --socket-mode and --allow-uid",
        [OPTION_NEEDS_UNIX] = "it is for Unix sockets, and none listens: see --allow",
        [OPTION_NEEDS_HTTP] = "no socket speaks HTTP: see --http",
        [OPTION_NEEDS_FASTCGI] = "no socket speaks FastCGI: see --socket",
        [OPTION_NEEDS_FORWARDED] = "no proxy is named with --forwarded-allow",
    };
    for (int i = 0; i < ROW_COUNT; i++) {
        if (o->given >> i & 1 && rows[i].need && !(have >> rows[i].need & 1))
            log_warning("--%s has no effect: %s", rows[i].name, lacks[rows[i].need]);
    }
}

void options_fini(struct options *o) {
    free(o->sockets.items);
    free(o->http.items);
    free(o->forwarded_allow.items);
    free(o->allow.items);
    free(o->allow_uid.items);
    free(o->allow_gid.items);
    free(o->pythonpath.items);
    *o = (struct options){0};
}
