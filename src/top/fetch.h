/* Asks a server for its status page, without waiting: who calls polls `fetch_fd` beside other things.
 *
 *     fetch_init, fetch_begin
 *     poll for fetch_fd and fetch_events, for at most fetch_left_ms;
 *     fetch_go_on, until it is no longer FETCH_WAITS; then `reply`, or `error`
 *     fetch_begin ... fetch_fini
 *
 * If it is not known which protocol the socket speaks, the likelier one is tried first, and then the other one; what
 * was found is kept.
 *
 * Threads: one at a time for each struct. A name is resolved once, in fetch_init, which waits for that.
 */
#ifndef WSGI_FCGI_TOP_FETCH_H
#define WSGI_FCGI_TOP_FETCH_H

#include "base/buf.h"
#include "top/reply.h"
#include "top/target.h"

#include <stdint.h>

enum {
    FETCH_MOST = 16 << 20, /* bytes of an answer */
    FETCH_SECONDS = 5,     /* for all of it */
    FETCH_ERROR_SIZE = 600
};

enum fetch_state { FETCH_WAITS, FETCH_DONE, FETCH_FAILED };

struct addrinfo;

struct fetch {
    struct target target; /* its protocol is set when it is found */
    const char *query;
    struct addrinfo *resolved; /* of TCP */
    const struct addrinfo *at; /* the one that is tried */
    enum target_protocol speaks;
    bool other_tried;
    bool root_tried; /* the page was not where it was guessed: it is asked for at /, where --status has it */
    int fd;
    bool connecting;
    uint64_t until; /* clock_ns */
    struct buf out, in;
    struct reply reply;           /* FETCH_DONE: its slices point into `in` */
    bool transient;               /* FETCH_FAILED: it may be another time */
    char error[FETCH_ERROR_SIZE]; /* FETCH_FAILED: what is wrong, and what to do */
};

/* What health checks ask for. It has no type of its own, and its answer may be 503. */
#define FETCH_HEALTH "format=health"

/* `query`: "format=json", or FETCH_HEALTH; it has to live as long as `f`. Returns 0, or -1: `error` tells. */
int fetch_init(struct fetch *f, const struct target *target, const char *query);
void fetch_fini(struct fetch *f);

/* Begins anew; what came before is gone. */
enum fetch_state fetch_begin(struct fetch *f);

/* Call it when the descriptor is ready, or the time is over. */
enum fetch_state fetch_go_on(struct fetch *f);

/* While it is FETCH_WAITS. */
static inline int fetch_fd(const struct fetch *f) {
    return f->fd;
}
short fetch_events(const struct fetch *f);
int fetch_left_ms(const struct fetch *f);

/* All of it at once, waiting. */
enum fetch_state fetch_now(struct fetch *f);

/* How the socket is called: "/run/app.sock", "[::1]:9000". Returns `out`. */
const char *fetch_name(const struct target *t, char *out, size_t size);

#endif
