#include "config.h"

#include "ipc/scoreboard.h"

#include "base/log.h"

#include <string.h>

static const struct shared_memory_kind scoreboard = {
    .name = "wsgi-fcgi scoreboard",
    .head = {.magic = 0x77667362 /* "wfsb" */,
             .version = 1,
             .size = sizeof(struct scoreboard),
             .count = SCOREBOARD_SLOTS},
};

struct scoreboard *scoreboard_new(int *fd) {
    return shared_memory_new(&scoreboard, fd);
}

struct scoreboard *scoreboard_map(int fd) {
    return shared_memory_map(&scoreboard, fd);
}

void scoreboard_unmap(struct scoreboard *board) {
    shared_memory_unmap(&scoreboard, board);
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

void scoreboard_text(const struct scoreboard_call *call, char out[static SCOREBOARD_TEXT_SIZE]) {
    char copy[SCOREBOARD_TEXT_SIZE];
    size_t n = 0;
    memcpy(copy, call->text, sizeof copy);
    copy[sizeof copy - 1] = out[0] = '\0';
    for (const char *p = copy; *p && n + 1 < SCOREBOARD_TEXT_SIZE;) {
        const size_t len = strcspn(p, "\\");
        if (!len) {
            out[n++] = *p++;
            out[n] = '\0';
            continue;
        }
        log_escape(out + n, SCOREBOARD_TEXT_SIZE - n, p, len);
        n += strlen(out + n);
        p += len;
    }
}
