#include "config.h"

#include "process/ends.h"

#include "base/log.h"
#include "process/signals.h"
#include "python/child.h"
#include "python/wsgi.h"

#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

enum { REQUEST_SIZE = 600 };

/* Those that faulthandler shows, too. */
static const struct crash {
    int number;
    const char *name;
} crashes[] = {{SIGSEGV, "SIGSEGV"}, {SIGBUS, "SIGBUS"}, {SIGFPE, "SIGFPE"}, {SIGILL, "SIGILL"}, {SIGABRT, "SIGABRT"}};
enum { CRASHES = sizeof crashes / sizeof *crashes };
static struct sigaction before[CRASHES];

/* With nothing but what may be called in a handler of a signal. */
static void say_crash(const char *name) {
    char line[REQUEST_SIZE + 200] = "wsgi-fcgi: error: ", text[REQUEST_SIZE];
    const char *request = wsgi_running(text, sizeof text);
    char *p = stpcpy(line + strlen(line), request ? request : "outside of a request");
    p = stpcpy(p, ": the process crashed (");
    p = stpcpy(p, name);
    p = stpcpy(p, "), and all requests in work with it\n");
    ssize_t n = write(STDERR_FILENO, line, (size_t)(p - line));
    (void)n;
}

/* The signal is raised again, for whoever had it before: a sanitizer, or the system, which may write a core file. It comes
 * when this returns. */
static void crash_handler(int number) {
    for (size_t i = 0; i < CRASHES; i++) {
        if (crashes[i].number != number)
            continue;
        if (!child_is())
            say_crash(crashes[i].name);
        sigaction(number, &before[i], NULL);
    }
    raise(number);
}

void ends_install(void) {
    struct sigaction action = {.sa_handler = crash_handler, .sa_flags = SA_ONSTACK};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < CRASHES; i++)
        sigaction(crashes[i].number, &action, &before[i]);
}

void ends_exit(int status) {
    char text[REQUEST_SIZE];
    const char *request = wsgi_running(text, sizeof text);
    log_error("%s: the application ended the process by os._exit(%d), and all requests in work with it",
              request ? request : "outside of a request", status);
    signals_unlink_sockets();
}
