#include "config.h"

#include "base/notify.h"

#include "base/ascii.h"
#include "base/clock.h"
#include "base/descriptors.h"
#include "base/log.h"

#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { STATUS_MAX = 500, MESSAGE_MAX = 700 };

/* What the variables said, and the socket.
 *
 * Mutable manager: the main thread, until notify_begin has returned; then only `failed`, by any. */
static struct manager {
    char *path;             /* NOTIFY_SOCKET; NULL: nobody asks */
    uint64_t watchdog_usec; /* 0: nobody asks */
    int fd;                 /* connected; -1: nobody is told */
    pid_t pid;              /* the process that is told about */
    /* The manager may signal this process: it, or a shell between them, has started it. Process 1 of a container has
     * other numbers than the manager knows. */
    bool is_main;
    atomic_bool failed; /* something could not be told, and that was logged */
} manager = {.fd = -1};

static char *take_variable(const char *name) {
    const char *value = getenv(name);
    char *copy = value ? strdup(value) : NULL;
    unsetenv(name);
    return copy;
}

/* WATCHDOG_PID is missing where a manager does not care which process it is (sd_watchdog_enabled(3)). */
static uint64_t take_watchdog(void) {
    char *usec = take_variable("WATCHDOG_USEC"), *pid = take_variable("WATCHDOG_PID");
    uint64_t wanted = 0, whose = (uint64_t)getpid();
    if (!usec || !ascii_is_number(usec, UINT64_MAX / 1000, &wanted) ||
        (pid && (!ascii_is_number(pid, INT_MAX, &whose) || whose != (uint64_t)getpid())))
        wanted = 0;
    free(usec);
    free(pid);
    return wanted;
}

void notify_take(void) {
    free(manager.path);
    manager.pid = getpid();
    manager.watchdog_usec = take_watchdog();
    manager.path = take_variable("NOTIFY_SOCKET");
}

int notify_put_back(void) {
    char usec[24];
    snprintf(usec, sizeof usec, "%llu", (unsigned long long)manager.watchdog_usec);
    return (manager.path && setenv("NOTIFY_SOCKET", manager.path, 1)) ||
                   (manager.watchdog_usec && setenv("WATCHDOG_USEC", usec, 1))
               ? -1
               : 0;
}

/* A path, or "@name" in the abstract namespace (sd_notify(3)). Returns the length of the address; 0 with errno. */
static socklen_t read_address(const char *path, struct sockaddr_un *sa) {
    const size_t n = strlen(path);
    *sa = (struct sockaddr_un){.sun_family = AF_UNIX};
    errno = n < sizeof sa->sun_path ? EAFNOSUPPORT : ENAMETOOLONG;
    if ((*path != '/' && *path != '@') || n < 2 || n >= sizeof sa->sun_path)
        return 0;
    memcpy(sa->sun_path, path, n);
    if (*path == '@')
        sa->sun_path[0] = '\0';
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + (*path == '/'));
}

static int connect_to(const char *path) {
    const struct timeval second = {.tv_sec = 1};
    struct sockaddr_un sa;
    socklen_t len = read_address(path, &sa);
    if (!len)
        return -1;
    descriptors_lock();
    int fd = descriptors_adopt(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    descriptors_unlock();
    if (fd < 0)
        return -1;
    if (connect(fd, (const struct sockaddr *)&sa, len) ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &second, sizeof second)) {
        int error = errno;
        descriptors_close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

static void send_message(const char *message, size_t len, int flags) {
    if (!notify_is_on() || manager.pid != getpid() || send(manager.fd, message, len, MSG_NOSIGNAL | flags) >= 0)
        return;
    int error = errno;
    if (!atomic_exchange(&manager.failed, true))
        log_warning("the service manager cannot be told what the server does (NOTIFY_SOCKET): %s: it may think that "
                    "the service does not start, or hangs",
                    strerror(error));
}

/* What starts with an error line of the log has the rest of it there. */
static void error_cb(const char *text) {
    notify_tell(NOTIFY_STARTING, text);
}

void notify_begin(void) {
    char shown[sizeof((struct sockaddr_un *)0)->sun_path + 16];
    if (!manager.path)
        return;
    manager.is_main = manager.pid == getpid() && manager.pid != 1;
    manager.pid = getpid();
    manager.fd = connect_to(manager.path);
    if (manager.fd < 0)
        log_warning("NOTIFY_SOCKET=%s: cannot connect to the service manager: %s: it will not learn that the server is "
                    "ready",
                    log_escape(shown, sizeof shown, manager.path, strlen(manager.path)), strerror(errno));
    if (manager.fd < 0)
        return;
    descriptors_guard(manager.fd, "by which the service manager is told what the server does");
    log_on_error(error_cb);
}

bool notify_is_on(void) {
    return manager.fd >= 0;
}

/* Where the line at the beginning of the text ends, and not within a character of UTF-8: the manager refuses others. */
static int status_length(const char *text) {
    size_t n = strcspn(text, "\n");
    if (n <= STATUS_MAX)
        return (int)n;
    for (n = STATUS_MAX; n && ((unsigned char)text[n] & 0xc0) == 0x80; n--)
        continue;
    return (int)n;
}

void notify_tell(enum notify_state state, const char *status) {
    char message[MESSAGE_MAX];
    size_t n = 0;
    if (!notify_is_on())
        return;
    if (state != NOTIFY_STARTING)
        log_on_error(NULL);
    if (state == NOTIFY_READY)
        n += (size_t)sprintf(message, "READY=1\n");
    if (state == NOTIFY_READY && manager.is_main)
        n += (size_t)sprintf(message + n, "MAINPID=%d\n", (int)manager.pid);
    if (state == NOTIFY_RELOADING)
        n += (size_t)sprintf(message, "RELOADING=1\nMONOTONIC_USEC=%llu\n", (unsigned long long)clock_ns() / 1000);
    if (state == NOTIFY_STOPPING)
        n += (size_t)sprintf(message, "STOPPING=1\n");
    if (status)
        n += (size_t)sprintf(message + n, "STATUS=%.*s\n", status_length(status), status);
    if (n)
        send_message(message, n, 0);
}

void notify_extend(double seconds) {
    char message[64];
    int n = snprintf(message, sizeof message, "EXTEND_TIMEOUT_USEC=%llu\n", (unsigned long long)(seconds * 1e6));
    send_message(message, (size_t)n, 0);
}

double notify_watchdog(void) {
    return notify_is_on() ? (double)manager.watchdog_usec / 1e6 : 0;
}

void notify_alive(void) {
    static const char message[] = "WATCHDOG=1\n";
    send_message(message, sizeof message - 1, MSG_DONTWAIT);
}
