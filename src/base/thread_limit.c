#include "config.h"

#include "base/thread_limit.h"

#include "base/ascii.h"
#include "base/descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* Reads the beginning of a file, as a string: "" when it cannot be read. */
static void read_text(const char *root, const char *name, char *out, size_t size) {
    char path[PATH_MAX];
    out[0] = '\0';
    if ((size_t)snprintf(path, sizeof path, "%s%s", root, name) >= sizeof path)
        return;
    descriptors_lock();
    int fd = descriptors_adopt(open(path, O_RDONLY | O_CLOEXEC));
    descriptors_unlock();
    if (fd < 0)
        return;
    ssize_t n = pread(fd, out, size - 1, 0);
    descriptors_close(fd);
    out[n > 0 ? n : 0] = '\0';
}

/* False for "max" and where there is no such file. */
static bool read_number(const char *root, const char *name, uint64_t *number) {
    char text[32];
    read_text(root, name, text, sizeof text);
    return ascii_read_number(text, 10, number) != NULL;
}

/* One group, whose directory below /sys/fs/cgroup is `path`. */
static bool is_full(const char *root, const char *path, char *out) {
    char name[PATH_MAX];
    uint64_t most, have;
    if ((size_t)snprintf(name, sizeof name, "/sys/fs/cgroup%s/pids.current", path) >= sizeof name ||
        !read_number(root, name, &have))
        return false;
    snprintf(name, sizeof name, "/sys/fs/cgroup%s/pids.max", path);
    if (!read_number(root, name, &most) || have < most)
        return false;
    snprintf(out, THREAD_LIMIT_SIZE,
             "there are as many processes and threads as pids.max of %s/sys/fs/cgroup%.160s allows: %llu (TasksMax= of "
             "systemd, --pids-limit of docker)",
             root, path, (unsigned long long)most);
    return true;
}

/* The group itself and those above it. In a container the path may be the host's, and name nothing here; then the
 * container's own group is at the top. */
static bool group_is_full(const char *root, const char *hierarchy, const char *group, size_t len, char *out) {
    char path[PATH_MAX];
    const size_t top = strlen(hierarchy);
    if (top + len >= sizeof path)
        return false;
    memcpy(path, hierarchy, top);
    memcpy(path + top, group, len);
    path[top + len] = '\0';
    for (char *end = path + top + len; end; end = strrchr(path + top, '/')) {
        *end = '\0';
        if (is_full(root, path, out))
            return true;
    }
    return false;
}

/* A line of /proc/self/cgroup is "ID:CONTROLLERS:PATH", with no controllers for version 2: cgroups(7). */
static bool some_group_is_full(const char *root, char *out) {
    char text[4096];
    read_text(root, "/proc/self/cgroup", text, sizeof text);
    for (const char *line = text, *next; *line; line = next) {
        size_t len = strcspn(line, "\n");
        next = line + len + (line[len] == '\n');
        const char *controllers = memchr(line, ':', len);
        const char *path = controllers ? memchr(controllers + 1, ':', (size_t)(line + len - controllers - 1)) : NULL;
        if (!path)
            continue;
        bool version_2 = path == controllers + 1;
        size_t path_len = (size_t)(line + len - path - 1);
        if (!version_2 && !memmem(controllers, (size_t)(path - controllers), "pids", 4))
            continue;
        if (group_is_full(root, version_2 ? "" : "/pids", path + 1, path_len, out))
            return true;
    }
    return false;
}

/* Of the whole machine, also in a container: "0.20 0.18 0.12 RUNNING/THREADS LAST_PID", proc(5). */
static uint64_t threads_of_machine(const char *root) {
    char text[128];
    uint64_t n = 0;
    read_text(root, "/proc/loadavg", text, sizeof text);
    const char *slash = strchr(text, '/');
    return slash && ascii_read_number(slash + 1, 10, &n) ? n : 0;
}

static bool machine_is_full(const char *root, uint64_t threads, char *out) {
    static const char *const names[] = {"threads-max", "pid_max"};
    uint64_t most;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char name[64];
        snprintf(name, sizeof name, "/proc/sys/kernel/%s", names[i]);
        if (!read_number(root, name, &most) || threads < most)
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
        !read_number(root, "/proc/self/statm", &pages))
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
