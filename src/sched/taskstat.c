#include "config.h"

#include "sched/taskstat.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int taskstat_open_self(void) {
    return open("/proc/thread-self/stat", O_RDONLY | O_CLOEXEC);
}

char taskstat_state_of(pid_t tid) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)tid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char state = taskstat_state(fd);
    if (fd >= 0)
        close(fd);
    return state;
}

char taskstat_state(int fd) {
    char text[128];
    ssize_t n = fd < 0 ? -1 : pread(fd, text, sizeof text, 0);
    if (n <= 0)
        return 0;
    /* "TID (name) S ...": the name may hold any byte, also ')', but it is at most 15 bytes long. */
    const char *paren = memrchr(text, ')', n < 48 ? (size_t)n : 48);
    return paren && paren + 2 < text + n ? paren[2] : 0;
}
