/* Spans as OTLP writes them in JSON (opentelemetry-proto 1.x, ExportTraceServiceRequest; "OTLP/HTTP", JSON Protobuf
 * Encoding): ids in hexadecimal digits, 64-bit numbers as text.
 *
 * Attributes have the names of the semantic conventions for HTTP. The query is left out, since it may hold secrets.
 *
 * Threads: any.
 */
#ifndef WSGI_FCGI_TRACES_OTLP_H
#define WSGI_FCGI_TRACES_OTLP_H

#include "base/buf.h"
#include "traces/settings.h"
#include "traces/spans.h"

/* Writes the first `n` spans to the end of `out`. Returns 0, or -1 with errno ENOMEM. */
int otlp_put(const struct spans *spans, size_t n, const struct trace_settings *settings, struct buf *out);

/* How many of them a collector says that it has refused, in its answer of `len` bytes (partialSuccess). */
uint64_t otlp_rejected(const char *answer, size_t len);

#endif
