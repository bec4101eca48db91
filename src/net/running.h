/* The calls that run in this process at this moment, for a thread that waits for none of them (process/inspector.h):
 * also those that the loop is lent to, which no list of the loop's has.
 *
 * Open it to find out more about a call that runs.
 *
 * Threads: any, whatever the others do: it takes no lock, and reads what may be gone by base/own_memory.h.
 */
#ifndef WSGI_FCGI_NET_RUNNING_H
#define WSGI_FCGI_NET_RUNNING_H

#include "request/request.h"
#include "sched/sched.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lane;

enum { RUNNING_METHOD_SIZE = 24, RUNNING_PATH_SIZE = 400 };

struct running_call {
    struct sched_job *job;
    struct sched_job *_Atomic *at; /* as long as it is `job`, the call runs */
    uint64_t begun_at;             /* clock_ns */
    struct sched_thread *thread;   /* that runs it; threads of the pool are never freed before their lane */
    uint64_t queued;               /* nanoseconds that it had waited for a thread */
    uint64_t processor_from;       /* what sched_thread_time said when the call had lost the loop; 0: it has not */
    bool overdue;
    enum request_wait waits;
    char id[REQUEST_ID_MAX + 1];       /* its label; "": it has none */
    char trace[2 * TRACE_ID_SIZE + 1]; /* of its trace, in hexadecimal digits; "": it has none */
    char method[RUNNING_METHOD_SIZE], path[RUNNING_PATH_SIZE]; /* as they came, cut off; the path without a query */
};

/* Finds the calls that run, the one first that has run for longest, at most `most` in `out`. Returns how many; *more is
 * how many others there are. One that ends meanwhile is left out. */
unsigned running_find(struct lane *lane, struct running_call *out, unsigned most, unsigned *more);

/* Whether the call still runs. */
bool running_goes_on(const struct running_call *call);

#endif
