/* What the server shows of itself: to a browser (html), to programs (json), to Prometheus, and to somebody who has a
 * terminal (text). All forms tell the same, from one look at what the processes share (status/snapshot.h).
 *
 * Open it to ask for an answer, or to add a form.
 *
 * It needs no Python, no lock, and nobody who answers: what it shows is in shared memory. Stacks are there when
 * somebody has asked for them before (ipc/inspect.h); what is not known yet is shown as unknown.
 *
 * Threads: any; the loop of a lane, or of the supervisor. Never waits. Takes 0.1 to 0.3 ms, and up to 25 us for each
 * worker.
 */
#ifndef WSGI_FCGI_STATUS_STATUS_H
#define WSGI_FCGI_STATUS_STATUS_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct inspect;
struct log_ring;
struct metrics;
struct scoreboard;

enum status_form {
    STATUS_TEXT,
    STATUS_JSON,
    STATUS_HTML,
    STATUS_OPENMETRICS, /* for Prometheus: the format of its own name, */
    STATUS_PROMETHEUS,  /* and the one before it, which more programs read */
    STATUS_HEALTH,      /* for health checks: a line, and a status (status/health.h) */
    STATUS_UNKNOWN      /* ?format= names none of them: the answer is 400, and its text says which there are */
};

/* Where it all comes from. What is NULL is not shown, or as unknown. */
struct status_source {
    const struct scoreboard *board;
    const struct metrics *metrics;
    const struct inspect *inspect;
    const struct log_ring *log;
    const char *application; /* as it was named: "module:callable" */
    const char *python;      /* version: "3.11.2" */
    int pid;                 /* of the server: the supervisor, or the only process */
    unsigned workers;        /* --workers; 0: this is the only process */
    unsigned threads_max;    /* --threads */
    uint64_t started_at;     /* the server; Unix time, nanoseconds. 0: what metrics say */
    bool stacks;             /* they are wanted (status_wants_stacks) */
};

/* Chooses the form of an answer by `format` of the query, which counts first, and the Accept field (RFC 9110, 12.5.1).
 * Either may be NULL. Without a wish, as of curl, it is text. */
enum status_form status_choose(const char *accept, size_t accept_len, const char *query, size_t query_len);

/* Whether the answer shows stacks, for which somebody would have to ask first: all but those for Prometheus do, unless
 * the query says stacks=0. That for health checks shows none, but the processes tell as well who waits for the lock. */
bool status_wants_stacks(enum status_form form, const char *query, size_t query_len);

/* The value of Content-Type. */
const char *status_content_type(enum status_form form);

/* More header fields, which each answer must have: lines that end in CR LF. They keep what came from peers from doing
 * anything in a browser, and the answer out of caches. */
const char *status_headers(enum status_form form);

/* Appends the answer. Returns its status: 200, 400 for STATUS_UNKNOWN, 503 for STATUS_HEALTH when something is wrong; or
 * -1 with errno ENOMEM, and what was appended is of no use. */
int status_render(enum status_form form, const struct status_source *source, struct buf *out);

/* "200 OK", for what status_render has returned. */
const char *status_line(int code);

#endif
