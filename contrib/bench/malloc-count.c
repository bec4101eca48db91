/* Counts allocations by who asked for them: a library to preload into a running server (LD_PRELOAD). When the process
 * exits it writes one line of JSON into the file that MALLOC_COUNT_FILE names.
 *
 * "own" is the program itself; "libev" and "libpython" speak for themselves; "other" is the rest, the C library's own
 * among them. When the extension module is preloaded as well, "own" is that, and the program is the interpreter, which
 * counts as libpython where it contains that. The caller is known by its return address, so an allocation that a function
 * of libpython makes at the end of itself may count as its caller's: never the other way round, which would hide something.
 */
#include "config.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What glibc has behind the names that are taken here; dlsym would allocate itself. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

enum owner { OWN, LIBEV, LIBPYTHON, OTHER, OWNERS };

static const char *const names[OWNERS] = {"own", "libev", "libpython", "other"};

static struct range { uintptr_t begin, end; } ranges[OTHER];
static atomic_ulong counts[OWNERS];

static int note_object(struct dl_phdr_info *info, size_t size, void *user) {
    enum owner owner = OTHER;
    (void)size;
    (void)user;
    if (!*info->dlpi_name)
        owner = ranges[OWN].end ? OTHER : OWN; /* the program comes first; the kernel's has no name either */
    else if (strstr(info->dlpi_name, "/libev.so"))
        owner = LIBEV;
    else if (strstr(info->dlpi_name, "/libpython"))
        owner = LIBPYTHON;
    else if (strstr(info->dlpi_name, "/_server.")) {
        ranges[LIBPYTHON] = ranges[OWN];
        owner = OWN;
    }
    if (owner == OTHER)
        return 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *h = &info->dlpi_phdr[i];
        if (h->p_type == PT_LOAD && (h->p_flags & PF_X)) {
            ranges[owner].begin = (uintptr_t)info->dlpi_addr + h->p_vaddr;
            ranges[owner].end = ranges[owner].begin + h->p_memsz;
        }
    }
    return 0;
}

__attribute__((constructor)) static void begin(void) {
    dl_iterate_phdr(note_object, NULL);
}

__attribute__((destructor)) static void end(void) {
    char line[256];
    const char *path = getenv("MALLOC_COUNT_FILE");
    if (!path)
        return;
    int n = 0;
    for (int i = 0; i < OWNERS; i++)
        n += snprintf(line + n, sizeof line - (size_t)n, "%s\"%s\": %lu", i ? ", " : "{", names[i],
                      atomic_load(&counts[i]));
    n += snprintf(line + n, sizeof line - (size_t)n, "}\n");
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd >= 0) {
        ssize_t written = write(fd, line, (size_t)n);
        (void)written;
        close(fd);
    }
}

static inline void count(const void *caller) {
    uintptr_t address = (uintptr_t)caller;
    enum owner owner = OWN;
    while (owner < OTHER && !(ranges[owner].begin <= address && address < ranges[owner].end))
        owner++;
    atomic_fetch_add_explicit(&counts[owner], 1, memory_order_relaxed);
}

__attribute__((visibility("default"))) void *malloc(size_t size) {
    count(__builtin_return_address(0));
    return __libc_malloc(size);
}

__attribute__((visibility("default"))) void *calloc(size_t n, size_t size) {
    count(__builtin_return_address(0));
    return __libc_calloc(n, size);
}

__attribute__((visibility("default"))) void *realloc(void *p, size_t size) {
    count(__builtin_return_address(0));
    return __libc_realloc(p, size);
}

__attribute__((visibility("default"))) void *reallocarray(void *p, size_t n, size_t size) {
    size_t bytes;
    count(__builtin_return_address(0));
    if (__builtin_mul_overflow(n, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_realloc(p, bytes);
}

__attribute__((visibility("default"))) void *aligned_alloc(size_t alignment, size_t size) {
    count(__builtin_return_address(0));
    return __libc_memalign(alignment, size);
}

__attribute__((visibility("default"))) int posix_memalign(void **p, size_t alignment, size_t size) {
    count(__builtin_return_address(0));
    void *memory = __libc_memalign(alignment, size);
    if (!memory)
        return ENOMEM;
    *p = memory;
    return 0;
}
