#include "config.h"

#include "ipc/scoreboard.h"

#include "base/descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const uint32_t BOARD_MAGIC = 0x77667362; /* "wfsb" */
enum { BOARD_VERSION = 1 };

/* Its size is fixed: who cut it would end all others, with SIGBUS. */
static const int SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

static struct scoreboard *map(int fd) {
    struct scoreboard *board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return board == MAP_FAILED ? NULL : board;
}

struct scoreboard *scoreboard_new(int *fd) {
    descriptors_lock();
    *fd = descriptors_adopt(memfd_create("wsgi-fcgi scoreboard", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    descriptors_unlock();
    if (*fd < 0)
        return NULL;
    struct scoreboard *board = ftruncate(*fd, sizeof *board) || fcntl(*fd, F_ADD_SEALS, SEALS) ? NULL : map(*fd);
    if (!board) {
        int error = errno;
        descriptors_close(*fd);
        *fd = -1;
        errno = error;
        return NULL;
    }
    board->magic = BOARD_MAGIC;
    board->version = BOARD_VERSION;
    board->size = sizeof *board;
    board->slot_count = SCOREBOARD_SLOTS;
    return board;
}

struct scoreboard *scoreboard_map(int fd) {
    struct stat file;
    if (fstat(fd, &file))
        return NULL;
    if (file.st_size != sizeof(struct scoreboard)) {
        errno = EPROTO;
        return NULL;
    }
    struct scoreboard *board = map(fd);
    if (board && (board->magic != BOARD_MAGIC || board->version != BOARD_VERSION || board->size != sizeof *board ||
                  board->slot_count != SCOREBOARD_SLOTS)) {
        scoreboard_unmap(board);
        errno = EPROTO;
        return NULL;
    }
    return board;
}

void scoreboard_unmap(struct scoreboard *board) {
    munmap(board, sizeof *board);
}

static bool is_idle(const struct scoreboard_slot *s) {
    return !atomic_load_explicit(&s->computing, memory_order_relaxed) &&
           !atomic_load_explicit(&s->full, memory_order_relaxed);
}

static int find(const struct scoreboard *board, unsigned slot, bool idle) {
    for (unsigned i = 1; i < SCOREBOARD_SLOTS; i++) {
        unsigned other = (slot + i) % SCOREBOARD_SLOTS;
        const struct scoreboard_slot *s = &board->slots[other];
        if (atomic_load_explicit(&s->state, memory_order_relaxed) == SCOREBOARD_SERVING && (!idle || is_idle(s)))
            return (int)other;
    }
    return -1;
}

int scoreboard_find_idle(const struct scoreboard *board, unsigned slot) {
    return find(board, slot, true);
}

int scoreboard_find_serving(const struct scoreboard *board, unsigned slot) {
    return find(board, slot, false);
}
