/* Clients that do not wait for ever: an open loop in which each request is another visitor's.
 *
 * Requests are due at random times (a Poisson process of `rate`, the same times in every run), and `burst` of them at
 * once at the beginning. A visitor takes a connection that is free. While none is, visitors wait here, and whoever came
 * last is the first to get one: they do not know of each other, and in an order of arrival all of them would be late as
 * soon as one is. Whoever has waited for `patience`, here or for the server, leaves, and closes the connection. All of
 * this counts from when the request was due, whatever became of the others.
 *
 * What is counted, by when it happens: `due` is the sum of all others, of wrong answers, and of what is still waited
 * for at the end. Memory is bounded: by the connections, and by what can be due within the patience.
 */
#ifndef WSGI_FCGI_BENCH_LOAD_VISITORS_H
#define WSGI_FCGI_BENCH_LOAD_VISITORS_H

#include "load-conn.h"

struct tally {
    long all, counted; /* of the whole run; behind the warm-up */
};

struct visitors {
    struct tally due, good, within[WITHIN_MAX]; /* good: a 200 of the right length */
    struct tally refused;                       /* a 503 */
    struct tally unreachable;                   /* no connection could be made */
    struct tally given_up;                      /* asked, and left without an answer */
    struct tally unsent;                        /* left before a connection was free */
    struct histogram refusal;                   /* how long those that are refused had waited */
    struct histogram lag;                       /* how late this program itself noticed that a request was due */
    long ready;                                 /* connections that were open at the beginning */
    double cpu;                                 /* processors that this program took: 1 is all that it can have */

    /* its own from here on */
    double next;     /* when the next request of `rate` is due; INFINITY: never */
    double burst_at; /* as `next` */
    long burst_left; /* of the burst at that time */
    uint64_t random;
    uint64_t *waiting; /* ring of the times at which those were due that have no connection, the oldest first */
    size_t first, len, size;
    uint64_t looked; /* when who is out of patience was looked for */
};

/* Makes `l->visitors`. */
void visitors_init(struct load *l);

/* Runs for `warmup` and `seconds`, from when the connections are open: these are opened before, if they are kept. */
void visitors_run(struct load *l);

/* What load_settle leaves to it. */
void visitors_settle(struct load *l, const struct conn *c, enum answer_verdict verdict);

#endif
