#include "config.h"

#include "process/watch_thread.h"

#include "base/ascii.h"
#include "base/clock.h"
#include "base/descriptors.h"
#include "base/log.h"
#include "base/notify.h"
#include "base/thread_create.h"
#include "base/thread_limit.h"
#include "net/lane.h"
#include "process/exit_timer.h"
#include "process/inspector.h"
#include "process/leave.h"
#include "process/access_output.h"
#include "process/log_output.h"
#include "process/run.h"
#include "process/signals.h"
#include "process/title.h"
#include "process/worker.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

enum {
    LOST_SIZE = 80,
    JOIN_NS = 1000000000, /* for threads that have nothing left to do */
    STATUS_CUT = 79       /* requests were cut off: one more than those of sysexits.h */
};

/* What the application does at SIGTERM is left for the end, because it may end the process; the handlers of all other
 * signals wait with it. */
static void leave_handlers(struct run *run) {
    if (run->signals && !(run->signals & SIGNALS_PYTHON_TERM)) {
        main_thread_run_handlers(&run->main);
        run->signals = 0;
    }
    run->exit_wanted |= main_thread_wants_end(&run->main, &run->exit_status);
}

static enum worker_end supervisor_wants(const struct run *run) {
    return run->worker ? worker_wants(run->worker) : WORKER_GOES_ON;
}

/* The log file is not opened anew where the pipe is emptied, which may be under the interpreter lock: a disk may be
 * slow. */
static void take_signals(struct run *run) {
    run->signals |= main_thread_drain(&run->main);
    int sent = -1;
    if (run->signals & SIGNALS_LOG_FILE || (run->worker && worker_is_to_reopen_log(run->worker, &sent)))
        log_output_reopen(sent);
    if (run->signals & SIGNALS_LOG_FILE)
        access_output_reopen();
    if (sent >= 0)
        descriptors_close(sent);
    if (run->signals & SIGNALS_STACKS)
        inspector_log(INSPECTOR_SIGNAL, "SIGUSR2");
    run->signals &= ~(unsigned)(SIGNALS_LOG_FILE | SIGNALS_STACKS);
}

static bool on_wake(void *arg) {
    struct run *run = arg;
    take_signals(run);
    if (atomic_load(&run->failed) || atomic_load(&run->cold) || signals_stop() || run->signals & SIGNALS_PYTHON_TERM ||
        supervisor_wants(run))
        return true;
    leave_handlers(run);
    return run->exit_wanted;
}

/* Nobody waits for an answer, and what goes on does not end, since one of the calls keeps the interpreter lock. */
static bool is_waiting_in_vain(const struct run *run) {
    unsigned connections, requests;
    lane_count(run->lane, &connections, &requests);
    return !requests && !connections && lost_calls_are_stuck(&run->lost_calls);
}

static bool on_wake_while_stopping(void *arg) {
    struct run *run = arg;
    take_signals(run);
    leave_handlers(run);
    if (run->retires && supervisor_wants(run) == WORKER_STOPS) {
        run->retires = false; /* so do all others, and nobody is left to take connections */
        title_set_worker(run->worker->number, "stopping");
        lane_stop(run->lane);
    }
    return atomic_load(&run->failed) || is_waiting_in_vain(run);
}

/* Waits for the scheduler to end, until `deadline`. Returns how many requests, or else threads, are left. A handler
 * that still runs on the main thread is part of the end of Python, for which there is another limit
 * (EXIT_TIMER_PYTHON). */
static unsigned wait_stopped(struct run *run, uint64_t deadline) {
    struct sched *sched = lane_sched(run->lane);
    unsigned connections, requests;
    sched_watch(sched, signals_read_fd(), deadline, on_wake_while_stopping, run);
    lane_count(run->lane, &connections, &requests);
    unsigned left = requests ? requests : sched_join(sched, clock_ns() + JOIN_NS);
    return !requests && run->calls_on_main && main_thread_is_handling(&run->main) ? 0 : left;
}

static const char *stop_reason(const struct run *run) {
    if (atomic_load(&run->cold))
        return "a request of --warm-up has failed";
    if (signals_stop())
        return sigabbrev_np(signals_stop());
    if (supervisor_wants(run))
        return "by order of the supervisor";
    return run->exit_wanted ? "the application's signal handler" : "TERM, by _thread.interrupt_main";
}

/* Begins the end. A worker that ends of its own accord, or by a signal that it alone has got, leaves what it can to the
 * others; whether there are any is for the lane to find out. */
static void begin(struct run *run) {
    struct worker *worker = run->worker;
    run->retires = worker && supervisor_wants(run) != WORKER_STOPS;
    if (worker) {
        title_set_worker(worker->number, run->retires ? "retiring" : "stopping");
        if (!run->retires || atomic_load(&run->cold)) /* else it accepts until the lane has heard of it */
            worker_tell_ending(worker);
    }
    if (run->retires && supervisor_wants(run) == WORKER_GOES_ON && !atomic_load(&run->cold))
        worker_tell_wish(worker, CONTROL_REASON_SIGNAL);
    if (run->retires)
        lane_retire(run->lane);
    else
        lane_stop(run->lane);
}

/* How many calls go on whose clients were answered; writes that, behind `before`, or "" when there are none. */
static unsigned count_lost(const struct run *run, const char *before, char out[static LOST_SIZE]) {
    unsigned calls = sched_lost(lane_sched(run->lane));
    out[0] = '\0';
    if (calls)
        snprintf(out, LOST_SIZE, "%s%u call%s beyond --request-timeout", before, calls, ascii_plural(calls));
    return calls;
}

static void log_left(const struct run *run, unsigned requests, unsigned connections) {
    char shown[ASCII_SECONDS_SIZE], lost[LOST_SIZE];
    unsigned calls = count_lost(run, "", lost);
    ascii_put_seconds(shown, run->graceful_timeout);
    if (is_waiting_in_vain(run))
        log_warning("nobody gets the interpreter lock: ending without %s", lost);
    else if (calls && !requests)
        log_warning("after %s s (--graceful-timeout) %s go%s on, whose clients were answered before: ending without %s",
                    shown, lost, calls == 1 ? "es" : "", calls == 1 ? "it" : "them");
    else
        log_warning(
            "after %s s (--graceful-timeout) %u request%s%s%s and %u connection%s are left: ending without them", shown,
            requests, ascii_plural(requests), calls ? ", " : "", lost, connections, ascii_plural(connections));
}

/* Why a warm-up has failed is the status already, and with --stop-delay the manager has heard of the stop before. */
static void notify_stopping(const struct run *run, unsigned requests) {
    char text[80];
    const _Atomic uint32_t *leaving = atomic_load(&run->leaving);
    notify_extend(run->graceful_timeout + 2 * EXIT_TIMER_PYTHON);
    snprintf(text, sizeof text, "%u request%s to finish", requests, ascii_plural(requests));
    notify_tell(leaving && atomic_load(leaving) ? NOTIFY_STARTING : NOTIFY_STOPPING,
                atomic_load(&run->cold) ? NULL : text);
}

static bool on_wake_while_leaving(void *arg) {
    struct run *run = arg;
    take_signals(run);
    leave_handlers(run);
    return atomic_load(&run->failed) || run->exit_wanted;
}

/* Who sends requests here learns by its health checks that the server is about to stop, and until then all goes on
 * (--stop-delay). Whoever types Ctrl-C does not want to wait. */
static void delay_stop(struct run *run) {
    char shown[ASCII_SECONDS_SIZE], text[80];
    _Atomic uint32_t *leaving = atomic_load(&run->leaving);
    if (run->stop_delay <= 0 || !leaving || signals_stop() != SIGTERM)
        return;
    atomic_store(leaving, 1);
    ascii_put_seconds(shown, run->stop_delay);
    log_info("SIGTERM: stopping in %s s (--stop-delay); a second signal ends it at once", shown);
    notify_extend(run->stop_delay + run->graceful_timeout + 2 * EXIT_TIMER_PYTHON);
    snprintf(text, sizeof text, "serves for %s s more (--stop-delay)", shown);
    notify_tell(NOTIFY_STOPPING, text);
    sched_watch(lane_sched(run->lane), signals_read_fd(), clock_ns() + (uint64_t)(run->stop_delay * 1e9),
                on_wake_while_leaving, run);
}

/* Returns whether something of the application is still running and has to be left behind. */
static bool stop(struct run *run) {
    double seconds = run->graceful_timeout;
    char shown[ASCII_SECONDS_SIZE], lost[LOST_SIZE];
    run->stop_at = clock_ns();
    if (atomic_load(&run->cold))
        run->exit_status = EX_SOFTWARE;
    unsigned before = lane_ended(run->lane);
    uint64_t deadline = run->stop_at + (uint64_t)(seconds * 1e9);
    unsigned connections, requests;
    ascii_put_seconds(shown, seconds);
    begin(run);
    /* Python may be stuck with the GIL held, so make sure that the process ends in any case. */
    exit_timer_set((unsigned)seconds + EXIT_TIMER_PYTHON, run->exit_status);
    lane_count(run->lane, &connections, &requests);
    (void)count_lost(run, " and ", lost);
    log_printf(run_stop_level(run), "%s (%s): %u request%s in work%s, up to %s s to finish%s",
               run->retires ? "retiring" : "stopping", stop_reason(run), requests, ascii_plural(requests), lost, shown,
               (requests || *lost) && !supervisor_wants(run) ? "; a second signal ends it at once" : "");
    notify_stopping(run, requests);
    leave_handlers(run);
    bool left = wait_stopped(run, deadline);
    run->finished = lane_ended(run->lane) - before;
    if (!left)
        return false;
    lane_count(run->lane, &connections, &requests);
    log_left(run, requests, connections);
    run->cut = requests;
    if (requests && !run->exit_status)
        run->exit_status = STATUS_CUT;
    lane_abort(run->lane);
    return wait_stopped(run, clock_ns() + JOIN_NS) > 0;
}

/* Why Python cannot be ended; NULL: it can. */
static const char *python_is_stuck(const struct run *run) {
    if (run->left && run->calls_on_main)
        return "the call on Python's main thread does not end (--threads 1)"; /* which alone can end Python */
    return run->left && lost_calls_are_stuck(&run->lost_calls) ? "nobody gets the interpreter lock" : NULL;
}

static _Noreturn void end_without_python(const struct run *run, const char *why) {
    log_warning("%s: handlers of signals and functions of atexit do not run", why);
    leave_nothing();
    run_log_stopped(run);
    access_output_flush();
    log_flush();
    _exit(run->exit_status);
}

static void *watch_main(void *arg) {
    struct run *run = arg;
    sched_watch(lane_sched(run->lane), signals_read_fd(), 0, on_wake, run);
    if (atomic_load(&run->failed))
        return NULL;
    delay_stop(run);
    run->left = stop(run);
    if (run->worker)
        worker_tell_ends(run->worker, run->finished, run->cut);
    (void)main_thread_wants_end(&run->main, &run->exit_status);
    const char *stuck = python_is_stuck(run);
    if (stuck)
        end_without_python(run, stuck);
    exit_timer_set(EXIT_TIMER_PYTHON, run->exit_status);
    main_thread_let_go(&run->main);
    return NULL;
}

void watch_thread_check_cb(void *arg) {
    struct run *run = arg;
    if (!main_thread_is_handling(&run->main))
        signals_take_back();
}

int watch_thread_start(struct run *run) {
    sigset_t others;
    char limit[THREAD_LIMIT_SIZE];
    signals_fill_others(&others);
    int error = thread_create(&run->watch, &others, "wsgi-fcgi-watch", watch_main, run);
    if (error) {
        log_error("cannot start a thread: %s", thread_limit_explain(error, limit));
        return -1;
    }
    return 0;
}

void watch_thread_join(struct run *run) {
    pthread_join(run->watch, NULL);
}
