/* The load itself, in one thread.
 *
 * Closed loop: a client sends its next request when it has the answer to its last. Open loop (`rate`): requests are due
 * at fixed times, whether or not earlier ones were answered, and latency counts from the time a request was due. A
 * server that stalls is so charged with every request that would have arrived meanwhile.
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

#define SECOND ((uint64_t)1000000000)
#define MILLISECOND ((uint64_t)1000000)

struct conn;

struct load {
    const char *socket;
    long clients;           /* connections at a time */
    long limit;             /* requests, unless `seconds` says when it ends */
    double seconds, warmup; /* the warm-up comes before the seconds, and is not counted */
    double rate;            /* requests a second that are due; 0: closed loop */
    double ramp;            /* closed loop: the clients begin one after the other in so many seconds */
    double max_seconds;     /* the run is given up after so many */
    int64_t body_length;    /* bytes of body that every answer must have; -1: as its Content-Length says */
    unsigned mux;           /* requests at a time on every connection */
    bool idle;              /* one request on every connection */
    bool once;              /* show the answers */
    bool progress_lines;    /* tell every second how far it is */
    bool buckets;           /* print the histogram too */
    struct request_spec spec;
    struct sockaddr_storage addr;
    socklen_t addr_len;

    /* load*.c's own from here on; times are nanoseconds of CLOCK_MONOTONIC */
    struct request *requests; /* by request id - 1 */
    struct conn *conns;
    struct histogram latency;
    char *input;
    int epoll;
    long waiting; /* connections in CONN_WAITING */
    uint64_t now, begin, measured;
    uint64_t until; /* no request begins then or later; 0: ends by count */
    uint64_t heard; /* time of the last byte that came or went */
    uint32_t *free; /* open loop: ring of (connection * mux + id - 1) that have no request under way */
    size_t free_first, free_len;
    long started;      /* closed loop: clients that have begun */
    long issued, done; /* whole run, failed ones included */
    long counted, errors, not200, bad_length, opened;
    long unanswered; /* at the end; open loop: those that were due and not sent too */
    long retried;    /* HTTP: sent again as a kept connection had been closed */
    long broken;     /* connections ended because the peer broke the protocol */
    uint64_t bytes;
    bool stalled;
    uint64_t told; /* progress: time of the last line */
    long told_done;
};

/* Prints "fcgi-load: ..." and a newline on standard error and exits. */
_Noreturn void fail(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Like calloc, but never returns NULL. */
void *allocate(size_t count, size_t size);

uint64_t clock_now(void);

/* Makes what the run needs; the fields above must be set, `addr` and `addr_len` too. */
void load_init(struct load *l);

/* Runs until the limit or the time is over, until nothing has come for ten seconds while an answer is due, or until
 * `max_seconds`. Open loop: answers are waited for up to two seconds beyond the time. */
void load_run(struct load *l);

/* Whether every request was answered with a 200 of the right length. */
bool load_was_good(const struct load *l);

/* Prints the figures in one line, as text or as a JSON object. */
void load_print(const struct load *l, bool json);

/* Prints how far the run is on standard error, once a second: a line that is written over on a terminal, lines of
 * their own otherwise if they were asked for. */
void load_tell_progress(struct load *l);

/* With `idle`: holds the connections until standard input ends. Returns how many of them did not stay open. */
long load_hold_idle(const struct load *l);

#endif
