#include "config.h"

#include "sched/taskstat.h"

#include "base/descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
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

bool taskstat_time_of(pid_t tid, uint64_t *ns) {
    /* CPUCLOCK_PERTHREAD and CPUCLOCK_SCHED of the kernel, as pthread_getcpuclockid(3) makes it; that takes no id. */
    clockid_t clock = (clockid_t)(~(unsigned)tid << 3 | 6);
    struct timespec t;
    if (clock_gettime(clock, &t))
        return false;
    *ns = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
    return true;
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
