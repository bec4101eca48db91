#include "config.h"

#include "process/run.h"

#include "base/ascii.h"
#include "base/clock.h"
#include "base/descriptors.h"
#include "base/log.h"
#include "net/lane.h"
#include "process/exit_timer.h"
#include "process/signals.h"
#include "process/sockets.h"
#include "python/interp.h"
#include "python/signal_handlers.h"
#include "python/thread.h"
#include "sched/sched.h"

#include <string.h>
#include <sysexits.h>
#include <unistd.h>

enum {
    JOIN_NS = 1000000000, /* for threads that have nothing left to do */
    STATUS_CUT = 79       /* requests were cut off: one more than those of sysexits.h */
};

/* May wait for the GIL, and with it for the application, so call it only when nothing else can be done first. What the
 * application does at SIGTERM is left for the end, because it may end the process; the handlers of all other signals
 * wait with it. */
static void run_signal_handlers(struct run *run) {
    if (!run->signals || run->signals & SIGNALS_PYTHON_TERM)
        return;
    run->exit_wanted |= signal_handlers_run(run->signals & SIGNALS_PYTHON_INT, &run->exit_status);
    run->signals = 0;
}

static bool on_wake(void *arg) {
    struct run *run = arg;
    run->signals |= signals_drain();
    if (signals_stop() || run->signals & SIGNALS_PYTHON_TERM)
        return true;
    run_signal_handlers(run);
    return run->exit_wanted;
}

static bool on_wake_while_stopping(void *arg) {
    struct run *run = arg;
    run->signals |= signals_drain();
    run_signal_handlers(run);
    return false;
}

/* Waits for the scheduler to end, until `deadline`. Returns how many requests, or else threads, are left. */
static unsigned wait_stopped(struct run *run, uint64_t deadline) {
    struct sched *sched = lane_sched(run->lane);
    unsigned connections, requests;
    sched_watch(sched, signals_read_fd(), deadline, on_wake_while_stopping, run);
    lane_count(run->lane, &connections, &requests);
    return requests ? requests : sched_join(sched, clock_ns() + JOIN_NS);
}

static const char *stop_reason(const struct run *run) {
    if (signals_stop())
        return sigabbrev_np(signals_stop());
    return run->exit_wanted ? "the application's signal handler" : "TERM, by _thread.interrupt_main";
}

/* Returns whether something of the application is still running and has to be left behind. */
static bool stop(struct run *run) {
    double seconds = run->graceful_timeout;
    char shown[ASCII_SECONDS_SIZE];
    run->stop_at = clock_ns();
    unsigned before = lane_ended(run->lane);
    uint64_t deadline = run->stop_at + (uint64_t)(seconds * 1e9);
    unsigned connections, requests;
    ascii_put_seconds(shown, seconds);
    lane_stop(run->lane);
    /* Python may be stuck with the GIL held, so make sure that the process ends in any case. */
    exit_timer_set((unsigned)seconds + EXIT_TIMER_PYTHON, run->exit_status);
    lane_count(run->lane, &connections, &requests);
    log_info("stopping (%s): %u request%s in work, up to %s s to finish%s", stop_reason(run), requests,
             ascii_plural(requests), shown, requests ? "; a second signal ends it at once" : "");
    run_signal_handlers(run);
    bool left = wait_stopped(run, deadline);
    run->finished = lane_ended(run->lane) - before;
    if (!left)
        return false;
    lane_count(run->lane, &connections, &requests);
    log_warning("after %s s (--graceful-timeout) %u request%s and %u connection%s are left: ending without them", shown,
                requests, ascii_plural(requests), connections, ascii_plural(connections));
    run->cut = requests;
    if (requests && !run->exit_status)
        run->exit_status = STATUS_CUT;
    lane_abort(run->lane);
    return wait_stopped(run, clock_ns() + JOIN_NS) > 0;
}

void run_log_stopped(const struct run *run) {
    char shown[ASCII_SECONDS_SIZE];
    ascii_put_seconds(shown, (double)((clock_ns() - run->stop_at) / 10000000) / 100);
    log_info("stopped after %s s: %u request%s finished, %u cut off", shown, run->finished, ascii_plural(run->finished),
             run->cut);
}

int run_lane(struct run *run) {
    struct sched *sched = lane_sched(run->lane);
    thread_release_main();
    if (lane_start(run->lane)) { /* the scheduler has said why */
        thread_attach_main();
        return EX_OSERR;
    }
    sched_watch(sched, signals_read_fd(), 0, on_wake, run);
    bool left = stop(run);
    descriptors_on_loss(NULL); /* atexit functions may close what they like */
    exit_timer_set(EXIT_TIMER_PYTHON, run->exit_status);
    thread_attach_main();
    signal_handlers_run_last(signals_chain, &run->exit_status);
    if (left) {
        exit_timer_set(EXIT_TIMER_PYTHON, run->exit_status);
        interp_run_atexit();
        sockets_unlink();
        run_log_stopped(run);
        log_flush();
        _exit(run->exit_status);
    }
    return run->exit_status;
}
