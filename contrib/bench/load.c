#include "config.h"

#include "load.h"

#include "load-visitors.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

enum { INPUT_SIZE = 256 * 1024, EVENTS = 256 };

#define STALL (10 * SECOND)
#define DRAIN (2 * SECOND)

void load_init(struct load *l) {
    raise_file_limit();
    /* The times of an open loop are kept to a microsecond; the default slack is fifty. */
    prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
    l->requests = request_build(&l->spec, l->mux);
    if (!l->requests)
        fail(EX_OSERR, "out of memory");
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (l->epoll < 0)
        fail(EX_OSERR, "epoll_create1: %s", strerror(errno));
    l->input = allocate(1, INPUT_SIZE);
    l->conns = allocate((size_t)l->clients, sizeof *l->conns);
    for (long i = 0; i < l->clients; i++)
        conn_init(l, &l->conns[i]);
    if (l->rate > 0 || l->burst)
        l->free = allocate((size_t)l->clients * l->mux, sizeof *l->free);
    if (l->patience > 0)
        visitors_init(l);
}

/* Closed loop */

static bool may_issue(const struct load *l) {
    return l->until ? l->now < l->until : l->issued < l->limit;
}

/* When the next client begins; UINT64_MAX when all have. */
static uint64_t start_time(const struct load *l) {
    if (l->started == l->clients)
        return UINT64_MAX;
    return l->begin + (uint64_t)(l->ramp * (double)SECOND * (double)l->started / (double)l->clients);
}

static void start_clients(struct load *l) {
    for (; (l->now = clock_now()) >= start_time(l); l->started++) {
        struct conn *c = &l->conns[l->started];
        for (unsigned id = 1; id <= l->mux && may_issue(l); id++)
            conn_issue(l, c, id, l->now);
        if (c->queue_len)
            conn_push(l, c);
    }
}

/* Open loop */

void load_put_free(struct load *l, uint32_t stream) {
    size_t size = (size_t)l->clients * l->mux;
    l->free[(l->free_first + l->free_len++) % size] = stream;
}

uint32_t load_take_free(struct load *l) {
    uint32_t stream = l->free[l->free_first];
    l->free_first = (l->free_first + 1) % ((size_t)l->clients * l->mux);
    l->free_len--;
    return stream;
}

/* When the request with this number, from 0, is due; UINT64_MAX when there is no such request. */
static uint64_t due_time(const struct load *l, long number) {
    uint64_t due = l->begin + (uint64_t)((double)number * (double)SECOND / l->rate);
    return (l->until ? due < l->until : number < l->limit) ? due : UINT64_MAX;
}

/* A client that is free takes the next request at its time, or late; the latency counts from its time. */
static void issue_due(struct load *l) {
    l->now = clock_now();
    while (l->free_len) {
        uint64_t due = due_time(l, l->issued);
        if (due > l->now)
            return;
        uint32_t stream = load_take_free(l);
        struct conn *c = &l->conns[stream / l->mux];
        conn_issue(l, c, stream % l->mux + 1, due);
        conn_push(l, c);
    }
}

/* Kept connections are made before the first request, so that its latency does not include that. */
static void free_all(struct load *l) {
    for (long i = 0; i < l->clients; i++) {
        if (l->spec.keep)
            conn_push(l, &l->conns[i]);
        for (unsigned id = 0; id < l->mux; id++)
            load_put_free(l, (uint32_t)i * l->mux + id);
    }
}

/* Both */

void load_settle(struct load *l, struct conn *c, unsigned id, enum answer_verdict verdict) {
    const struct stream *s = &c->streams[id - 1];
    if (l->visitors && verdict == ANSWER_NOT_200 && s->answer.head.status == 503)
        verdict = ANSWER_REFUSED;
    l->done++;
    l->errors += verdict == ANSWER_BROKEN || (verdict == ANSWER_UNREACHABLE && !l->visitors);
    l->not200 += verdict == ANSWER_NOT_200;
    l->bad_length += verdict == ANSWER_BAD_LENGTH;
    if (l->visitors) {
        l->counted += l->now >= l->measured;
        visitors_settle(l, c, verdict);
        return;
    }
    if ((l->rate > 0 ? s->start : l->now) >= l->measured) {
        l->counted++;
        histogram_add(&l->latency, l->now - s->start);
    }
    if (l->rate > 0)
        load_put_free(l, (uint32_t)(c - l->conns) * l->mux + id - 1);
    else if (may_issue(l) && !l->once && !l->idle && !l->slow)
        conn_issue(l, c, id, l->now);
}

static bool all_done(const struct load *l) {
    if (l->rate > 0)
        return l->done == l->issued && due_time(l, l->issued) == UINT64_MAX && l->now >= l->until;
    return l->until ? l->now >= l->until : l->done >= l->limit;
}

static bool load_is_over(struct load *l) {
    l->now = clock_now();
    if (all_done(l) || (l->until && l->now >= l->until + DRAIN))
        return true;
    if (l->done == l->issued)
        l->heard = l->now; /* nobody owes an answer */
    if (l->now - l->heard >= STALL)
        fprintf(stderr, "fcgi-load: nothing has come for %d seconds, %ld of %ld answered\n", (int)(STALL / SECOND),
                l->done, l->issued);
    else if ((double)(l->now - l->begin) >= l->max_seconds * (double)SECOND)
        fprintf(stderr, "fcgi-load: given up after %g seconds, %ld of %ld answered\n", l->max_seconds, l->done,
                l->issued);
    else
        return false;
    return l->stalled = true;
}

/* Until when there is nothing to do unless something comes. */
static uint64_t wake_time(const struct load *l) {
    uint64_t wake = l->now + SECOND / 10;
    if (l->until && l->now < l->until && l->until < wake)
        wake = l->until;
    if (l->rate > 0 && l->free_len) {
        uint64_t due = due_time(l, l->issued);
        wake = due < wake ? due : wake;
    }
    if (l->rate <= 0 && start_time(l) < wake)
        wake = start_time(l);
    return wake;
}

/* When the backlog has no room for one of them, it has none for the others. */
static void retry_waiting(struct load *l) {
    for (long i = 0; i < l->clients && l->waiting; i++) {
        struct conn *c = &l->conns[l->retried_at];
        l->retried_at = (l->retried_at + 1) % l->clients;
        if (c->state != CONN_WAITING)
            continue;
        conn_push(l, c);
        if (c->state == CONN_WAITING)
            return;
    }
}

void load_poll(struct load *l, uint64_t wake) {
    struct epoll_event events[EVENTS];
    uint64_t longest = l->now + (l->waiting ? MILLISECOND : SECOND / 10);
    wake = wake < longest ? wake : longest;
    uint64_t time = wake > l->now ? wake - l->now : 0;
    struct timespec wait = {.tv_sec = (time_t)(time / SECOND), .tv_nsec = (long)(time % SECOND)};
    int n = epoll_pwait2(l->epoll, events, EVENTS, &wait, NULL);
    for (int i = 0; i < n; i++) {
        struct conn *c = events[i].data.ptr;
        if ((events[i].events & EPOLLOUT) && !(events[i].events & (EPOLLERR | EPOLLHUP)) && c->state == CONN_OPEN)
            conn_writable(l, c);
        if (events[i].events & ~(uint32_t)EPOLLOUT)
            conn_read(l, c);
    }
    if (l->waiting)
        retry_waiting(l);
}

/* What was not answered counts with the time it has taken so far. In a closed loop it is the next request of clients
 * that are served, whose time so far would make the figures better than they are: there it is in the maximum only. */
static void count_unanswered(struct load *l) {
    for (long i = 0; i < l->clients; i++) {
        for (unsigned id = 0; id < l->mux; id++) {
            const struct stream *s = &l->conns[i].streams[id];
            if (!s->active)
                continue;
            l->unanswered++;
            uint64_t age = l->now > s->start ? l->now - s->start : 0;
            if (l->rate <= 0)
                l->latency.max = age > l->latency.max ? age : l->latency.max;
            else if (s->start >= l->measured)
                histogram_add(&l->latency, age);
        }
    }
    if (l->rate <= 0)
        return;
    for (uint64_t due; (due = due_time(l, l->issued)) <= l->now; l->issued++) {
        l->unanswered++;
        if (due >= l->measured)
            histogram_add(&l->latency, l->now - due);
    }
}

void load_run(struct load *l) {
    if (l->visitors) {
        visitors_run(l);
        return;
    }
    l->now = l->begin = l->heard = l->told = clock_now();
    if (l->rate > 0)
        free_all(l);
    l->begin = clock_now();
    l->measured = l->begin + (uint64_t)(l->warmup * (double)SECOND);
    l->until = l->seconds > 0 ? l->measured + (uint64_t)(l->seconds * (double)SECOND) : 0;
    while (!load_is_over(l)) {
        if (l->rate > 0)
            issue_due(l);
        else
            start_clients(l);
        load_poll(l, wake_time(l));
        load_tell_progress(l);
    }
    count_unanswered(l);
}

bool load_was_good(const struct load *l) {
    bool reached = !l->visitors || !l->visitors->unreachable.all;
    return reached && !l->stalled && !l->errors && !l->not200 && !l->bad_length;
}

long load_hold_idle(const struct load *l) {
    char ignored[256];
    while (read(STDIN_FILENO, ignored, sizeof ignored) > 0)
        continue;
    long lost = 0;
    for (long i = 0; i < l->clients; i++) {
        const struct conn *c = &l->conns[i];
        if (c->state != CONN_OPEN || recv(c->fd, ignored, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 || errno != EAGAIN)
            lost++;
    }
    if (lost)
        fprintf(stderr, "fcgi-load: %ld of %ld idle connections did not stay open\n", lost, l->clients);
    return lost;
}
