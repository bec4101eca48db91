#include "config.h"

#include "process/crash.h"

#include "base/log.h"

#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <unistd.h>

/* Those of faulthandler. */
static const int numbers[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
enum { NUMBERS = sizeof numbers / sizeof numbers[0] };
static struct sigaction before[NUMBERS];

enum { PATIENCE_MS = 1000 }; /* with whoever reads the log */

static bool is_read(void) {
    return log_flush() && poll(&(struct pollfd){.fd = STDERR_FILENO, .events = POLLOUT}, 1, PATIENCE_MS) > 0;
}

static void crash_handler(int number, siginfo_t *info, void *context) {
    static const struct sigaction end = {.sa_handler = SIG_DFL};
    bool read = is_read();
    (void)context;
    for (size_t i = 0; i < NUMBERS; i++) {
        if (numbers[i] == number)
            sigaction(number, read ? &before[i] : &end, NULL);
    }
    /* A fault comes again by itself when this returns, with what a core file should show; what somebody has sent does not. */
    if (info->si_code <= 0)
        raise(number);
}

void crash_install(void) {
    struct sigaction action = {.sa_sigaction = crash_handler, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < NUMBERS; i++)
        sigaction(numbers[i], &action, &before[i]);
}
