#include "config.h"

#include "supervisor/calls.h"

#include "base/ascii.h"

#include <stdio.h>
#include <sys/mman.h>

enum { NAMED = 3 };

static uint64_t begun_at(const struct scoreboard *board, unsigned slot, unsigned i) {
    return atomic_load_explicit(&board->calls[slot][i].begun_at, memory_order_acquire);
}

unsigned calls_count(const struct scoreboard *board, unsigned slot) {
    unsigned count = 0;
    for (unsigned i = 0; i < SCOREBOARD_CALLS; i++)
        count += begun_at(board, slot, i) != 0;
    return count;
}

/* The oldest one that began after `after`, or at the same time and stands behind `last`. -1: there is none. */
static int find_next(const struct scoreboard *board, unsigned slot, uint64_t after, int last) {
    int found = -1;
    uint64_t oldest = UINT64_MAX;
    for (int i = 0; i < SCOREBOARD_CALLS; i++) {
        uint64_t at = begun_at(board, slot, (unsigned)i);
        if (at && (at > after || (at == after && i > last)) && at < oldest) {
            oldest = at;
            found = i;
        }
    }
    return found;
}

char *calls_describe(const struct scoreboard *board, unsigned slot, uint64_t now, char out[static CALLS_TEXT_SIZE]) {
    const unsigned count = calls_count(board, slot);
    size_t len = 0;
    unsigned named = 0;
    uint64_t at = 0;
    out[0] = '\0';
    for (int i = -1; named < NAMED && (i = find_next(board, slot, at, i)) >= 0; named++) {
        char text[SCOREBOARD_TEXT_SIZE], seconds[ASCII_SECONDS_SIZE];
        at = begun_at(board, slot, (unsigned)i);
        if (!at)
            break;
        scoreboard_text(&board->calls[slot][i], text);
        ascii_put_seconds(seconds, now > at ? (double)((now - at) / 100000000) / 10 : 0);
        len += (size_t)snprintf(out + len, CALLS_TEXT_SIZE - len, "%s%s for %s s", named ? ", " : "", text, seconds);
    }
    if (named && count > named)
        snprintf(out + len, CALLS_TEXT_SIZE - len, " and %u more", count - named);
    return out;
}

void calls_clear(struct scoreboard *board, unsigned slot) {
    for (unsigned i = 0; i < SCOREBOARD_CALLS; i++)
        atomic_store(&board->calls[slot][i].begun_at, 0);
    /* It stays as it is, but does not count as memory of this process, which would have 8 KiB more for each slot. */
    (void)madvise(board, sizeof *board, MADV_DONTNEED);
}
