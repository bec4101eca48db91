#include "config.h"

#include "base/process_memory.h"

#include "base/ascii.h"
#include "base/cgroup.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* /proc/PID/statm is "SIZE RESIDENT ...", in pages. */
uint64_t process_memory_resident(pid_t pid) {
    char name[32], text[128];
    uint64_t pages;
    snprintf(name, sizeof name, "/proc/%d/statm", (int)pid);
    cgroup_read_text("", name, text, sizeof text);
    const char *blank = strchr(text, ' ');
    return blank && ascii_read_number(blank + 1, 10, &pages) ? pages * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}
