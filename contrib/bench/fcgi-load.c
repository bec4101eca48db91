#include "config.h"

#include "load.h"

#include "load-slow.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

enum { STREAMS_MAX = 1024, SECONDS_MAX = 86400, PATIENCE_MAX = 60, READ_RATE = 500 };

static const char help[] =
    "Usage: fcgi-load -s ADDRESS [OPTIONS]\n"
    "Loads a FastCGI responder or an HTTP server, and checks every answer.\n"
    "\n"
    "  -s, --socket ADDRESS   /path, @abstract, host:port or [::1]:port\n"
    "  -c, --clients N        connections at a time (default 16)\n"
    "  -n, --requests N       end after N requests (default 100000)\n"
    "  -d, --duration SECS    end after so many seconds instead\n"
    "  -w, --warm-up SECS     with -d: before that, so many seconds that are not counted\n"
    "  -r, --rate N           open loop: N requests are due each second, whatever became of the earlier ones;\n"
    "                         latency counts from when a request was due. Without it every client sends its next\n"
    "                         request when its last was answered\n"
    "      --patience SECS    open loop of visitors: requests are due at random times, N (--rate) each second, and "
    "whoever\n"
    "                         has waited so long leaves and closes the connection. While no connection is free the\n"
    "                         newest is the first to get one. A 503 counts as refused, not as wrong. Kept connections\n"
    "                         are opened before the first is due. Ends with its time. Needs --duration\n"
    "      --within SECS      with --patience: count answers that come within so many seconds; up to four times\n"
    "      --burst N          with --patience: N requests are due at once at the beginning\n"
    "      --every SECS       and again after so many seconds\n"
    "      --ramp SECS        the clients begin one after the other in so many seconds, not all at once\n"
    "      --max-time SECS    give up after so many seconds (default 600)\n"
    "  -k, --keep             many requests over one connection (FCGI_KEEP_CONN, HTTP keep-alive)\n"
    "  -m, --multiplex N      N requests at a time on every connection; implies -k; FastCGI only\n"
    "  -b, --body BYTES       POST so many bytes\n"
    "  -l, --length BYTES     every answer's body must have so many bytes\n"
    "  -u, --uri PATH         path to ask for (default /)\n"
    "  -q, --query STRING     query string\n"
    "  -o, --once             print one answer: STDOUT, and on standard error STDERR and the end\n"
    "  -H, --http             speak HTTP/1.1 instead of FastCGI\n"
    "      --idle N           open N connections, one kept request on each, print the result, then hold them\n"
    "                         open until standard input ends\n"
    "      --slow N           open N connections, one request on each, print a result when every answer has begun, "
    "then\n"
    "                         read them slowly until standard input ends, and print another\n"
    "      --read-rate N      with --slow: bytes a second that each reads (default 500)\n"
    "      --json             print the result as a JSON object\n"
    "      --histogram        print how many requests took how long, too\n"
    "      --progress         a line on standard error every second, also when that is no terminal\n"
    "  -h, --help             this text\n"
    "  -V, --version\n"
    "\n"
    "Exit status: 0 when every answer was a 200 of the right length, or with --patience a 503, 1 when not, 64 to 78 "
    "(sysexits) when the load\n"
    "could not run.\n";

enum {
    OPT_IDLE = 256,
    OPT_JSON,
    OPT_HISTOGRAM,
    OPT_PROGRESS,
    OPT_MAX_TIME,
    OPT_RAMP,
    OPT_PATIENCE,
    OPT_WITHIN,
    OPT_BURST,
    OPT_EVERY,
    OPT_SLOW,
    OPT_READ_RATE
};

static const struct option options[] = {
    {"socket", required_argument, NULL, 's'},
    {"clients", required_argument, NULL, 'c'},
    {"requests", required_argument, NULL, 'n'},
    {"duration", required_argument, NULL, 'd'},
    {"warm-up", required_argument, NULL, 'w'},
    {"rate", required_argument, NULL, 'r'},
    {"ramp", required_argument, NULL, OPT_RAMP},
    {"patience", required_argument, NULL, OPT_PATIENCE},
    {"within", required_argument, NULL, OPT_WITHIN},
    {"burst", required_argument, NULL, OPT_BURST},
    {"every", required_argument, NULL, OPT_EVERY},
    {"max-time", required_argument, NULL, OPT_MAX_TIME},
    {"keep", no_argument, NULL, 'k'},
    {"multiplex", required_argument, NULL, 'm'},
    {"body", required_argument, NULL, 'b'},
    {"length", required_argument, NULL, 'l'},
    {"uri", required_argument, NULL, 'u'},
    {"query", required_argument, NULL, 'q'},
    {"once", no_argument, NULL, 'o'},
    {"http", no_argument, NULL, 'H'},
    {"idle", required_argument, NULL, OPT_IDLE},
    {"slow", required_argument, NULL, OPT_SLOW},
    {"read-rate", required_argument, NULL, OPT_READ_RATE},
    {"json", no_argument, NULL, OPT_JSON},
    {"histogram", no_argument, NULL, OPT_HISTOGRAM},
    {"progress", no_argument, NULL, OPT_PROGRESS},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0},
};

static double parse_real(const char *what, const char *text, double min, double max) {
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !(value >= min && value <= max))
        fail(EX_USAGE, "%s: \"%s\" is not a number from %g to %g", what, text, min, max);
    return value;
}

/* Returns whether the result is wanted as JSON. */
static bool parse_options(struct load *l, int argc, char **argv) {
    bool json = false;
    for (int o; (o = getopt_long(argc, argv, "s:c:n:d:w:r:km:b:l:u:q:oHhV", options, NULL)) != -1;) {
        switch (o) {
        case 's':
            l->socket = optarg;
            break;
        case 'c':
            l->clients = parse_count("--clients", optarg, 1, 1000000);
            break;
        case 'n':
            l->limit = parse_count("--requests", optarg, 1, LONG_MAX);
            break;
        case 'd':
            l->seconds = parse_real("--duration", optarg, 0.001, SECONDS_MAX);
            break;
        case 'w':
            l->warmup = parse_real("--warm-up", optarg, 0, SECONDS_MAX);
            break;
        case 'r':
            l->rate = parse_real("--rate", optarg, 0.01, 1e6);
            break;
        case OPT_RAMP:
            l->ramp = parse_real("--ramp", optarg, 0, SECONDS_MAX);
            break;
        case OPT_PATIENCE:
            l->patience = parse_real("--patience", optarg, 0.001, PATIENCE_MAX);
            break;
        case OPT_WITHIN:
            if (l->nwithin == WITHIN_MAX)
                fail(EX_USAGE, "--within: %d times at most", WITHIN_MAX);
            l->within[l->nwithin++] = parse_real("--within", optarg, 0.001, PATIENCE_MAX);
            break;
        case OPT_BURST:
            l->burst = parse_count("--burst", optarg, 1, 1000000);
            break;
        case OPT_EVERY:
            l->burst_every = parse_real("--every", optarg, 0.1, SECONDS_MAX);
            break;
        case OPT_MAX_TIME:
            l->max_seconds = parse_real("--max-time", optarg, 0.001, SECONDS_MAX);
            break;
        case 'k':
            l->spec.keep = true;
            break;
        case 'm':
            l->mux = (unsigned)parse_count("--multiplex", optarg, 1, STREAMS_MAX);
            l->spec.keep = true;
            break;
        case 'b':
            l->spec.body = (size_t)parse_count("--body", optarg, 0, 1L << 30);
            break;
        case 'l':
            l->body_length = parse_count("--length", optarg, 0, LONG_MAX);
            break;
        case 'u':
            l->spec.uri = optarg;
            break;
        case 'q':
            l->spec.query = optarg;
            break;
        case 'o':
            l->once = true;
            break;
        case 'H':
            l->spec.http = true;
            break;
        case OPT_IDLE:
            l->idle = l->spec.keep = true;
            l->clients = parse_count("--idle", optarg, 1, 1000000);
            break;
        case OPT_SLOW:
            l->clients = parse_count("--slow", optarg, 1, 1000000);
            l->slow = true;
            break;
        case OPT_READ_RATE:
            l->read_rate = parse_real("--read-rate", optarg, 1, 1e9);
            break;
        case OPT_JSON:
            json = true;
            break;
        case OPT_HISTOGRAM:
            l->buckets = true;
            break;
        case OPT_PROGRESS:
            l->progress_lines = true;
            break;
        case 'h':
            fputs(help, stdout);
            exit(0);
        case 'V':
            puts("fcgi-load " PACKAGE_VERSION);
            exit(0);
        default:
            fail(EX_USAGE, "see fcgi-load --help");
        }
    }
    return json;
}

static void check_slow(struct load *l) {
    if (l->slow && (l->rate > 0 || l->idle || l->once || l->mux > 1 || l->seconds > 0))
        fail(EX_USAGE, "--slow does not go with --rate, --idle, --once, --multiplex or --duration");
    if (l->read_rate > 0 && !l->slow)
        fail(EX_USAGE, "--read-rate needs --slow");
    if (l->slow && l->read_rate <= 0)
        l->read_rate = READ_RATE;
}

static void check_options(struct load *l, bool operands) {
    if (!l->socket || operands)
        fail(EX_USAGE, "%s; see fcgi-load --help", operands ? "only options, please" : "--socket is missing");
    if (l->warmup > 0 && l->seconds <= 0)
        fail(EX_USAGE, "--warm-up needs --duration");
    if (*l->spec.uri != '/')
        fail(EX_USAGE, "--uri: the path begins with \"/\"");
    if (l->mux > 1 && (l->spec.http || l->idle || l->once))
        fail(EX_USAGE, "--multiplex does not go with --http, --idle or --once");
    if (l->ramp > 0 && l->rate > 0)
        fail(EX_USAGE, "--ramp does not go with --rate, where requests have their times already");
    if (l->rate > 0 && (l->idle || l->once))
        fail(EX_USAGE, "--rate does not go with --idle or --once");
    check_slow(l);
    if (l->patience <= 0 && (l->nwithin || l->burst))
        fail(EX_USAGE, "--within and --burst need --patience");
    if (l->burst_every > 0 && !l->burst)
        fail(EX_USAGE, "--every needs --burst");
    if (l->patience > 0 && (l->seconds <= 0 || (l->rate <= 0 && !l->burst)))
        fail(EX_USAGE, "--patience needs --duration, and --rate or --burst");
    if (l->patience > 0 && (l->mux > 1 || l->idle || l->once || l->ramp > 0))
        fail(EX_USAGE, "--patience does not go with --multiplex, --idle, --once or --ramp");
    if (l->once)
        l->clients = 1;
    if (l->once || l->idle) {
        l->limit = l->clients;
        l->seconds = l->warmup = 0;
    }
}

int main(int argc, char **argv) {
    static struct load load = {
        .clients = 16,
        .limit = 100000,
        .mux = 1,
        .max_seconds = 600,
        .body_length = -1,
        .spec = {.uri = "/", .query = ""},
    };
    bool json = parse_options(&load, argc, argv);
    check_options(&load, optind < argc);
    address_parse(load.socket, &load.addr, &load.addr_len);
    load_init(&load);
    if (load.slow)
        return load_run_slow(&load, json) ? 0 : 1;
    load_run(&load);
    if (!load.once)
        load_print(&load, json);
    bool held = !load.idle || !load_hold_idle(&load);
    return held && load_was_good(&load) ? 0 : 1;
}
