#include "config.h"

#include "base/thread_limit.h"

#include "base/ascii.h"
#include "base/cgroup.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* Where the limit that is reached is told. */
struct found {
    char *out;
    bool full;
};

static bool look_at_group(void *arg, const char *root, const char *path, bool version_2) {
    struct found *found = arg;
    char name[PATH_MAX];
    uint64_t most, have;
    (void)version_2;
    if ((size_t)snprintf(name, sizeof name, "/sys/fs/cgroup%s/pids.current", path) >= sizeof name ||
        !cgroup_read_number(root, name, &have))
        return true;
    snprintf(name, sizeof name, "/sys/fs/cgroup%s/pids.max", path);
    if (!cgroup_read_number(root, name, &most) || have < most)
        return true;
    snprintf(found->out, THREAD_LIMIT_SIZE,
             "there are as many processes and threads as pids.max of %s/sys/fs/cgroup%.160s allows: %llu (TasksMax= of "
             "systemd, --pids-limit of docker)",
             root, path, (unsigned long long)most);
    found->full = true;
    return false;
}

static bool some_group_is_full(const char *root, char *out) {
    struct found found = {.out = out};
    cgroup_each(root, "pids", look_at_group, &found);
    return found.full;
}

/* Of the whole machine, also in a container: "0.20 0.18 0.12 RUNNING/THREADS LAST_PID", proc(5). */
static uint64_t threads_of_machine(const char *root) {
    char text[128];
    uint64_t n = 0;
    cgroup_read_text(root, "/proc/loadavg", text, sizeof text);
    const char *slash = strchr(text, '/');
    return slash && ascii_read_number(slash + 1, 10, &n) ? n : 0;
}

static bool machine_is_full(const char *root, uint64_t threads, char *out) {
    static const char *const names[] = {"threads-max", "pid_max"};
    uint64_t most;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char name[64];
        snprintf(name, sizeof name, "/proc/sys/kernel/%s", names[i]);
        if (!cgroup_read_number(root, name, &most) || threads < most)
            continue;
        snprintf(out, THREAD_LIMIT_SIZE, "the machine has as many threads as sysctl kernel.%s allows: %llu", names[i],
                 (unsigned long long)most);
        return true;
    }
    return false;
}

/* Nothing tells how many threads the user has. The user's limit counts as reached if there are that many threads on the
 * machine and no other limit is reached. It does not bind root: setrlimit(2). */
static bool user_is_limited(uint64_t threads, char *out) {
    struct rlimit limit;
    if (getuid() == 0 || getrlimit(RLIMIT_NPROC, &limit) || limit.rlim_cur > threads)
        return false;
    snprintf(out, THREAD_LIMIT_SIZE,
             "user %u has as many processes and threads as it may: %llu (ulimit -u, LimitNPROC= of systemd)",
             (unsigned)getuid(), (unsigned long long)limit.rlim_cur);
    return true;
}

/* A thread needs a stack, and glibc says EAGAIN when there is no room for one. */
static bool space_is_full(const char *root, char *out) {
    struct rlimit limit;
    pthread_attr_t attr;
    uint64_t pages;
    size_t stack = 0;
    if (getrlimit(RLIMIT_AS, &limit) || limit.rlim_cur == RLIM_INFINITY ||
        !cgroup_read_number(root, "/proc/self/statm", &pages))
        return false;
    pthread_attr_init(&attr);
    pthread_attr_getstacksize(&attr, &stack);
    pthread_attr_destroy(&attr);
    if (pages * (uint64_t)sysconf(_SC_PAGESIZE) + stack <= limit.rlim_cur)
        return false;
    snprintf(out, THREAD_LIMIT_SIZE,
             "the process has as much address space as it may: %llu MiB (ulimit -v, LimitAS= of systemd)",
             (unsigned long long)limit.rlim_cur >> 20);
    return true;
}

char *thread_limit_explain_at(const char *root, int error, char out[static THREAD_LIMIT_SIZE]) {
    if ((error == EAGAIN || error == ENOMEM) && space_is_full(root, out))
        return out;
    if (error != EAGAIN) {
        snprintf(out, THREAD_LIMIT_SIZE, "%s", strerror(error));
        return out;
    }
    uint64_t threads = threads_of_machine(root);
    if (!some_group_is_full(root, out) && !machine_is_full(root, threads, out) && !user_is_limited(threads, out))
        snprintf(
            out, THREAD_LIMIT_SIZE,
            "%s, and no limit on processes that can be seen here is reached: look at memory, and at limits outside of "
            "the container",
            strerror(error));
    return out;
}

char *thread_limit_explain(int error, char out[static THREAD_LIMIT_SIZE]) {
    int saved = errno;
    thread_limit_explain_at("", error, out);
    errno = saved;
    return out;
}
