/* The load itself: clients that send their next request when the last was answered, in one thread.
 *
 * Everything here is for a command that ends when it cannot go on: set-up errors print one line and exit with a
 * sysexits code.
 */
#ifndef WSGI_FCGI_BENCH_LOAD_H
#define WSGI_FCGI_BENCH_LOAD_H

#include "histogram.h"
#include "load-request.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct conn;

struct load {
    const char *socket;
    long clients;           /* connections at a time */
    long limit;             /* requests, unless `seconds` says when it ends */
    double seconds, warmup; /* the warm-up comes before the seconds, and is not counted */
    unsigned mux;           /* requests at a time on every connection */
    bool idle;              /* one request on every connection */
    bool once;              /* show the answers */
    struct request_spec spec;
    struct sockaddr_storage addr;
    socklen_t addr_len;

    /* load.c's own from here on */
    struct blob *requests; /* by request id - 1 */
    struct conn *conns;
    struct histogram latency;
    char *input;
    int epoll;
    long waiting;                         /* connections in CONN_WAITING */
    uint64_t now, begin, measured, until; /* `until` 0: ends by count */
    uint64_t progress;                    /* time of the last answer */
    long issued, done;                    /* whole run, failed ones included */
    long counted, errors, not200, opened;
    long broken; /* connections ended because the peer broke the protocol */
    uint64_t bytes;
    bool stalled;
};

/* Prints "fcgi-load: ..." and a newline on standard error and exits. */
_Noreturn void fail(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Makes what the run needs; the fields above must be set, `addr` and `addr_len` too. */
void load_init(struct load *l);

/* Runs until the limit or the time is over, or until no answer has come for ten seconds. */
void load_run(struct load *l);

/* Whether every request was answered with a 200. */
bool load_was_good(const struct load *l);

/* Prints the figures in one line, as text or as a JSON object. */
void load_print(const struct load *l, bool json);

/* With `idle`: holds the connections until standard input ends. Returns how many of them did not stay open. */
long load_hold_idle(const struct load *l);

#endif
