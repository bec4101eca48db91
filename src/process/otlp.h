/* --otlp in a process that serves: reads what there is to know, and starts and ends what sends spans.
 *
 * Threads: the main thread.
 */
#ifndef WSGI_FCGI_PROCESS_OTLP_H
#define WSGI_FCGI_PROCESS_OTLP_H

#include "cli/options.h"
#include "traces/sender.h"
#include "traces/settings.h"

struct lane_config;

/* Zeroed at first. */
struct otlp {
    bool wanted; /* by --otlp, and not disabled */
    struct trace_settings settings;
    struct spans *spans; /* NULL: not started */
    struct sender *sender;
};

/* Reads the option and the environment, and loads libcurl. Before Python runs, which may change the environment.
 * Returns 0, or a status after printing. */
int otlp_prepare(struct otlp *otlp, const struct options *o);

/* Starts sending, and has the lane put spans there. Returns 0, or a status after printing. */
int otlp_start(struct otlp *otlp, struct lane_config *config);

/* Sends what is left, for a second at most. The loop has ended. */
void otlp_stop(struct otlp *otlp);

/* Frees what the lane refers to. */
void otlp_fini(struct otlp *otlp);

#endif
