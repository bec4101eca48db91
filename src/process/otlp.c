#include "config.h"

#include "process/otlp.h"

#include "base/log.h"
#include "base/thread_limit.h"
#include "ipc/metrics.h"
#include "net/lane_config.h"
#include "traces/curl.h"

#include <errno.h>
#include <sysexits.h>

int otlp_prepare(struct otlp *otlp, const struct options *o) {
    char reason[TRACE_REASON_SIZE];
    if (!o->otlp)
        return 0;
    if (trace_settings_read(&otlp->settings, o->otlp, reason)) {
        log_error("--otlp: %s", reason);
        return EX_CONFIG;
    }
    if (otlp->settings.disabled) {
        log_info("--otlp has no effect: OTEL_SDK_DISABLED is true");
        return 0;
    }
    if (otlp->settings.warning[0])
        log_warning("--otlp: %s", otlp->settings.warning);
    if (curl_load(reason)) {
        log_error("--otlp: %s", reason);
        return EX_UNAVAILABLE;
    }
    otlp->wanted = true;
    return 0;
}

int otlp_start(struct otlp *otlp, struct lane_config *config) {
    char limit[THREAD_LIMIT_SIZE];
    if (!otlp->wanted)
        return 0;
    otlp->spans = spans_new(config->metrics ? &config->metrics->counters[METRICS_SPANS_LOST] : NULL);
    if (!otlp->spans) {
        log_error("out of memory");
        return EX_OSERR;
    }
    otlp->sender = sender_new(&otlp->settings, otlp->spans);
    if (!otlp->sender) {
        log_error("cannot start a thread: %s", thread_limit_explain(errno, limit));
        return EX_OSERR;
    }
    config->spans = otlp->spans;
    config->trace_settings = &otlp->settings;
    return 0;
}

void otlp_stop(struct otlp *otlp) {
    if (sender_free(otlp->sender))
        otlp->sender = NULL;
}

void otlp_fini(struct otlp *otlp) {
    if (!otlp->sender) /* else its thread is stuck, and has it */
        spans_free(otlp->spans);
    otlp->spans = NULL;
}
