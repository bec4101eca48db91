#include "config.h"

#include "process/activation.h"

#include "base/ascii.h"
#include "base/log.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

enum {
    FIRST = 3, /* SD_LISTEN_FDS_START of <systemd/sd-daemon.h> */
    NAME_SHOWN = 64
};

/* What was passed: descriptors from FIRST on, by their names.
 *
 * Mutable passed: the main thread. */
static struct {
    size_t count;
    char **names; /* of malloc, as libsystemd makes them; they stay until the process ends */
} passed;

static bool is_ours(void) {
    const char *pid = getenv("LISTEN_PID");
    uint64_t number;
    return pid && getenv("LISTEN_FDS") && ascii_is_number(pid, INT_MAX, &number) && number == (uint64_t)getpid();
}

static int complain(const char *what) {
    log_error("systemd has passed sockets (LISTEN_FDS), but they cannot be taken: %s", what);
    return EX_CONFIG;
}

/* sd_listen_fds_with_names(3) also makes the descriptors close-on-exec. */
static int ask_libsystemd(void) {
    typedef int listen_fds_with_names(int unset_environment, char ***names);
    listen_fds_with_names *ask;
    void *library = dlopen("libsystemd.so.0", RTLD_NOW | RTLD_LOCAL);
    void *symbol = library ? dlsym(library, "sd_listen_fds_with_names") : NULL;
    if (!symbol)
        return complain("libsystemd.so.0 is missing: install it (Debian: libsystemd0)");
    memcpy(&ask, &symbol, sizeof ask); /* POSIX says that it is a function; C knows no such conversion */
    int n = ask(0, &passed.names);
    dlclose(library);
    if (n < 0)
        return complain(strerror(-n));
    passed.count = (size_t)n;
    return 0;
}

int activation_take(void) {
    int status = is_ours() ? ask_libsystemd() : 0;
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_PIDFDID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    return status;
}

size_t activation_count(void) {
    return passed.count;
}

static int open_passed(struct listener_set *set, int fd, const char *name) {
    const bool is_http = !strncmp(name, "http", strlen("http"));
    char shown[NAME_SHOWN];
    log_escape(shown, sizeof shown, name, strlen(name));
    if (is_http && !WSGI_FCGI_HTTP) {
        log_error("the socket \"%s\" of systemd is to speak HTTP, as its name says, which this build cannot: build it "
                  "with llhttp, or give the socket another name (FileDescriptorName=) to speak FastCGI",
                  shown);
        return EX_CONFIG;
    }
    return listener_open_activated(set, fd, shown, is_http ? LISTENER_HTTP : LISTENER_FASTCGI);
}

int activation_open(struct listener_set *set, bool (*is_named)(const void *arg, int fd), const void *arg) {
    int status = 0;
    for (size_t i = 0; i < passed.count && !status; i++) {
        const int fd = FIRST + (int)i;
        if (!is_named(arg, fd))
            status = open_passed(set, fd, passed.names[i]);
    }
    return status;
}
