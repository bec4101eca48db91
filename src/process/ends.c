#include "config.h"

#include "process/ends.h"
#include "process/access_output.h"
#include "process/leave.h"

#include "base/log.h"
#include "python/child.h"
#include "python/running.h"

#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

enum { REQUEST_SIZE = 600, PATIENCE_MS = 1000 /* with the reader of the log */ };

/* Those that faulthandler shows, too.
 * Mutable crashes: the main thread, each action before what reads it is installed. */
static struct crash {
    int number;
    struct sigaction before; /* ends_install */
    struct sigaction shown;  /* ends_bound: by which the tracebacks are shown */
} crashes[] = {{.number = SIGSEGV}, {.number = SIGBUS}, {.number = SIGFPE}, {.number = SIGILL}, {.number = SIGABRT}};
enum { CRASHES = sizeof crashes / sizeof *crashes };

static struct crash *find(int number) {
    struct crash *c = crashes;
    while (c->number != number)
        c++;
    return c;
}

/* Uses only what may be called in a signal handler. */
static void say_crash(int number) {
    char line[LOG_LAST_MAX], text[REQUEST_SIZE];
    const char *request = running_text(text, sizeof text);
    char *p = stpcpy(line, request ? request : "outside of a request");
    p = stpcpy(p, ": the process crashed (SIG");
    p = stpcpy(p, sigabbrev_np(number));
    stpcpy(p, "), and all requests in work with it");
    log_last(LOG_LEVEL_ERROR, line);
    access_output_flush();
}

/* The signal is raised again for its previous handler, a sanitizer's or the system's, which may write a core file. It
 * is delivered when this returns. */
static void crash_cb(int number) {
    if (!child_is())
        say_crash(number);
    sigaction(number, &find(number)->before, NULL);
    raise(number);
}

static bool is_read(void) {
    return log_flush() && poll(&(struct pollfd){.fd = STDERR_FILENO, .events = POLLOUT}, 1, PATIENCE_MS) > 0;
}

static void bound_cb(int number, siginfo_t *info, void *context) {
    static const struct sigaction end = {.sa_handler = SIG_DFL};
    (void)context;
    sigaction(number, is_read() ? &find(number)->shown : &end, NULL);
    /* A fault happens again by itself when this returns, with everything that a core file should show. A signal that
     * somebody has sent does not. */
    if (info->si_code <= 0)
        raise(number);
}

void ends_install(void) {
    struct sigaction action = {.sa_handler = crash_cb, .sa_flags = SA_ONSTACK};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < CRASHES; i++)
        sigaction(crashes[i].number, &action, &crashes[i].before);
}

void ends_bound(void) {
    struct sigaction action = {.sa_sigaction = bound_cb, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < CRASHES; i++)
        sigaction(crashes[i].number, &action, &crashes[i].shown);
}

void ends_exit(int status) {
    char text[REQUEST_SIZE];
    const char *request = running_text(text, sizeof text);
    leave_nothing(); /* first: logging may have to wait for the reader of the log */
    log_error("%s: the application ended the process by os._exit(%d), and all requests in work with it",
              request ? request : "outside of a request", status);
    access_output_flush();
    log_flush();
}
