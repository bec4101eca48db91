#include "config.h"

#include "supervisor/memory.h"

#include "base/ascii.h"
#include "base/cgroup.h"

#include <link.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* /proc/PID/smaps_rollup has lines such as "Pss:   1234 kB". */
uint64_t memory_proportional(pid_t pid) {
    char name[40], text[2048];
    uint64_t kib;
    snprintf(name, sizeof name, "/proc/%d/smaps_rollup", (int)pid);
    cgroup_read_text("", name, text, sizeof text);
    const char *line = strstr(text, "\nPss:");
    if (!line)
        return 0;
    line += strlen("\nPss:");
    return ascii_read_number(line + strspn(line, " "), 10, &kib) ? kib << 10 : 0;
}

uint64_t memory_trace_from(uint64_t first, uint64_t most) {
    return first < most ? most - (most - first) / 4 : most;
}

/* A segment that cannot be written has nothing that is not in its file as well. */
static int forget_pages(struct dl_phdr_info *object, size_t size, void *page) {
    const uintptr_t mask = *(const uintptr_t *)page - 1;
    (void)size;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
        if (segment->p_type != PT_LOAD || segment->p_flags & PF_W)
            continue;
        uintptr_t begin = (object->dlpi_addr + segment->p_vaddr) & ~mask;
        uintptr_t end = object->dlpi_addr + segment->p_vaddr + segment->p_filesz;
        (void)madvise((void *)begin, end - begin, MADV_DONTNEED);
    }
    return 0;
}

void memory_forget_start(void) {
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    dl_iterate_phdr(forget_pages, &page);
}
