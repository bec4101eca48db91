#include "config.h"

#include "sched/taskstat.h"

#include "base/descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int open_stat(const char *path) {
    descriptors_lock();
    int fd = descriptors_adopt(open(path, O_RDONLY | O_CLOEXEC));
    descriptors_unlock();
    return fd;
}

int taskstat_open_self(void) {
    return open_stat("/proc/thread-self/stat");
}

char taskstat_state_of(pid_t tid) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)tid);
    int fd = open_stat(path);
    char state = taskstat_state(fd);
    if (fd >= 0)
        descriptors_close(fd);
    return state;
}

char taskstat_state(int fd) {
    char text[128];
    if (fd < 0)
        return 0;
    ssize_t n = pread(fd, text, sizeof text, 0);
    if (!n || (n < 0 && errno != EBADF)) /* ESRCH: the thread has ended */
        return 0;
    /* "TID (name) S ...": the name may hold any byte, also ')', but it is at most 15 bytes long. */
    const char *paren = n > 0 ? memrchr(text, ')', n < 48 ? (size_t)n : 48) : NULL;
    if (paren && paren + 2 < text + n)
        return paren[2];
    descriptors_lost(fd, "that says whether a thread sleeps");
    return 0;
}
