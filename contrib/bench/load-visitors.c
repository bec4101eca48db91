#include "config.h"

#include "load-visitors.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

enum { CONNECTS_A_SECOND = 10000 };

#define CONNECT_TIME (4 * SECOND)
#define LOOK (10 * MILLISECOND)

static void tally_add(const struct load *l, struct tally *t) {
    t->all++;
    t->counted += l->now >= l->measured;
}

/* Bounded by what comes within the patience; twice as many never do. */
static size_t waiting_size(const struct load *l) {
    double bursts = l->burst_every > 0 ? 2 + l->patience / l->burst_every : 1;
    return (size_t)(2 * l->rate * l->patience + bursts * (double)l->burst) + 1024;
}

void visitors_init(struct load *l) {
    struct visitors *v = l->visitors = allocate(1, sizeof *v);
    v->random = 88172645463325252;
    v->size = waiting_size(l);
    v->waiting = allocate(v->size, sizeof *v->waiting);
}

/* Opens the connections before anything is due: no faster than a server that is busy with nothing else accepts them,
 * since a backlog that is full costs each of them a second. What is not open then is opened when it is needed. */
static void open_connections(struct load *l) {
    uint64_t begin = l->now = clock_now();
    long begun = 0;
    while (l->now - begin < CONNECT_TIME) {
        uint64_t may = (l->now - begin) / (SECOND / CONNECTS_A_SECOND);
        for (; begun < l->clients && (uint64_t)begun < may; begun++)
            conn_push(l, &l->conns[begun]);
        if (begun == l->clients && !l->connecting && !l->waiting)
            break;
        load_poll(l, l->now + MILLISECOND);
        l->now = clock_now();
    }
    for (long i = 0; i < l->clients; i++)
        l->visitors->ready += l->conns[i].state == CONN_OPEN && l->conns[i].connected;
}

/* The next number of Marsaglia's xorshift64, above 0 and at most 1. */
static double next_random(struct visitors *v) {
    v->random ^= v->random << 13;
    v->random ^= v->random >> 7;
    v->random ^= v->random << 17;
    return ((double)(v->random >> 11) + 1) / (double)(UINT64_C(1) << 53);
}

static void pass_rate(const struct load *l, struct visitors *v) {
    v->next = l->rate > 0 ? v->next - log(next_random(v)) * (double)SECOND / l->rate : INFINITY;
}

static void pass_burst(const struct load *l, struct visitors *v) {
    if (--v->burst_left > 0)
        return;
    v->burst_left = l->burst;
    v->burst_at = l->burst_every > 0 ? v->burst_at + l->burst_every * (double)SECOND : INFINITY;
}

/* In nanoseconds from the beginning. */
static double next_due(const struct visitors *v) {
    return v->burst_at < v->next ? v->burst_at : v->next;
}

static uint64_t patience(const struct load *l) {
    return (uint64_t)(l->patience * (double)SECOND);
}

static uint64_t waiting_take_oldest(struct visitors *v) {
    uint64_t due = v->waiting[v->first];
    v->first = (v->first + 1) % v->size;
    v->len--;
    return due;
}

static uint64_t waiting_take_newest(struct visitors *v) {
    return v->waiting[(v->first + --v->len) % v->size];
}

static void admit_due(struct load *l, struct visitors *v) {
    uint64_t due;
    while ((due = l->begin + (uint64_t)fmin(next_due(v), 1e18)) <= l->now && due < l->until) {
        if (v->len == v->size) {
            waiting_take_oldest(v);
            tally_add(l, &v->unsent);
        }
        v->waiting[(v->first + v->len++) % v->size] = due;
        tally_add(l, &v->due);
        histogram_add(&v->lag, l->now - due);
        if (v->burst_at <= v->next)
            pass_burst(l, v);
        else
            pass_rate(l, v);
    }
}

static void issue_due(struct load *l, struct visitors *v) {
    l->now = clock_now();
    admit_due(l, v);
    while (v->len && l->now - v->waiting[v->first] >= patience(l)) {
        waiting_take_oldest(v);
        tally_add(l, &v->unsent);
    }
    while (v->len && l->free_len) {
        struct conn *c = &l->conns[load_take_free(l)];
        conn_issue(l, c, 1, waiting_take_newest(v));
        conn_push(l, c);
    }
}

/* Those who have asked, and wait no longer. */
static void leave(struct load *l, struct visitors *v) {
    v->looked = l->now;
    for (long i = 0; i < l->clients; i++) {
        struct conn *c = &l->conns[i];
        if (!c->inflight || l->now - c->streams[0].start < patience(l))
            continue;
        conn_abandon(l, c);
        tally_add(l, &v->given_up);
        load_put_free(l, (uint32_t)i);
    }
}

void visitors_settle(struct load *l, const struct conn *c, enum answer_verdict verdict) {
    struct visitors *v = l->visitors;
    uint64_t took = l->now - c->streams[0].start;
    switch (verdict) {
    case ANSWER_GOOD:
        tally_add(l, &v->good);
        for (unsigned i = 0; i < l->nwithin; i++) {
            if ((double)took <= l->within[i] * (double)SECOND)
                tally_add(l, &v->within[i]);
        }
        if (l->now >= l->measured)
            histogram_add(&l->latency, took);
        break;
    case ANSWER_REFUSED:
        tally_add(l, &v->refused);
        if (l->now >= l->measured)
            histogram_add(&v->refusal, took);
        break;
    case ANSWER_UNREACHABLE:
        tally_add(l, &v->unreachable);
        break;
    case ANSWER_BROKEN:
    case ANSWER_NOT_200:
    case ANSWER_BAD_LENGTH:
        break; /* counted as in every load */
    }
    load_put_free(l, (uint32_t)(c - l->conns));
}

static bool visitors_are_over(struct load *l) {
    if (l->now >= l->until)
        return true;
    if ((double)(l->now - l->begin) < l->max_seconds * (double)SECOND)
        return false;
    fprintf(stderr, "fcgi-load: given up after %g seconds, %ld of %ld answered\n", l->max_seconds, l->done, l->issued);
    return l->stalled = true;
}

static double cpu_seconds(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static uint64_t wake_time(const struct load *l, const struct visitors *v) {
    uint64_t wake = v->looked + LOOK;
    uint64_t due = l->begin + (uint64_t)fmin(next_due(v), 1e18);
    wake = due < wake ? due : wake;
    return l->until < wake ? l->until : wake;
}

static void begin_to_count(struct load *l, struct visitors *v) {
    l->now = l->begin = l->told = v->looked = clock_now();
    l->measured = l->begin + (uint64_t)(l->warmup * (double)SECOND);
    l->until = l->measured + (uint64_t)(l->seconds * (double)SECOND);
    v->burst_left = l->burst;
    v->burst_at = l->burst ? 0 : INFINITY;
    pass_rate(l, v);
}

void visitors_run(struct load *l) {
    struct visitors *v = l->visitors;
    if (l->spec.keep)
        open_connections(l);
    for (long i = 0; i < l->clients; i++)
        load_put_free(l, (uint32_t)i);
    double before = cpu_seconds();
    begin_to_count(l, v);
    while (!visitors_are_over(l)) {
        issue_due(l, v);
        load_poll(l, wake_time(l, v));
        l->now = clock_now();
        if (l->now - v->looked >= LOOK)
            leave(l, v);
        load_tell_progress(l);
    }
    v->cpu = (cpu_seconds() - before) * (double)SECOND / (double)(l->now - l->begin);
    admit_due(l, v); /* what has become due since the last look */
    l->unanswered = (long)v->len;
    for (long i = 0; i < l->clients; i++)
        l->unanswered += l->conns[i].inflight;
}
