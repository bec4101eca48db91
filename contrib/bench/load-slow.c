#include "config.h"

#include "load-slow.h"

#include "load-conn.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

/* A reader has its turn so often; their turns are spread evenly over that time. */
#define TURN (SECOND / 4)
/* After so long it is told how many answers have begun, though not all have. */
#define BEGIN_MAX (10 * SECOND)
/* At the end so much is read of each answer, more than the kernel holds, until nothing has come to any reader for so
 * long. */
#define DRAIN_BYTES ((uint64_t)256 * 1024)
#define DRAIN_SILENCE (3 * SECOND)

enum { EVENTS = 256 };

struct slow {
    struct load *l;
    uint64_t due;         /* time of the next turn */
    long next;            /* whose turn that is */
    long begun;           /* readers that have had bytes of the body of a 200 */
    long stuck;           /* to which nothing more comes at the end */
    uint64_t bytes, time; /* read so slowly, and in which time */
};

static void take_turn(struct load *l, struct conn *c, bool first) {
    if (first)
        conn_issue(l, c, 1, l->now);
    if (c->queue_len)
        conn_push(l, c);
    if (c->state == CONN_OPEN && c->inflight)
        conn_read(l, c);
}

/* All turns that are due, at most one for each reader. */
static void take_turns(struct slow *s) {
    struct load *l = s->l;
    l->now = clock_now();
    /* Whoever was kept from reading does not catch up: that would not be slow. */
    if (l->now > s->due + TURN)
        s->due = l->now - TURN;
    for (long i = 0; i < l->clients && s->due <= l->now; i++) {
        take_turn(l, &l->conns[s->next], l->started < l->clients);
        l->started += l->started < l->clients;
        s->next = (s->next + 1) % l->clients;
        s->due += TURN / (uint64_t)l->clients;
    }
}

/* Returns how many readers have come to know of their answer: it began, or ended and was none. */
static long count_begun(struct slow *s) {
    const struct load *l = s->l;
    long ended = 0;
    s->begun = 0;
    for (long i = 0; i < l->started; i++) {
        const struct stream *stream = &l->conns[i].streams[0];
        bool begun = stream->answer.body > 0 && stream->answer.head.status == 200;
        s->begun += begun;
        ended += !stream->active && !begun;
    }
    return s->begun + ended;
}

static void print(struct slow *s, bool json) {
    const struct load *l = s->l;
    count_begun(s);
    const struct report_field fields[] = {
        {"readers", (double)l->clients, 0},
        {"begun", (double)s->begun, 0},
        {"whole", (double)(l->done - l->errors - l->not200 - l->bad_length), 0},
        {"cut", (double)(l->errors + l->bad_length), 0},
        {"not200", (double)l->not200, 0},
        {"stuck", (double)s->stuck, 0},
        {"bytes", (double)s->bytes, 0},
        {"seconds", (double)s->time / (double)SECOND, 3},
    };
    report_fields(fields, sizeof fields / sizeof *fields, json);
    puts(json ? "}" : "");
    fflush(stdout);
}

/* Waits for the next turn. Returns whether standard input has ended. */
static bool wait_for_turn(const struct slow *s) {
    uint64_t now = clock_now(), wait = s->due > now ? s->due - now : 0;
    struct timespec t = {.tv_sec = (time_t)(wait / SECOND), .tv_nsec = (long)(wait % SECOND)};
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
    char ignored[256];
    return ppoll(&in, 1, &t, NULL) > 0 && read(STDIN_FILENO, ignored, sizeof ignored) <= 0;
}

/* Reads on at full speed until `enough` bytes of this body were read. Returns whether there is no more to wait for. */
static bool drain_one(struct load *l, struct conn *c, uint64_t enough) {
    if (c->inflight)
        conn_read(l, c);
    if (c->state != CONN_OPEN)
        return true;
    if (c->inflight && c->streams[0].answer.body < enough)
        return false;
    epoll_ctl(l->epoll, EPOLL_CTL_DEL, c->fd, NULL);
    return true;
}

/* That a peer has ended a connection is behind all that the kernel holds of its answer. */
static void drain(struct slow *s) {
    struct load *l = s->l;
    uint64_t *enough = allocate((size_t)l->clients, sizeof *enough);
    for (long i = 0; i < l->clients; i++) {
        const struct conn *c = &l->conns[i];
        enough[i] = c->streams[0].answer.body + DRAIN_BYTES;
        s->stuck += c->state != CONN_CLOSED && c->inflight;
        if (c->state == CONN_OPEN)
            conn_widen(l, c);
    }
    l->read_max = 0;
    l->heard = clock_now();
    while (s->stuck && clock_now() < l->heard + DRAIN_SILENCE) {
        struct epoll_event events[EVENTS];
        int n = epoll_wait(l->epoll, events, EVENTS, 100);
        for (int i = 0; i < n; i++) {
            struct conn *c = events[i].data.ptr;
            bool waited = c->inflight;
            s->stuck -= drain_one(l, c, enough[c - l->conns]) && waited;
        }
    }
    free(enough);
}

bool load_run_slow(struct load *l, bool json) {
    struct slow s = {.l = l};
    bool told = false;
    l->read_max = (size_t)(l->read_rate * (double)TURN / (double)SECOND);
    l->read_max += !l->read_max;
    l->now = l->begin = l->measured = l->told = s.due = clock_now();
    while (!wait_for_turn(&s)) {
        take_turns(&s);
        s.bytes = l->bytes;
        s.time = l->now - l->begin;
        if (!told && (count_begun(&s) == l->clients || l->now - l->begin > BEGIN_MAX)) {
            print(&s, json);
            told = true;
        }
        if ((double)(l->now - l->begin) >= l->max_seconds * (double)SECOND) {
            fprintf(stderr, "fcgi-load: the slow readers have given up after %g seconds\n", l->max_seconds);
            l->stalled = true;
            break;
        }
    }
    drain(&s);
    print(&s, json);
    return load_was_good(l) && s.begun == l->clients && !s.stuck;
}
