/* The load itself, in one thread.
 *
 * Closed loop: a client sends its next request when it has the answer to its last. Open loop (`rate`): requests are due
 * at fixed times, whether or not earlier ones were answered, and latency counts from the time a request was due. A
 * server that stalls is so charged with every request that would have arrived meanwhile. With `patience` it is another
 * open loop, for overload: see load-visitors.h.
 */
#ifndef WSGI_FCGI_BENCH_LOAD_H
#define WSGI_FCGI_BENCH_LOAD_H

#include "histogram.h"
#include "load-base.h"
#include "load-request.h"

#include <stdbool.h>
#include <stdint.h>

enum { WITHIN_MAX = 4 };

struct conn;
struct visitors;

struct load {
    const char *socket;
    long clients;              /* connections at a time */
    long limit;                /* requests, unless `seconds` says when it ends */
    double seconds, warmup;    /* the warm-up comes before the seconds, and is not counted */
    double rate;               /* requests a second that are due; 0: closed loop */
    double ramp;               /* closed loop: the clients begin one after the other in so many seconds */
    double patience;           /* seconds after which who waits leaves; 0: nobody does */
    long burst;                /* with `patience`: requests that are due at once, at the beginning */
    double burst_every;        /* and again after so many seconds; 0: never */
    double within[WITHIN_MAX]; /* with `patience`: answers that come within so many seconds are counted */
    unsigned nwithin;
    double max_seconds;  /* the run is given up after so many */
    int64_t body_length; /* bytes of body that every answer must have; -1: as its Content-Length says */
    unsigned mux;        /* requests at a time on every connection */
    bool idle;           /* one request on every connection */
    bool once;           /* show the answers */
    bool slow;           /* one request on every connection, whose answer is read at `read_rate` */
    double read_rate;    /* bytes a second; 0 unless `slow` */
    bool progress_lines; /* tell every second how far it is */
    bool buckets;        /* print the histogram too */
    struct request_spec spec;
    struct sockaddr_storage addr;
    socklen_t addr_len;

    /* load*.c's own from here on; times are nanoseconds of CLOCK_MONOTONIC */
    struct request *requests; /* by request id - 1 */
    struct conn *conns;
    struct histogram latency;
    char *input;
    int epoll;
    long waiting;              /* connections in CONN_WAITING */
    long retried_at;           /* where to go on with them */
    long connecting;           /* connections in CONN_OPEN that are not connected yet */
    size_t read_max;           /* bytes that are read at a time; 0: as many as there are */
    struct visitors *visitors; /* NULL without `patience` */
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

/* Makes what the run needs; the fields above must be set, `addr` and `addr_len` too. */
void load_init(struct load *l);

/* Runs until the limit or the time is over, until nothing has come for ten seconds while an answer is due, or until
 * `max_seconds`. Open loop: answers are waited for up to two seconds beyond the time. With `patience` it ends when its
 * time is over. */
void load_run(struct load *l);

/* Whether every request was answered with a 200 of the right length; with `patience`: every one that was answered, and
 * not refused. */
bool load_was_good(const struct load *l);

/* Waits until `wake` at the latest for what the connections bring, and deals with that. */
void load_poll(struct load *l, uint64_t wake);

/* Connection * mux + id - 1, of what has no request under way: in an open loop, first in first out. */
void load_put_free(struct load *l, uint32_t stream);
uint32_t load_take_free(struct load *l);

/* Prints the figures in one line, as text or as a JSON object. */
void load_print(const struct load *l, bool json);

struct report_field {
    const char *name;
    double value;
    int decimals;
};

/* Prints fields as text or as members of a JSON object, which it opens and does not close, without a newline. */
void report_fields(const struct report_field *fields, size_t n, bool json);

/* Prints how far the run is on standard error, once a second: a line that is written over on a terminal, lines of
 * their own otherwise if they were asked for. */
void load_tell_progress(struct load *l);

/* With `idle`: holds the connections until standard input ends. Returns how many of them did not stay open. */
long load_hold_idle(const struct load *l);

#endif
