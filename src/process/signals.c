#include "config.h"

#include "process/leave.h"
#include "process/signals.h"

#include "base/clock.h"
#include "base/descriptors.h"
#include "base/log.h"
#include "base/log_file.h"
#include "base/log_limit.h"
#include "process/access_output.h"
#include "process/terminal.h"
#include "python/load_interrupt.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LOAD_SECONDS = 5 }; /* that the application may take to end once its import was interrupted */

/* Signals within this time of the first one count as that one. timeout(1) signals its child and at once the whole
 * process group, and a terminal has sent the same signal already. Hardly anybody presses Ctrl-C twice as fast. */
#define SAME_NS UINT64_C(200000000)

/* A handler has no argument, and runs on any thread, also on several at once.
 * Mutable state: the main thread sets what is not atomic before a handler or the watch reads it. */
static struct state {
    int wake_pipe[2];
    atomic_int stop;           /* the signal that asked for an end, or 0 */
    _Atomic uint64_t first[2]; /* when the first one came directly, and by way of process 1: clock_ns, or 0 */
    bool passed_on;            /* there is a process 1 that passes them on */
    pid_t pid;                 /* the server's */
    pid_t supervisor;          /* of which this process is a worker, or 0 */
    bool had_terminal;
    timer_t load_timer;
    atomic_bool load_bounded; /* there is one */
    /* What a signal that ends the server does at present. */
    _Atomic enum phase {
        AT_ONCE, /* nothing is there yet, or any more, that could be finished */
        LOADING, /* interrupts the application */
        SERVING,
        FORKING /* nothing: this process is the zygote */
    } phase;
} state = {.wake_pipe = {-1, -1}};

/* The signals of the server. Handlers that the application sets replace the server's, but those of the first two are
 * called at the end of a stop.
 * Mutable table: the main thread, what is not atomic before the handler is installed; `told` and `limit` are those of
 * whoever drains the pipe, under the lock of main_thread.c. */
static struct taken {
    const int number;
    const char *const advice; /* NULL: ends the server */
    struct sigaction before;  /* what it does in a child, */
    bool chain;               /* and at the end of a stop as well */
    bool taken;               /* by signals_install */
    atomic_bool unchained;    /* has come, and the application's handler was not told */
    atomic_ulong came;        /* so often, */
    unsigned long told;       /* of which the log was told */
    struct log_limit limit;
} table[] = {
    {.number = SIGTERM},
    {.number = SIGINT},
    {.number = SIGQUIT},
    {.number = SIGHUP, /* unless a terminal is gone */
     .advice = "restart the server to load new code or options (with --workers this signal loads new code); "
               "SIGUSR1 opens the files of --log-file and --access-log anew"},
    {.number = SIGUSR1, /* unless there is a log file */
     .advice = "the log is standard error, which needs no reopening: give --log-file PATH or --access-log PATH, or "
               "have the file that it goes to rotated by copying and truncating"},
    {.number = SIGUSR2, /* unless calls may run */
     .advice = ""},
    /* In workers only, where they are meant for the supervisor. Others leave them to job control. */
    {.number = SIGTTIN, .advice = ""},
    {.number = SIGTTOU, .advice = ""},
};
enum { TERM, INT, CHAINED, TAKEN_BY_WORKERS = sizeof table / sizeof table[0], TAKEN = TAKEN_BY_WORKERS - 2 };

static size_t taken_count(void) {
    return state.supervisor ? TAKEN_BY_WORKERS : TAKEN;
}

int signals_open(void) {
    int pair[2];
    descriptors_lock();
    if (!pipe2(pair, O_NONBLOCK | O_CLOEXEC)) {
        state.wake_pipe[0] = descriptors_adopt(pair[0]);
        state.wake_pipe[1] = descriptors_adopt(pair[1]);
    }
    descriptors_unlock();
    if (state.wake_pipe[0] < 0 || state.wake_pipe[1] < 0)
        return -1;
    descriptors_guard(state.wake_pipe[0], "by which the watch is woken");
    descriptors_guard(state.wake_pipe[1], "by which the watch is woken");
    return 0;
}

int signals_wake_fd(void) {
    return state.wake_pipe[1];
}

int signals_read_fd(void) {
    return state.wake_pipe[0];
}

void signals_wake(void) {
    ssize_t n = write(state.wake_pipe[1], "", 1);
    (void)n; /* a full pipe wakes it as well */
}

int signals_stop(void) {
    return state.stop;
}

/* What the signal asks for: of SIGNALS_*; 0: nothing. */
static unsigned meaning_of(const struct taken *t) {
    if (t->number == SIGUSR1 && (log_file_path() || access_output_fd() >= 0) && !state.supervisor)
        return SIGNALS_LOG_FILE;
    return t->number == SIGUSR2 && state.phase != FORKING ? SIGNALS_STACKS : 0;
}

/* Logs what to do instead, for the signals without a meaning that have come. Returns what the others ask for. */
static unsigned tell(void) {
    char more[LOG_MORE_SIZE];
    unsigned wanted = 0;
    for (size_t i = 0; i < taken_count(); i++) {
        struct taken *t = &table[i];
        unsigned meaning = meaning_of(t);
        for (; t->told < t->came; t->told++) {
            wanted |= meaning;
            if (meaning || !log_limit_due(&t->limit, more))
                continue;
            if (!t->advice)
                log_info("SIG%s does not end the zygote, which ends with the supervisor, process %d%s",
                         sigabbrev_np(t->number), (int)state.supervisor, more);
            else if (state.supervisor)
                log_warning("SIG%s does nothing in a worker: send it to the supervisor, process %d%s",
                            sigabbrev_np(t->number), (int)state.supervisor, more);
            else
                log_warning("SIG%s does nothing here: %s%s", sigabbrev_np(t->number), t->advice, more);
        }
    }
    return wanted;
}

unsigned signals_drain(void) {
    char bytes[256];
    ssize_t n;
    unsigned seen = 0;
    while ((n = read(state.wake_pipe[0], bytes, sizeof bytes)) > 0) {
        for (ssize_t i = 0; i < n; i++) {
            if (bytes[i])
                seen |= SIGNALS_PYTHON;
            if (bytes[i] == SIGTERM)
                seen |= SIGNALS_PYTHON_TERM;
            if (bytes[i] == SIGINT)
                seen |= SIGNALS_PYTHON_INT;
        }
    }
    return seen | tell();
}

/* For signal handlers. `number`: the signal whose name comes in between, or 0. */
static void say(const char *text, int number, const char *end) {
    char line[160];
    const char *name = number ? sigabbrev_np(number) : "";
    const char *const parts[] = {text, number ? "SIG" : "", name, end};
    size_t len = 0;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        size_t n = strlen(parts[i]);
        n = n < sizeof line - len ? n : sizeof line - len - 1;
        memcpy(line + len, parts[i], n);
        len += n;
    }
    line[len] = '\0';
    log_last(LOG_LEVEL_WARNING, line);
}

static bool is_function(const struct sigaction *action) {
    return !(action->sa_flags & SA_SIGINFO) && action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN;
}

/* A child that the application forked (multiprocessing) inherits the handler; there the signal does what it did before.
 * A default action happens when the handler returns. */
static void act_in_child(struct taken *t) {
    if (is_function(&t->before)) {
        t->before.sa_handler(t->number);
        return;
    }
    sigaction(t->number, &t->before, NULL);
    raise(t->number);
}

/* Sent by the application itself: kill(2), raise(3), sigqueue(3). */
static bool is_own(const siginfo_t *info) {
    return info->si_code <= 0 && info->si_pid == state.pid;
}

/* A sender that signals all processes of a service (as systemd does) in fact signals this one twice. */
static bool is_passed_on(const siginfo_t *info) {
    return state.passed_on && info->si_code == SI_USER && info->si_pid == 1;
}

/* Meant to be another one than the first. */
static bool is_second(const siginfo_t *info) {
    uint64_t before = 0, now = clock_ns();
    if (is_own(info) || atomic_compare_exchange_strong(&state.first[is_passed_on(info)], &before, now))
        return false;
    return now >= before + SAME_NS;
}

/* Whether the terminal is gone. The kernel tells the session leader and the processes in the foreground; a shell passes
 * it on to its jobs. By then the kernel has taken the terminal away from all processes of the session. */
static bool is_hangup(const siginfo_t *info) {
    return info->si_code == SI_KERNEL || (state.had_terminal && !terminal_is_there(true));
}

/* Whether the process is in the background and has used the terminal. It stops, as it would without a handler. */
static bool is_job_control(const siginfo_t *info) {
    return (info->si_signo == SIGTTIN || info->si_signo == SIGTTOU) && info->si_code == SI_KERNEL;
}

static _Noreturn void end_now(const char *text, int number, const char *end, int status) {
    leave_nothing();
    say(text, number, end);
    _exit(status);
}

/* The application ends by the exception that is raised, or by this timer. */
static void interrupt(int number) {
    struct itimerspec once = {.it_value = {.tv_sec = LOAD_SECONDS}};
    if (!state.load_bounded || timer_settime(state.load_timer, 0, &once, NULL))
        end_now("ending at once (", number, ")", 128 + number);
    load_interrupt_raise(number);
}

static void load_timer_cb(int number, siginfo_t *info, void *context) {
    (void)number;
    (void)context;
    if (info->si_code == SI_TIMER && state.phase == LOADING && getpid() == state.pid)
        end_now("the application did not end within 5 seconds of ", state.stop, ": ending without it",
                128 + state.stop);
}

static void end(struct taken *t, const siginfo_t *info) {
    int none = 0;
    if (state.phase == FORKING) {
        t->came++;
        return;
    }
    if (t->number == SIGHUP && state.stop)
        return; /* a shell tells its job in the foreground, and the system does so once more when the shell ends */
    if (is_second(info))
        end_now("second signal: ending at once", 0, "", 128 + t->number);
    t->unchained = true;
    atomic_compare_exchange_strong(&state.stop, &none, t->number);
    if (state.phase == AT_ONCE)
        end_now("ending at once (", t->number, ")", 128 + t->number);
    if (state.phase == LOADING && !none)
        interrupt(t->number);
}

static void signal_cb(int number, siginfo_t *info, void *context) {
    int error = errno;
    struct taken *t = table;
    (void)context;
    while (t->number != number)
        t++;
    if (getpid() != state.pid) {
        act_in_child(t);
        errno = error;
        return;
    }
    if (is_job_control(info))
        raise(SIGSTOP);
    else if (t->advice && !(number == SIGHUP && is_hangup(info)))
        t->came++;
    else
        end(t, info);
    ssize_t n = write(state.wake_pipe[1], "", 1);
    (void)n; /* a full pipe wakes the watch as well */
    errno = error;
}

/* A crash must find its handler: a blocked signal that a fault raises kills without it. */
void signals_fill_others(sigset_t *set) {
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};
    sigfillset(set);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        sigdelset(set, faults[i]);
    for (size_t i = 0; i < taken_count(); i++)
        sigdelset(set, table[i].number);
}

static bool is_ours(const struct sigaction *action) {
    return action->sa_flags & SA_SIGINFO && action->sa_sigaction == signal_cb;
}

static bool is_ignored(const struct sigaction *action) {
    return !(action->sa_flags & SA_SIGINFO) && action->sa_handler == SIG_IGN;
}

/* The application has had a handler, and has restored what Python had shown it. */
static bool is_default(const struct sigaction *action) {
    return !(action->sa_flags & SA_SIGINFO) && action->sa_handler == SIG_DFL;
}

/* `flags`: SA_RESTART, or 0 where a system call is to be interrupted. */
static void install(const struct taken *t, int flags) {
    struct sigaction action = {.sa_sigaction = signal_cb, .sa_flags = flags | SA_SIGINFO};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < taken_count(); i++)
        sigaddset(&action.sa_mask, table[i].number);
    sigaction(t->number, &action, NULL);
}

void signals_start(bool by_process_1, pid_t supervisor) {
    sigset_t none;
    state.passed_on = by_process_1;
    state.supervisor = supervisor;
    state.pid = getpid();
    state.had_terminal = terminal_is_there(false);
    for (size_t i = 0; i < taken_count(); i++) {
        sigaction(table[i].number, NULL, &table[i].before);
        if (table[i].number != SIGTERM && is_ignored(&table[i].before))
            continue;
        table[i].before = (struct sigaction){.sa_handler = SIG_DFL};
        install(&table[i], SA_RESTART);
    }
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_DFL);
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, NULL);
}

static void bound_load(void) {
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = LOAD_INTERRUPT_CARRIER};
    struct sigaction action = {.sa_sigaction = load_timer_cb, .sa_flags = SA_RESTART | SA_SIGINFO};
    sigfillset(&action.sa_mask);
    sigaction(LOAD_INTERRUPT_CARRIER, &action, NULL);
    state.load_bounded = !timer_create(CLOCK_MONOTONIC, &event, &state.load_timer);
}

void signals_load_begins(void) {
    struct sigaction now;
    sigset_t ours, mask;
    sigemptyset(&ours);
    for (size_t i = 0; i < taken_count(); i++)
        sigaddset(&ours, table[i].number);
    pthread_sigmask(SIG_BLOCK, &ours, &mask); /* for as long as Python has the handlers */
    for (size_t i = 0; i < taken_count(); i++) {
        struct taken *t = &table[i];
        if (sigaction(t->number, NULL, &now) || !is_ours(&now))
            continue;
        load_interrupt_show_free(t->number);
        sigaction(t->number, NULL, &t->before);
        install(t, t->advice ? SA_RESTART : 0);
    }
    if (load_interrupt_open()) {
        bound_load();
        state.phase = LOADING;
    }
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
}

/* Whether a signal that ends the server lets system calls of the main thread go on: SA_RESTART, or 0. */
static void set_restart(int flags) {
    struct sigaction now;
    for (size_t i = 0; i < taken_count(); i++) {
        if (!table[i].advice && !sigaction(table[i].number, NULL, &now) && is_ours(&now))
            install(&table[i], flags);
    }
}

void signals_load_resumes(void) {
    if (!load_interrupt_open())
        return;
    bound_load();
    set_restart(0);
    state.phase = LOADING;
    if (state.stop)
        interrupt(state.stop);
}

void signals_load_ends(bool loaded) {
    state.phase = loaded ? SERVING : AT_ONCE;
    if (loaded)
        set_restart(SA_RESTART);
    if (atomic_exchange(&state.load_bounded, false))
        timer_delete(state.load_timer);
}

/* Whether the signal is not for the server to take. */
static bool is_left(size_t which, const struct sigaction *now) {
    if (which == TERM)
        return false;
    return which == INT ? is_ignored(now) : !is_ours(now) && !is_default(now);
}

void signals_install(bool chain_term, bool chain_int) {
    const bool chain[CHAINED] = {[TERM] = chain_term, [INT] = chain_int};
    struct sigaction now;
    for (size_t i = 0; i < taken_count(); i++) {
        struct taken *t = &table[i];
        sigaction(t->number, NULL, &now);
        if (is_left(i, &now))
            continue;
        if (!is_ours(&now)) {
            t->before = now;
            t->chain = i < CHAINED && chain[i] && is_function(&now);
        }
        install(t, SA_RESTART);
        t->taken = true;
    }
}

void signals_take_back(void) {
    struct sigaction now;
    for (size_t i = 0; i < taken_count(); i++) {
        if (table[i].taken && !sigaction(table[i].number, NULL, &now) && is_default(&now))
            install(&table[i], SA_RESTART);
    }
}

void signals_interrupted(void) {
    install(&table[INT], SA_RESTART);
    kill(state.pid, SIGINT);
}

void signals_end_by(int number) {
    uint64_t before = 0;
    int none = 0;
    struct taken *t = &table[TERM];
    for (size_t i = 0; i < TAKEN; i++) {
        if (table[i].number == number && !table[i].advice)
            t = &table[i];
    }
    atomic_compare_exchange_strong(&state.first[0], &before, clock_ns());
    t->unchained = true;
    atomic_compare_exchange_strong(&state.stop, &none, t->number);
    signals_wake();
}

void signals_leave_to_supervisor(void) {
    state.phase = FORKING;
}

void signals_begin_forked(void) {
    state.pid = getpid();
    state.phase = SERVING;
    state.stop = 0;
    state.wake_pipe[0] = state.wake_pipe[1] = -1;
    for (size_t i = 0; i < sizeof state.first / sizeof state.first[0]; i++)
        state.first[i] = 0;
    for (size_t i = 0; i < taken_count(); i++) {
        table[i].unchained = false;
        table[i].told = table[i].came;
    }
}

bool signals_chain(void) {
    bool any = false;
    for (size_t i = 0; i < CHAINED; i++) {
        struct taken *t = &table[i];
        if (!atomic_exchange(&t->unchained, false))
            continue;
        if (t->chain)
            t->before.sa_handler(t->number);
        any |= t->chain;
    }
    return any;
}
