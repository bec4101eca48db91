#include "config.h"

#include "process/signals.h"

#include "base/clock.h"
#include "base/descriptors.h"
#include "base/log.h"
#include "base/thread_limit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

static int wake_pipe[2] = {-1, -1};
static const struct listener_set *_Atomic sockets;
static atomic_int stop_signal, stop_count; /* a handler runs on any thread, also on several at once */
static const int numbers[2] = {SIGTERM, SIGINT};
static struct sigaction before[2]; /* of each of them */
static bool chain[2];
static atomic_bool unchained[2]; /* have come, and the application's handler was not told */
static pid_t server_pid;

/* The end that comes in any case. */
static struct late {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* by CLOCK_MONOTONIC */
    uint64_t at;            /* clock_ns */
    int status;
    bool started; /* the thread is there */
} late = {.lock = PTHREAD_MUTEX_INITIALIZER};

int signals_open(void) {
    int pair[2];
    descriptors_lock();
    if (!pipe2(pair, O_NONBLOCK | O_CLOEXEC)) {
        wake_pipe[0] = descriptors_adopt(pair[0]);
        wake_pipe[1] = descriptors_adopt(pair[1]);
    }
    descriptors_unlock();
    if (wake_pipe[0] < 0 || wake_pipe[1] < 0)
        return -1;
    descriptors_guard(wake_pipe[0], "by which the main thread is woken");
    descriptors_guard(wake_pipe[1], "by which the main thread is woken");
    return 0;
}

int signals_wake_fd(void) {
    return wake_pipe[1];
}

int signals_read_fd(void) {
    return wake_pipe[0];
}

int signals_stop(void) {
    return stop_signal;
}

unsigned signals_drain(void) {
    char bytes[256];
    ssize_t n;
    unsigned seen = 0;
    while ((n = read(wake_pipe[0], bytes, sizeof bytes)) > 0) {
        for (ssize_t i = 0; i < n; i++) {
            if (bytes[i])
                seen |= SIGNALS_PYTHON;
            if (bytes[i] == SIGTERM)
                seen |= SIGNALS_PYTHON_TERM;
            if (bytes[i] == SIGINT)
                seen |= SIGNALS_PYTHON_INT;
        }
    }
    return seen;
}

static bool is_function(const struct sigaction *action) {
    return !(action->sa_flags & SA_SIGINFO) && action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN;
}

/* A child that the application forked (multiprocessing) inherits the handler; there the signal means what it meant
 * before. A default action is taken when the handler returns. */
static void act_in_child(int number, int which) {
    if (is_function(&before[which])) {
        before[which].sa_handler(number);
        return;
    }
    sigaction(number, &before[which], NULL);
    raise(number);
}

/* Sent by the application itself: kill(2), raise(3), sigqueue(3). */
static bool is_own(const siginfo_t *info) {
    return info->si_code <= 0 && info->si_pid == server_pid;
}

void signals_set_sockets(const struct listener_set *listeners) {
    sockets = listeners;
}

void signals_unlink_sockets(void) {
    const struct listener_set *set = sockets;
    if (set)
        listener_unlink_all(set);
}

/* There is nothing to finish yet. A child that the application forks while it is loaded ends as if nobody had done this. */
static void start_handler(int number) {
    if (getpid() == server_pid) {
        log_last(LOG_LEVEL_WARNING, number == SIGTERM ? "SIGTERM came before the application was loaded: ending"
                                                      : "SIGINT came before the application was loaded: ending");
        signals_unlink_sockets();
        _exit(128 + number);
    }
    signal(number, SIG_DFL);
    raise(number); /* is taken when the handler returns */
}

static bool has_handler(int number, void (*handler)(int)) {
    struct sigaction now;
    return !sigaction(number, NULL, &now) && !(now.sa_flags & SA_SIGINFO) && now.sa_handler == handler;
}

static void exchange_handlers(void (*from)(int), void (*to)(int)) {
    for (int which = 0; which < 2; which++) {
        if (has_handler(numbers[which], from))
            signal(numbers[which], to);
    }
}

void signals_begin(void) {
    server_pid = getpid();
    exchange_handlers(SIG_DFL, start_handler);
}

void signals_begin_python(void) {
    exchange_handlers(start_handler, SIG_DFL);
}

static void stop_handler(int number, siginfo_t *info, void *context) {
    int error = errno;
    int which = number == SIGINT;
    (void)context;
    if (getpid() != server_pid) {
        act_in_child(number, which);
        errno = error;
        return;
    }
    if (!is_own(info) && stop_count++) {
        signals_unlink_sockets();
        log_last(LOG_LEVEL_WARNING, "second signal: ending at once");
        _exit(128 + number);
    }
    unchained[which] = true;
    int none = 0;
    atomic_compare_exchange_strong(&stop_signal, &none, number);
    ssize_t n = write(wake_pipe[1], "", 1);
    (void)n; /* a full pipe wakes the main thread as well */
    errno = error;
}

static void install_stop(int which, bool chained) {
    struct sigaction action = {.sa_sigaction = stop_handler, .sa_flags = SA_RESTART | SA_SIGINFO};
    sigemptyset(&action.sa_mask);
    sigaddset(&action.sa_mask, SIGTERM);
    sigaddset(&action.sa_mask, SIGINT);
    sigaction(numbers[which], NULL, &before[which]);
    chain[which] = chained && is_function(&before[which]);
    sigaction(numbers[which], &action, NULL);
}

void signals_install(bool chain_term, bool chain_int) {
    exchange_handlers(start_handler, SIG_DFL);
    install_stop(0, chain_term);
    install_stop(1, chain_int);
}

bool signals_chain(void) {
    bool any = false;
    for (int which = 0; which < 2; which++) {
        if (!atomic_exchange(&unchained[which], false))
            continue;
        if (chain[which])
            before[which].sa_handler(numbers[which]);
        any |= chain[which];
    }
    return any;
}

/* The deadline. */

static struct timespec late_time(void) {
    return (struct timespec){.tv_sec = (time_t)(late.at / 1000000000), .tv_nsec = (long)(late.at % 1000000000)};
}

static void *late_run(void *unused) {
    (void)unused;
    pthread_mutex_lock(&late.lock);
    while (clock_ns() < late.at) {
        struct timespec until = late_time();
        pthread_cond_timedwait(&late.changed, &late.lock, &until);
    }
    log_last(LOG_LEVEL_WARNING, "the interpreter did not end in time: ending without it");
    _exit(late.status);
}

/* Of all signals this thread takes those of the server alone. */
static int late_start(void) {
    sigset_t others, mask;
    pthread_condattr_t attr;
    pthread_t thread;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&late.changed, &attr);
    pthread_condattr_destroy(&attr);
    sigfillset(&others);
    sigdelset(&others, SIGTERM);
    sigdelset(&others, SIGINT);
    pthread_sigmask(SIG_SETMASK, &others, &mask);
    int error = pthread_create(&thread, NULL, late_run, NULL);
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
    if (!error) {
        pthread_setname_np(thread, "wsgi-fcgi-end");
        pthread_detach(thread);
    }
    return error;
}

void signals_exit_after(unsigned seconds, int status) {
    int error = 0;
    pthread_mutex_lock(&late.lock);
    late.at = clock_ns() + (uint64_t)seconds * 1000000000;
    late.status = status;
    if (late.started)
        pthread_cond_signal(&late.changed);
    else
        late.started = !(error = late_start());
    pthread_mutex_unlock(&late.lock);
    if (error) {
        char limit[THREAD_LIMIT_SIZE];
        log_warning("cannot start a thread: %s: nothing ends the server should the application not end",
                    thread_limit_explain(error, limit));
    }
}
