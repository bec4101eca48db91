#include "config.h"

#include "base/descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/epoll.h>

/* libev calls this instead of epoll_ctl(2), because the program is linked with --wrap (src/local.mk). If a descriptor
 * that libev is to poll, or its epoll(7), is no longer there, libev takes that for a mistake of its caller and aborts.
 * A libev that is a shared library is not reached, where there is no archive of it. */

int __real_epoll_ctl(int set, int what, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int set, int what, int fd, struct epoll_event *event);

int __wrap_epoll_ctl(int set, int what, int fd, struct epoll_event *event) {
    int failed = __real_epoll_ctl(set, what, fd, event), error = errno;
    if (failed && (error == EBADF || error == EINVAL || error == ELOOP)) {
        bool is_open = fcntl(fd, F_GETFD) >= 0;
        descriptors_lost(is_open ? -1 : fd, is_open ? "that of the event loop" : "that of a connection or a file");
        error = ENOSPC; /* nobody minds any more, as the process ends: libev stops the watcher */
    }
    errno = error;
    return failed;
}
