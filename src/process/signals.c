#include "config.h"

#include "process/signals.h"

#include "base/descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static int wake_pipe[2] = {-1, -1};
static const struct listener_set *sockets;
static volatile sig_atomic_t stop_signal, stop_count, late_status;
static struct sigaction before[2]; /* of SIGTERM, of SIGINT */
static bool chain[2];
static pid_t server_pid;

int signals_open(void) {
    int pair[2];
    descriptors_lock();
    if (!pipe2(pair, O_NONBLOCK | O_CLOEXEC)) {
        wake_pipe[0] = descriptors_adopt(pair[0]);
        wake_pipe[1] = descriptors_adopt(pair[1]);
    }
    descriptors_unlock();
    return wake_pipe[0] >= 0 && wake_pipe[1] >= 0 ? 0 : -1;
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

bool signals_drain(void) {
    char bytes[256];
    ssize_t n;
    bool python = false;
    while ((n = read(wake_pipe[0], bytes, sizeof bytes)) > 0) {
        for (ssize_t i = 0; i < n; i++)
            python |= bytes[i] != 0;
    }
    return python;
}

static void say(const char *text) {
    ssize_t n = write(STDERR_FILENO, text, strlen(text));
    (void)n;
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

static void stop_handler(int number) {
    int error = errno;
    int which = number == SIGINT;
    if (getpid() != server_pid) {
        act_in_child(number, which);
        errno = error;
        return;
    }
    if (stop_count++) {
        say("wsgi-fcgi: second signal: ending at once\n");
        listener_unlink_all(sockets->items, sockets->count);
        _exit(128 + number);
    }
    stop_signal = number;
    if (chain[which])
        before[which].sa_handler(number);
    ssize_t n = write(wake_pipe[1], "", 1);
    (void)n; /* a full pipe wakes the main thread as well */
    errno = error;
}

static void exit_handler(int number) {
    (void)number;
    say("wsgi-fcgi: the interpreter did not end in time: ending without it\n");
    _exit(late_status);
}

static void install(int number, void (*handler)(int), struct sigaction *old) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaddset(&action.sa_mask, SIGTERM);
    sigaddset(&action.sa_mask, SIGINT);
    sigaction(number, &action, old);
}

static void install_stop(int number, int which, bool chained) {
    install(number, stop_handler, &before[which]);
    chain[which] = chained && is_function(&before[which]);
}

void signals_install(const struct listener_set *listeners, bool chain_term, bool chain_int) {
    sockets = listeners;
    server_pid = getpid();
    install_stop(SIGTERM, 0, chain_term);
    install_stop(SIGINT, 1, chain_int);
}

void signals_exit_after(unsigned seconds, int status) {
    late_status = status;
    install(SIGALRM, exit_handler, NULL);
    alarm(seconds);
}
