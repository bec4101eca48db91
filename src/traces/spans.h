/* What is told of requests to a collector of traces, until it is sent: a ring of fixed size.
 *
 * The loop puts spans in, and never waits: when the ring is full the span is lost, and counted. One thread takes them
 * out (traces/sender.h).
 *
 * Threads: spans_put the owner of the loop, spans_take and spans_taken the thread that sends; the others as they say.
 */
#ifndef WSGI_FCGI_TRACES_SPANS_H
#define WSGI_FCGI_TRACES_SPANS_H

#include "proto/request_id.h"
#include "proto/trace_context.h"

#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SPANS_ROOM = 2048, /* as many as OpenTelemetry's own processors keep (OTEL_BSP_MAX_QUEUE_SIZE) */
    SPANS_BATCH = 512, /* so many are sent at a time */
};

/* One request. Texts are bytes of the peer's, cut to their size and terminated; an empty one is not known. */
struct span {
    struct trace_context context; /* its own */
    uint8_t parent[TRACE_SPAN_SIZE];
    bool has_parent, https, error;
    unsigned status;                                   /* of HTTP; 0: there was no answer */
    uint64_t begun_at, queued_at, called_at, ended_at; /* nanoseconds of Unix time; 0: did not happen */
    char method[16], protocol[16], path[256], client[64], server[128], agent[192], state[TRACE_STATE_MAX + 1],
        id[REQUEST_ID_MAX + 1];
};

struct spans;

/* `lost`: counts those that were lost, for whoever reads it; outlives it; NULL: nobody does. NULL: no memory. */
struct spans *spans_new(_Atomic uint64_t *lost);
void spans_free(struct spans *s);

/* Where the next one is to be filled in; NULL: there is no room, which is counted. Then spans_put. */
struct span *spans_room(struct spans *s);
void spans_put(struct spans *s);

/* Waits until a batch is full, `ns` are over or spans_wake was called. Returns how many there are. */
size_t spans_wait(struct spans *s, uint64_t ns);

/* The same, whether a batch is full or not. 0: returns at once. */
size_t spans_wait_more(struct spans *s, uint64_t ns);

/* The span at place `i` of those that there are. Valid until it is dropped. */
const struct span *spans_at(const struct spans *s, size_t i);

/* The first `n` are done with. */
void spans_drop(struct spans *s, size_t n);

/* Any thread: ends a wait; counts spans that were lost; how many were, in all. */
void spans_wake(struct spans *s);
void spans_lose(struct spans *s, uint64_t n);
uint64_t spans_lost(const struct spans *s);

#endif
