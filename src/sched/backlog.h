/* Overload, measured in time: who waits for too long, who is served next, who is refused. A count of those who wait
 * says nothing about time: 1,024 quick jobs are 20 ms, and 1,024 slow ones half a minute.
 *
 * A backlog is the jobs of one kind that wait for a thread:
 *
 *     n   how many there are
 *     a   for how long the oldest has waited
 *     D   the time from one job that is taken to be run to the next, on average over the present backlog: over two
 *         windows of half of T1 each, the older one whole. The time since the last one is no measure: equal jobs that
 *         began together end together, and then for a long time none. So as long as fewer were taken, or have ended,
 *         than there are threads, D is no more than what a job takes, divided by the number of threads.
 *     W   n * D: how long the queue is, in time. When none was taken in either window, nobody knows when the next will
 *         be. One could be taken now; and as the jobs that run, one on each thread, have run for a time g at least, it
 *         is supposed that others take no less: D is g / threads then, and W is (n - 1) * D. So with every thread stuck
 *         it grows with the time, and with those who come.
 *     T   no job waits for longer
 *     T1  the patience of people, who would like an answer within 2 s: 1.5 s, but no more than T
 *     P   the patience of people who know that what they ask for takes longer: twice the time that jobs take on average
 *         over the two windows; at least T1, at most T
 *
 * 1. First in, first out, as long as that serves people in time: while the oldest has waited for no more than half of
 *    T1, and after that, up to P, while W is no more than P. Else the newest goes first: it is the one that can still
 *    be served in time, where otherwise nobody would be.
 * 2. A job is refused when it has waited for T; and when the oldest has waited for T1, and not all could be served
 *    within T even if nobody came any more: where the oldest goes first, when W > T; where the newest does, when
 *    a + W > T. Time refuses nobody on arrival: who would have to wait is not known then.
 *
 * A job whose client may have left is the first to be refused where somebody has to, and counts like any other until
 * then.
 *
 * What this does to people, beside other rules: tests/unit/sched/test_backlog_sim.c.
 *
 * Pure: no scheduler and no clock; times are nanoseconds of any clock. Without a backlog only the counters change.
 * For one thread at a time.
 */
#ifndef WSGI_FCGI_SCHED_BACKLOG_H
#define WSGI_FCGI_SCHED_BACKLOG_H

#include <stdbool.h>
#include <stdint.h>

#define BACKLOG_PATIENCE_NS 1500000000u /* T1, if T is no less */
#define BACKLOG_LOOK_NS 20000000u       /* from one look to the next while the oldest has waited for T1 */

enum {
    BACKLOG_RETRY_MOST = 30,  /* seconds */
    BACKLOG_PATIENCE_JOBS = 2 /* P, in average jobs */
};

struct backlog_limits {
    uint64_t most;     /* T; 0: nobody is refused, and the oldest goes first */
    uint64_t patience; /* T1 */
    unsigned threads;  /* jobs that run at a time */
};

struct backlog_window {
    uint64_t begun;
    unsigned taken_before, ended_before;
    uint64_t ran_before;
};

/* Zeroed: nobody waits. */
struct backlog {
    unsigned waiting; /* n */
    unsigned taken;   /* ever, modulo 2^32. Who was refused, or given up, was not taken. */
    unsigned ended;   /* those that took long enough to be told of, ever, modulo 2^32... */
    uint64_t ran;     /* ...and for how long all of them ran */
    struct backlog_window older, newer;
    uint64_t none_since; /* the end of the last window in which one was taken, or the beginning of the backlog */
    uint64_t usual;      /* how long a job took on average when that was last known; 0: not in this backlog */
};

enum backlog_verdict {
    BACKLOG_KEEP,
    BACKLOG_REFUSE_ANY,   /* one has to go: the oldest, unless somebody's client may have left */
    BACKLOG_REFUSE_OLDEST /* it has waited for T */
};

/* Whose turn it is in a backlog. */
struct backlog_turn {
    bool newest;    /* the newest's, not the oldest's */
    uint64_t since; /* when that one came */
};

/* The limits for a T, and `threads` (at least 1). */
struct backlog_limits backlog_limits_of(uint64_t most, unsigned threads);

/* The first look at jobs of which none was there at the last look: what was known of the rate is forgotten. */
void backlog_begin(struct backlog *b, uint64_t now);

/* A job of this kind has ended that ran for so long. Of those that were quick nobody has to tell. */
void backlog_note_end(struct backlog *b, const struct backlog_limits *limits, uint64_t ran);

/* Any other look. */
void backlog_look(struct backlog *b, const struct backlog_limits *limits, uint64_t now);

/* How long a job took on average of late; 0: nothing is known. */
uint64_t backlog_duration(const struct backlog *b);

/* W. */
uint64_t backlog_length(const struct backlog *b, const struct backlog_limits *limits, uint64_t now);

/* Whether a job that came at `since` has waited for more than half of T1. Where memory is short such a job makes room
 * for one that comes. */
bool backlog_is_late(const struct backlog_limits *limits, uint64_t since, uint64_t now);

/* Whether somebody is to be refused, when the oldest came at `since`. Ask again after each that was. */
enum backlog_verdict backlog_judge(const struct backlog *b, const struct backlog_limits *limits, uint64_t since,
                                   uint64_t now);

/* Whether the newest is to be taken, and not the oldest, which came at `since`. */
bool backlog_takes_newest(const struct backlog *b, const struct backlog_limits *limits, uint64_t since, uint64_t now);

/* Which of two backlogs has the next turn: `a`, or `b`. One that serves everybody in order goes before one that does
 * not; of two that do, the older job, as in one queue; of two that do not, the newer one. To go by the age of the
 * oldest alone would leave nothing for the other backlog: where the newest goes first, the oldest stays and grows
 * older. */
bool backlog_goes_first(const struct backlog_turn *a, const struct backlog_turn *b);

/* P. */
uint64_t backlog_patience(const struct backlog *b, const struct backlog_limits *limits);

/* When to look again if nothing else happens, while the oldest came at `since`; UINT64_MAX: never. */
uint64_t backlog_next_look(const struct backlog_limits *limits, uint64_t since, uint64_t now);

/* After how many seconds somebody who is refused now should come again: W, from 1 to BACKLOG_RETRY_MOST. That is also
 * said when nobody is served at all. */
unsigned backlog_retry_after(const struct backlog *b, const struct backlog_limits *limits, uint64_t now);

#endif
