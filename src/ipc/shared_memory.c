#include "config.h"

#include "ipc/shared_memory.h"

#include "base/descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const int SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

static void *map(const struct shared_memory_kind *kind, int fd) {
    void *memory = mmap(NULL, kind->head.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

void *shared_memory_new(const struct shared_memory_kind *kind, int *fd) {
    descriptors_lock();
    *fd = descriptors_adopt(memfd_create(kind->name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
    descriptors_unlock();
    if (*fd < 0)
        return NULL;
    void *memory = ftruncate(*fd, kind->head.size) || fcntl(*fd, F_ADD_SEALS, SEALS) ? NULL : map(kind, *fd);
    if (!memory) {
        int error = errno;
        descriptors_close(*fd);
        *fd = -1;
        errno = error;
        return NULL;
    }
    memcpy(memory, &kind->head, sizeof kind->head);
    return memory;
}

void *shared_memory_map(const struct shared_memory_kind *kind, int fd) {
    struct stat file;
    if (fstat(fd, &file))
        return NULL;
    if (file.st_size != kind->head.size) {
        errno = EPROTO;
        return NULL;
    }
    void *memory = map(kind, fd);
    if (memory && memcmp(memory, &kind->head, sizeof kind->head)) {
        shared_memory_unmap(kind, memory);
        errno = EPROTO;
        return NULL;
    }
    return memory;
}

void shared_memory_unmap(const struct shared_memory_kind *kind, void *memory) {
    munmap(memory, kind->head.size);
}
