#include "config.h"

#include "process/run.h"

#include "base/ascii.h"
#include "base/clock.h"
#include "base/descriptors.h"
#include "base/log.h"
#include "net/lane.h"
#include "process/access_output.h"
#include "process/exit_timer.h"
#include "process/inspector.h"
#include "process/leave.h"
#include "process/memory_trace.h"
#include "process/signals.h"
#include "process/warm_up.h"
#include "process/watch_thread.h"
#include "process/worker.h"
#include "python/interp.h"
#include "python/module.h"
#include "python/report.h"
#include "python/signal_handlers.h"
#include "python/thread.h"

#include <sysexits.h>
#include <unistd.h>

enum log_level run_stop_level(const struct run *run) {
    return run->worker && worker_is_told_to_stop(run->worker) ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO;
}

void run_log_stopped(const struct run *run) {
    char shown[ASCII_SECONDS_SIZE];
    ascii_put_seconds(shown, (double)((clock_ns() - run->stop_at) / 10000000) / 100);
    log_printf(run_stop_level(run), "%s after %s s: %u request%s finished, %u cut off",
               run->retires ? "retired" : "stopped", shown, run->finished, ascii_plural(run->finished), run->cut);
}

static void begin_serving(struct run *run) {
    run->serving(run->serving_arg);
    lane_start_accepting(run->lane);
}

void run_warmed_up_cb(void *arg, bool ok) {
    struct run *run = arg;
    if (ok || run->serves_cold) {
        begin_serving(run);
        return;
    }
    atomic_store(&run->cold, true);
    signals_wake();
}

/* Returns 0, or -1 after a log line. */
static int serve(struct run *run) {
    main_thread_init(&run->main, run->lane, run->calls_on_main);
    if (watch_thread_start(run))
        return -1;
    if (run->warm_up)
        warm_up_begin(run->warm_up);
    else
        begin_serving(run);
    if (main_thread_serve(&run->main)) {
        atomic_store(&run->failed, true);
        signals_wake();
    }
    watch_thread_join(run);
    return run->failed ? -1 : 0;
}

int run_lane(struct run *run) {
    thread_release_main();
    int failed = serve(run);
    if (!run->left) { /* else the loop may still run, and the process ends without it */
        lost_calls_stop(&run->lost_calls);
        report_stop();
        inspector_stop();
        memory_trace_stop();
    }
    if (failed) {
        thread_attach_main();
        return EX_OSERR;
    }
    descriptors_on_loss(NULL); /* atexit functions may close what they like */
    exit_timer_set(EXIT_TIMER_PYTHON, run->exit_status);
    thread_attach_main();
    signal_handlers_run_last(signals_chain, &run->exit_status);
    if (run->left) {
        exit_timer_set(EXIT_TIMER_PYTHON, run->exit_status);
        module_run_stop_hooks();
        interp_run_atexit();
        leave_nothing();
        run_log_stopped(run);
        access_output_flush();
        log_flush();
        _exit(run->exit_status);
    }
    return run->exit_status;
}
