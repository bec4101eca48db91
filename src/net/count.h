/* What a lane counts, in memory that others read (ipc/metrics.h). Requests of --warm-up, which the server makes to
 * itself, are not counted: there is nobody who waited for them. Nor are those of the status page.
 *
 * What is counted is exact at the end of a request, by which time all of it is known; no clock is looked at for it, as
 * the loop and the calls do so already. What is so at present is told each time before the loop waits.
 *
 * Threads: owner only.
 */
#ifndef WSGI_FCGI_NET_COUNT_H
#define WSGI_FCGI_NET_COUNT_H

#include "ipc/metrics.h"
#include "net/refusal.h"

#include <stdbool.h>
#include <stdint.h>

struct exchange;
struct lane;

struct count {
    struct metrics_slot *slot; /* never NULL */
    bool own;                  /* it is the lane's, and nobody else reads it */
    uint64_t step_until;       /* for metrics_step */
    uint64_t moves;            /* sched_moves when threads were told */
};

/* Returns 0, or -1 with errno. */
int count_init(struct lane *lane);
void count_fini(struct lane *lane);

/* A request has ended: `r.end` and `r.status` tell how. */
void count_end(const struct exchange *x);

/* The call of one that was answered in its place has ended. */
void count_end_late(const struct exchange *x);

/* A request is answered without the application. */
void count_refusal(struct lane *lane, enum refusal why);

/* Adds 1 to one of enum metrics_counter. */
void count_one(struct lane *lane, unsigned counter);

/* Tells what is so at present. Before the loop waits. */
void count_settle(struct lane *lane);

#endif
