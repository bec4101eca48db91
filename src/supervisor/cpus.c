#include "config.h"

#include "supervisor/cpus.h"

#include "base/ascii.h"
#include "base/cgroup.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

enum { CPUS_MOST = 1 << 16 /* that a mask has room for */ };

/* "QUOTA PERIOD", or "max PERIOD". */
static bool read_version_2(const char *root, const char *path, uint64_t *quota, uint64_t *period) {
    char name[PATH_MAX], text[64];
    if ((size_t)snprintf(name, sizeof name, "/sys/fs/cgroup%s/cpu.max", path) >= sizeof name)
        return false;
    cgroup_read_text(root, name, text, sizeof text);
    const char *end = ascii_read_number(text, 10, quota);
    return end && *end == ' ' && ascii_read_number(end + 1, 10, period);
}

/* Where there is no quota, it is -1. */
static bool read_version_1(const char *root, const char *path, uint64_t *quota, uint64_t *period) {
    char name[PATH_MAX];
    if ((size_t)snprintf(name, sizeof name, "/sys/fs/cgroup%s/cpu.cfs_period_us", path) >= sizeof name ||
        !cgroup_read_number(root, name, period))
        return false;
    snprintf(name, sizeof name, "/sys/fs/cgroup%s/cpu.cfs_quota_us", path);
    return cgroup_read_number(root, name, quota);
}

static bool look_at_group(void *arg, const char *root, const char *path, bool version_2) {
    unsigned *least = arg;
    uint64_t quota, period;
    bool found = version_2 ? read_version_2(root, path, &quota, &period) : read_version_1(root, path, &quota, &period);
    if (!found || !period)
        return true;
    uint64_t count = quota / period + (quota % period != 0);
    if (count > 0 && count < UINT_MAX && (!*least || count < *least))
        *least = (unsigned)count;
    return true;
}

unsigned cpus_quota_at(const char *root) {
    unsigned least = 0;
    cgroup_each(root, "cpu", look_at_group, &least);
    return least;
}

/* The mask has to be as large as the kernel's. */
static unsigned count_affinity(void) {
    for (int most = CPU_SETSIZE; most <= CPUS_MOST; most *= 2) {
        cpu_set_t *set = CPU_ALLOC((size_t)most);
        size_t size = CPU_ALLOC_SIZE((size_t)most);
        int failed = set ? sched_getaffinity(0, size, set) : -1, error = errno;
        int count = failed ? 0 : CPU_COUNT_S(size, set);
        CPU_FREE(set);
        if (!failed)
            return (unsigned)count;
        if (error != EINVAL)
            break;
    }
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (unsigned)online : 1;
}

unsigned cpus_count(void) {
    unsigned affinity = count_affinity(), quota = cpus_quota_at("");
    unsigned count = quota && quota < affinity ? quota : affinity;
    return count ? count : 1;
}
