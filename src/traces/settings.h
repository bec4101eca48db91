/* Where spans go, and which: the value of --otlp, and the variables that OpenTelemetry has for that (its "Environment
 * Variable Specification" and "OTLP Exporter Configuration"). A variable for traces counts before the one for all
 * signals.
 *
 *     OTEL_SDK_DISABLED, OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_TRACES_SAMPLER, OTEL_TRACES_SAMPLER_ARG,
 *     OTEL_BSP_SCHEDULE_DELAY, OTEL_EXPORTER_OTLP_[TRACES_] ENDPOINT, HEADERS, TIMEOUT, PROTOCOL and CERTIFICATE;
 *     COMPRESSION is only looked at, to say that nothing is compressed
 *
 * The variables alone switch nothing on: they are for the application as well, whose own instrumentation would then
 * tell of each request a second time.
 *
 * Threads: trace_settings_read before others change the environment; then any.
 */
#ifndef WSGI_FCGI_TRACES_SETTINGS_H
#define WSGI_FCGI_TRACES_SETTINGS_H

#include "proto/trace_context.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    TRACE_URL_SIZE = 1024,
    TRACE_PAIRS = 32,
    TRACE_NAME_SIZE = 128,
    TRACE_VALUE_SIZE = 1024,
    TRACE_REASON_SIZE = 256
};

struct trace_pair {
    char name[TRACE_NAME_SIZE], value[TRACE_VALUE_SIZE];
};

struct trace_settings {
    bool disabled; /* OTEL_SDK_DISABLED */
    char url[TRACE_URL_SIZE];
    char certificate[TRACE_URL_SIZE]; /* file of certificates that are trusted; "": those of the system */
    struct trace_pair headers[TRACE_PAIRS], attributes[TRACE_PAIRS];
    size_t nheaders, nattributes;
    uint64_t timeout_ms, delay_ms;   /* of one attempt to send; between two batches */
    bool asks_parent;                /* a request that belongs to a trace is recorded if its caller was */
    uint64_t bound;                  /* of others those are recorded whose trace id ends with less; UINT64_MAX: all */
    char warning[TRACE_REASON_SIZE]; /* what is asked for, and is not done; "": nothing */
};

/* Whether a value of --otlp will do: "env", or a URL of http or https, without a name and a password in it. Returns
 * what is wrong with it, or NULL. */
const char *trace_settings_complaint(const char *otlp);

/* Reads them. Returns 0, or -1 with what is wrong, and with what, in `reason`. */
int trace_settings_read(struct trace_settings *out, const char *otlp, char reason[static TRACE_REASON_SIZE]);

/* Whether a request is recorded: one of the trace of `parent`, NULL: of a new one; `trace` is its id. */
bool trace_settings_sample(const struct trace_settings *s, const struct trace_context *parent,
                           const uint8_t trace[static TRACE_ID_SIZE]);

#endif
