#include "config.h"

#include "base/fdtable.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    OTHERS = 256,       /* descriptors of the server that are no connections */
    TABLE_MAX = 1 << 16 /* descriptors that the table is made for in advance */
};

/* The first number of the server's; 0: not prepared. Mutable first: fdtable_prepare, before there is a second thread. */
static int first;

/* The kernel makes the table large enough for a number that is asked for, and never smaller again. */
static void grow(int size) {
    int fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, size - 1);
    if (fd < 0)
        log_debug("cannot make the table of open files larger: %s", strerror(errno));
    else
        close(fd);
}

void fdtable_prepare(unsigned connections) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit))
        return;
    first = limit.rlim_cur < FDTABLE_FIRST + OTHERS ? (int)(limit.rlim_cur / 2) : FDTABLE_FIRST;
    rlim_t size = (rlim_t)connections + FDTABLE_FIRST + OTHERS;
    if (size > TABLE_MAX)
        size = TABLE_MAX;
    if (size > limit.rlim_cur)
        size = limit.rlim_cur;
    if (size)
        grow((int)size);
}

int fdtable_raise(int fd) {
    int error = errno;
    int raised = fd < first ? fcntl(fd, F_DUPFD_CLOEXEC, first) : -1;
    if (raised >= 0)
        close(fd);
    errno = error;
    return raised < 0 ? fd : raised;
}

int fdtable_duplicate(int fd) {
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, first);
    return copy < 0 && first ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : copy;
}

int fdtable_raise_connection(int fd) {
    return fd > STDERR_FILENO && (fd < FDTABLE_LOW || first < FDTABLE_FIRST) ? fd : fdtable_raise(fd);
}

void fdtable_occupy(struct fdtable_occupied *low) {
    int fd;
    *low = (struct fdtable_occupied){0};
    while ((fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0)) >= 0 && fd < first)
        low->fds[fd] = true;
    if (fd >= 0)
        close(fd);
}

void fdtable_release(const struct fdtable_occupied *low) {
    for (int fd = 0; fd < first; fd++) {
        if (low->fds[fd])
            close(fd);
    }
}
