#include "config.h"

#include "ipc/log_ring.h"

#include "base/clock.h"
#include "base/utf8.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

static const struct shared_memory_kind log_ring = {
    .name = "wsgi-fcgi log lines",
    .head = {.magic = 0x7766736c /* "wfsl" */, .version = 1, .size = sizeof(struct log_ring), .count = LOG_RING_SLOTS},
};

/* Where this process keeps its lines.
 * Mutable kept: log_ring_keep, while there is one thread. */
static struct {
    struct log_ring *ring;
    unsigned slot;
} kept;

struct log_ring *log_ring_new(int *fd) {
    return shared_memory_new(&log_ring, fd);
}

struct log_ring *log_ring_map(int fd) {
    return shared_memory_map(&log_ring, fd);
}

void log_ring_unmap(struct log_ring *ring) {
    shared_memory_unmap(&log_ring, ring);
}

/* --- writing */

/* Words, since whoever reads meanwhile would otherwise race for the bytes. */
static void store_text(_Atomic uint64_t *to, const char *text, size_t len) {
    for (size_t i = 0; i < len; i += sizeof(uint64_t)) {
        uint64_t word = 0;
        memcpy(&word, text + i, len - i < sizeof word ? len - i : sizeof word);
        atomic_store_explicit(to++, word, memory_order_relaxed);
    }
}

static uint64_t pack(enum log_level level, size_t len) {
    return (uint64_t)(uint32_t)getpid() << 32 | (uint64_t)level << 16 | len;
}

static void put_line(struct log_ring *ring, unsigned slot, enum log_level level, const char *text, size_t len) {
    const uint64_t n = atomic_fetch_add(&ring->next[slot], 1);
    struct log_ring_place *place = &ring->places[slot][n % LOG_RING_LINES];
    uint64_t turn = atomic_load(&place->turn);
    if (turn % 2 || !atomic_compare_exchange_strong(&place->turn, &turn, turn + 1))
        return;
    atomic_thread_fence(memory_order_release); /* what follows is not seen before that */
    len = utf8_cut(text, len, LOG_RING_TEXT_MAX);
    atomic_store_explicit(&place->at, clock_unix_ns(), memory_order_relaxed);
    atomic_store_explicit(&place->what, pack(level, len), memory_order_relaxed);
    store_text(place->text, text, len);
    atomic_store_explicit(&place->turn, turn + 2, memory_order_release);
}

static size_t count_lines(const char *text, size_t len) {
    size_t count = len && text[len - 1] != '\n';
    for (size_t i = 0; i < len; i++)
        count += text[i] == '\n';
    return count;
}

/* "(12 lines)" for those between. Nothing of <stdio.h>, for handlers of signals. */
static void put_left_out(struct log_ring *ring, unsigned slot, enum log_level level, size_t count) {
    char text[48], digits[24];
    size_t n = 0;
    do
        digits[n++] = (char)('0' + count % 10);
    while (count /= 10);
    char *out = stpcpy(text, "... (");
    while (n)
        *out++ = digits[--n];
    out = stpcpy(out, " more lines)");
    put_line(ring, slot, level, text, (size_t)(out - text));
}

void log_ring_put(struct log_ring *ring, unsigned slot, enum log_level level, const char *text, size_t len) {
    enum { MOST = LOG_RING_FIRST_LINES + LOG_RING_LAST_LINES };
    const int error = errno;
    const size_t count = count_lines(text, len), left_out = count > MOST + 1 ? count - MOST : 0;
    const char *const end = text + len;
    for (size_t i = 0; i < count; i++) {
        const char *feed = memchr(text, '\n', (size_t)(end - text));
        const size_t n = (size_t)((feed ? feed : end) - text);
        const bool is_left_out = left_out && i >= LOG_RING_FIRST_LINES && i < LOG_RING_FIRST_LINES + left_out;
        if (!is_left_out)
            put_line(ring, slot, level, text, n);
        else if (i == LOG_RING_FIRST_LINES)
            put_left_out(ring, slot, level, left_out);
        text += n + 1;
    }
    errno = error;
}

static void keep_cb(enum log_level level, const char *text, size_t len) {
    log_ring_put(kept.ring, kept.slot, level, text, len);
}

/* A process that had the slot before may have died while it wrote a line: that place would be lost for ever. Several
 * have the one of the zygotes, so one of them may give up a line here. */
static void free_places(struct log_ring *ring, unsigned slot) {
    for (unsigned i = 0; i < LOG_RING_LINES && atomic_load(&ring->next[slot]); i++) {
        struct log_ring_place *place = &ring->places[slot][i];
        uint64_t turn = atomic_load(&place->turn);
        if (turn % 2) {
            atomic_store_explicit(&place->what, 0, memory_order_relaxed);
            atomic_compare_exchange_strong(&place->turn, &turn, turn + 1);
        }
    }
}

void log_ring_keep(struct log_ring *ring, unsigned slot) {
    kept.ring = ring;
    kept.slot = slot;
    free_places(ring, slot);
    log_keep_lines(keep_cb);
}

/* --- reading */

/* A line that is one of the newest. */
struct found {
    uint64_t at, turn;
    const struct log_ring_place *place;
};

/* Keeps them in the order of time, at most `most`. Returns how many there are now. */
static size_t insert(struct found *all, size_t count, size_t most, struct found new) {
    if (count == most) {
        if (!most || new.at < all[0].at)
            return count;
        memmove(all, all + 1, --count * sizeof *all);
    }
    size_t i = count;
    for (; i && all[i - 1].at > new.at; i--)
        all[i] = all[i - 1];
    all[i] = new;
    return count + 1;
}

/* From the oldest line of the slot on, so that lines of the same time keep their order. */
static size_t look_at_slot(const struct log_ring *ring, unsigned slot, struct found *all, size_t count, size_t most) {
    const uint64_t next = atomic_load_explicit(&ring->next[slot], memory_order_acquire);
    for (uint64_t i = 0; next && i < LOG_RING_LINES; i++) {
        const struct log_ring_place *place = &ring->places[slot][(next + i) % LOG_RING_LINES];
        const uint64_t turn = atomic_load_explicit(&place->turn, memory_order_acquire);
        const uint64_t at = atomic_load_explicit(&place->at, memory_order_relaxed);
        if (turn && turn % 2 == 0)
            count = insert(all, count, most, (struct found){at, turn, place});
    }
    return count;
}

/* Returns whether it is the line that was found. */
static bool copy(const struct found *found, struct log_ring_line *line) {
    const struct log_ring_place *place = found->place;
    const uint64_t what = atomic_load_explicit(&place->what, memory_order_relaxed);
    uint64_t words[LOG_RING_TEXT_MAX / 8];
    for (size_t i = 0; i < LOG_RING_TEXT_MAX / 8; i++)
        words[i] = atomic_load_explicit(&place->text[i], memory_order_relaxed);
    atomic_thread_fence(memory_order_acquire);
    if (atomic_load_explicit(&place->turn, memory_order_relaxed) != found->turn)
        return false;
    const unsigned level = (unsigned)(what >> 16 & 0xffff);
    const size_t len = what & 0xffff;
    if (!(what >> 32) || level > LOG_LEVEL_DEBUG || len > LOG_RING_TEXT_MAX)
        return false;
    line->at = found->at;
    line->pid = (pid_t)(what >> 32 & INT32_MAX);
    line->level = (enum log_level)level;
    line->len = len;
    memcpy(line->text, words, len);
    line->text[len] = '\0';
    log_make_plain(line->text, len);
    return true;
}

size_t log_ring_read(const struct log_ring *ring, struct log_ring_line *lines, size_t most) {
    struct found all[LOG_RING_READ_MAX];
    size_t count = 0, copied = 0;
    if (most > LOG_RING_READ_MAX)
        most = LOG_RING_READ_MAX;
    for (unsigned slot = 0; slot < LOG_RING_SLOTS; slot++)
        count = look_at_slot(ring, slot, all, count, most);
    for (size_t i = 0; i < count; i++)
        copied += copy(&all[i], &lines[copied]);
    return copied;
}
