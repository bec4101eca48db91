#include "config.h"

#include "supervisor/take_signals.h"

#include "base/ascii.h"
#include "base/clock.h"
#include "base/descriptors.h"
#include "base/log.h"
#include "process/access_output.h"
#include "process/log_output.h"
#include "process/terminal.h"
#include "process/title.h"
#include "supervisor/workers.h"
#include "supervisor/zygotes.h"

#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* Signals within this time of the first one count as that one: process/signals.c says why. */
#define SAME_NS UINT64_C(200000000)

static void say_stopping(const struct supervisor *s, int number) {
    char shown[ASCII_SECONDS_SIZE];
    unsigned count = 0;
    for (unsigned i = 0; i < s->slots_made; i++)
        count += s->workers[i].state != WORKER_NONE;
    log_info("stopping (%s): %u worker%s, up to %s s to finish; a second signal ends it at once", sigabbrev_np(number),
             count, ascii_plural(count), ascii_put_seconds(shown, s->o->graceful_timeout));
}

static void stop(struct supervisor *s, int number, uint64_t now) {
    s->stop_at = now;
    if (s->stopping)
        return;
    s->stopping = true;
    s->stop_signal = number;
    title_set("supervisor", "stopping");
    if (!s->at_once_at)
        say_stopping(s, number);
    if (!s->served)
        s->status = 128 + number;
    supervisor_leave_sockets(s);
}

/* All goes on, but for a reload, which would execute a program that knows nothing of the stop. */
static void leave(struct supervisor *s, uint64_t now) {
    char shown[ASCII_SECONDS_SIZE];
    s->leave_until = now + (uint64_t)(s->o->stop_delay * 1e9);
    atomic_store_explicit(&s->board->leaving, 1, memory_order_relaxed);
    reload_stop(s);
    title_set("supervisor", "about to stop");
    log_info("SIGTERM: stopping in %s s (--stop-delay); a second signal ends it at once",
             ascii_put_seconds(shown, s->o->stop_delay));
}

void take_signals_look(struct supervisor *s, uint64_t now) {
    if (s->leave_until && !s->stopping && supervisor_is_due(s, s->leave_until, now))
        stop(s, SIGTERM, now);
}

static void end(struct supervisor *s, int number) {
    const uint64_t now = clock_ns();
    if (s->signal_at) {
        if (number == SIGHUP || now < s->signal_at + SAME_NS || s->at_once_at)
            return;
        log_warning("second signal: ending at once");
        s->at_once_at = now;
        s->status = 128 + number;
        stop(s, number, s->stop_at ? s->stop_at : now);
        return;
    }
    s->signal_at = now;
    if (number == SIGTERM && s->o->stop_delay > 0 && s->served && !s->stopping)
        leave(s, now);
    else
        stop(s, number, now);
}

static void change_count(struct supervisor *s, int by) {
    const unsigned before = s->wanted;
    if (by > 0 && s->wanted < SUPERVISOR_WORKERS_MAX)
        s->wanted++;
    if (by < 0 && s->wanted > 1)
        s->wanted--;
    if (s->wanted != before)
        log_info("from now on the server is to have %u worker%s", s->wanted, ascii_plural(s->wanted));
    else
        log_warning("the server is to have %u worker%s, and cannot have %s", s->wanted, ascii_plural(s->wanted),
                    by > 0 ? "more" : "fewer");
}

static void reopen_log(struct supervisor *s) {
    if (!s->o->log_file && access_output_fd() < 0) {
        log_warning("SIGUSR1 does nothing here: the log is standard error, which needs no reopening: give --log-file "
                    "PATH or --access-log PATH, or have the file that it goes to rotated by copying and truncating");
        return;
    }
    log_output_reopen(-1);
    access_output_reopen();
    for (unsigned i = 0; i < s->slots_made; i++) {
        s->workers[i].reopen_due = s->o->log_file && s->workers[i].state != WORKER_NONE;
        s->workers[i].access_log_told = false;
    }
    if (s->o->log_file)
        zygotes_reopen_log(s);
}

static void log_stacks(struct supervisor *s) {
    unsigned count = 0;
    for (unsigned i = 0; i < s->slots_made; i++) {
        struct worker *w = &s->workers[i];
        w->stacks_due = w->state >= WORKER_SERVING;
        count += w->stacks_due;
    }
    log_info("SIGUSR2: %u worker%s told to log what runs", count, count == 1 ? " is" : "s are");
}

/* The kernel sends some of them to what runs on a terminal. */
static bool is_from_kernel(const struct signalfd_siginfo *info) {
    return info->ssi_code == SI_KERNEL;
}

static void take(struct supervisor *s, const struct signalfd_siginfo *info) {
    switch (info->ssi_signo) {
    case SIGTERM:
    case SIGINT:
    case SIGQUIT:
        end(s, (int)info->ssi_signo);
        break;
    case SIGHUP:
        if (is_from_kernel(info) || (s->had_terminal && !terminal_is_there(true)))
            end(s, SIGHUP);
        else
            reload_ask(s);
        break;
    case SIGUSR1:
        reopen_log(s);
        break;
    case SIGUSR2:
        log_stacks(s);
        break;
    case SIGTTIN:
    case SIGTTOU:
        if (!is_from_kernel(info))
            change_count(s, info->ssi_signo == SIGTTIN ? 1 : -1);
        break;
    case SIGCHLD:
        workers_reap(s);
        break;
    default:
        break;
    }
}

static void signal_cb(struct ev_loop *loop, ev_io *watch, int revents) {
    struct signalfd_siginfo info;
    (void)loop;
    (void)revents;
    while (read(watch->fd, &info, sizeof info) == (ssize_t)sizeof info)
        take(watch->data, &info);
}

static void fill(sigset_t *set) {
    static const int numbers[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGTTIN, SIGTTOU, SIGCHLD};
    struct sigaction now;
    sigemptyset(set);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (sigaction(numbers[i], NULL, &now) || now.sa_handler != SIG_IGN)
            sigaddset(set, numbers[i]);
    }
}

void take_signals_block(void) {
    sigset_t set;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTERM, SIG_DFL);
    signal(SIGCHLD, SIG_DFL); /* ignored, it would not tell how workers end */
    fill(&set);
    sigprocmask(SIG_SETMASK, &set, NULL);
}

int take_signals_start(struct supervisor *s) {
    sigset_t set;
    fill(&set);
    s->had_terminal = terminal_is_there(false);
    descriptors_lock();
    s->signal_fd = descriptors_adopt(signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
    descriptors_unlock();
    if (s->signal_fd < 0)
        return -1;
    ev_io_init(&s->signal_watch, signal_cb, s->signal_fd, EV_READ);
    /* A message of a worker may be about a signal that this process has got as well. */
    ev_set_priority(&s->signal_watch, EV_MAXPRI);
    s->signal_watch.data = s;
    ev_io_start(s->loop, &s->signal_watch);
    return 0;
}
