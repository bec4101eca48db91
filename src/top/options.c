#include "config.h"

#include "top/options.h"

#include "base/ascii.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#define VARIABLE "WSGI_FCGI_TOP"

enum { INTERVAL_MS = 2000, INTERVAL_LEAST_MS = 100, INTERVAL_MOST_S = 3600 };

static const char help[] = "Usage: wsgi-fcgi-top [OPTIONS] [ADDRESS]\n"
                           "\n"
                           "Shows what a wsgi-fcgi server is doing, from its status page.\n"
                           "\n"
                           "ADDRESS: a socket of the server, or of its --status; $" VARIABLE " where it is left out:\n"
                           "  /run/app.sock, localhost:9000         FastCGI or HTTP: found by trying\n"
                           "  http://localhost:9000/status          with protocol and path\n"
                           "  fcgi:///run/app.sock?path=/status\n"
                           "\n"
                           "Options:\n"
                           "  --path PATH         the server's --status-path (default: " TARGET_DEFAULT_PATH ")\n"
                           "  --interval SECONDS  between two looks (default: 2)\n"
                           "  --once              one look as text; no terminal is needed\n"
                           "  --stacks            with --once: the whole stack of each request\n"
                           "  --json              the document as it came\n"
                           "  --health            whether it is fit to get requests: a line, and status 0 or 1\n"
                           "  -h, --help          this text\n"
                           "  -V, --version       the version\n"
                           "\n"
                           "Keys: q quits, the others are shown by ?.\n";

static bool wrong(int *status, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool wrong(int *status, const char *format, ...) {
    va_list args;
    fprintf(stderr, "wsgi-fcgi-top: ");
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\n");
    *status = EX_USAGE;
    return false;
}

/* Seconds with up to three decimals. */
static bool read_interval(const char *text, unsigned *ms) {
    uint64_t whole = 0, part = 0;
    const char *p = *text == '.' ? text : ascii_read_number(text, 10, &whole);
    if (!p || whole > INTERVAL_MOST_S || (*p && *p != '.'))
        return false;
    p += *p == '.';
    for (unsigned unit = 100; ascii_is_digit(*p); p++, unit /= 10)
        part += unit * (unsigned)(*p - '0');
    *ms = (unsigned)(whole * 1000 + part);
    return !*p && *ms >= INTERVAL_LEAST_MS && *ms <= INTERVAL_MOST_S * 1000;
}

/* What is left of the command line: the address. */
static bool read_target(struct options *o, int argc, char **argv, const char *path, int *status) {
    const char *given = optind < argc ? argv[optind] : getenv(VARIABLE);
    const char *from = optind < argc ? "" : VARIABLE ": ", *problem;
    if (argc - optind > 1)
        return wrong(status, "one address, and not \"%s\" as well: see --help", argv[optind + 1]);
    if (!given || !*given)
        return wrong(
            status, "no address: name a socket of the server, as in \"wsgi-fcgi-top /run/app.sock\", or set " VARIABLE);
    problem = path ? target_check_path(path) : NULL;
    if (problem)
        return wrong(status, "--path %s: %s", path, problem);
    problem = target_parse(&o->target, given, path);
    if (problem)
        return wrong(status, "%s%s: %s", from, given, problem);
    o->shown = given;
    return true;
}

bool options_read(struct options *o, int argc, char **argv, int *status) {
    enum { PATH = 256, INTERVAL, ONCE, STACKS, JSON, HEALTH };
    static const struct option options[] = {
        {"path", required_argument, NULL, PATH},
        {"interval", required_argument, NULL, INTERVAL},
        {"once", no_argument, NULL, ONCE},
        {"stacks", no_argument, NULL, STACKS},
        {"json", no_argument, NULL, JSON},
        {"health", no_argument, NULL, HEALTH},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},
        {NULL, 0, NULL, 0},
    };
    const char *path = NULL;
    *o = (struct options){.interval_ms = INTERVAL_MS};
    opterr = 0;
    for (int c; (c = getopt_long(argc, argv, ":hV", options, NULL)) != -1;) {
        switch (c) {
        case PATH:
            path = optarg;
            break;
        case INTERVAL:
            if (!read_interval(optarg, &o->interval_ms))
                return wrong(status, "--interval %s: write seconds from 0.1 to %d", optarg, INTERVAL_MOST_S);
            break;
        case ONCE:
            o->once = true;
            break;
        case STACKS:
            o->stacks = true;
            break;
        case JSON:
            o->json = true;
            break;
        case HEALTH:
            o->health = true;
            break;
        case 'h':
        case 'V':
            fputs(c == 'h' ? help : "wsgi-fcgi-top " PACKAGE_VERSION "\n", stdout);
            *status = fflush(stdout) ? EX_IOERR : EX_OK;
            return false;
        case ':':
            return wrong(status, "%s needs a value: see --help", argv[optind - 1]);
        default:
            return wrong(status, "%s: unknown option: see --help", argv[optind - 1]);
        }
    }
    if (o->json + o->once + o->health > 1)
        return wrong(status, "--json, --once and --health: use one of them");
    if (o->stacks && !o->once)
        return wrong(status, "--stacks is for --once; on the screen the key s shows the stack of a request");
    return read_target(o, argc, argv, path, status);
}
