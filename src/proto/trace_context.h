/* Trace Context: which trace a request belongs to, and which span of it is its parent (W3C Trace Context, levels 1 and
 * 2).
 *
 *     traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
 *                  |  trace id                         parent id        flags
 *                  version
 *
 * Threads: any. Pure: no I/O, no allocation, no lock.
 */
#ifndef WSGI_FCGI_PROTO_TRACE_CONTEXT_H
#define WSGI_FCGI_PROTO_TRACE_CONTEXT_H

#include "proto/params.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    TRACE_ID_SIZE = 16,
    TRACE_SPAN_SIZE = 8,
    TRACE_PARENT_LEN = 55, /* bytes of a traceparent of version 00 */
    TRACE_STATE_MAX = 512, /* bytes of a tracestate that are passed on; more need not be (3.3.1.5) */
};

enum {
    TRACE_SAMPLED = 1, /* the caller may have recorded the trace */
    TRACE_RANDOM = 2   /* the last seven bytes of the trace id are random (level 2) */
};

struct trace_context {
    uint8_t trace[TRACE_ID_SIZE];
    uint8_t span[TRACE_SPAN_SIZE]; /* the parent */
    uint8_t flags;                 /* a set of TRACE_*; unknown ones are dropped (2.2.3: set to zero) */
};

/* Reads the value of a traceparent. Returns false when it is not valid: the trace is then restarted, and its tracestate
 * is not looked at (3.2.2.1 and 4.3). A higher version may have more behind the flags (2.2.1 and 4.3, "Versioning"). */
bool trace_context_read(struct slice value, struct trace_context *out);

/* Writes it, of version 00 and not terminated. */
void trace_context_put(const struct trace_context *context, char out[static TRACE_PARENT_LEN]);

/* Writes bytes as twice as many lower-case hexadecimal digits, not terminated. */
void trace_context_put_hex(const uint8_t *bytes, size_t n, char *out);

#endif
