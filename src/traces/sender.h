/* Sends spans to a collector, on a thread of its own, which may wait for that one as long as it likes: what does not
 * fit into the ring meanwhile is lost, and counted (traces/spans.h).
 *
 * A batch that the collector does not take for now (OTLP/HTTP, "Failures": 429, 502, 503, 504, or it cannot be reached)
 * is sent again, when it says or after 1, 2, 4 ... 30 seconds. One that it refuses is lost. The log says so, once a
 * minute.
 *
 * Threads: the main thread.
 */
#ifndef WSGI_FCGI_TRACES_SENDER_H
#define WSGI_FCGI_TRACES_SENDER_H

#include "traces/settings.h"
#include "traces/spans.h"

struct sender;

/* Starts the thread. `settings` and `spans` outlive it. Returns NULL with errno, of thread_create. */
struct sender *sender_new(const struct trace_settings *settings, struct spans *spans);

/* Sends what is left, for a second at most, and frees it. When the thread does not end by then, it is left alone with
 * its memory, and with `spans`: returns false. NULL: nothing, true. */
bool sender_free(struct sender *sender);

#endif
