/* Memory that the processes of one server share (ipc/shared_memory.h): the last lines of the log of each, for whoever
 * shows them (the page of --status-path). What a process has logged stays when it has died, until others that had its
 * slot later have logged as much.
 *
 * Writing takes no lock and waits for nobody: each line gets the next place of its slot, and a place that somebody else
 * is just writing is passed over, together with the line. Readers believe nothing: each line is copied, and counts if
 * its place did not change meanwhile; it is then bounded and made safe to show.
 *
 * Threads: any. Async-signal-safe: log_ring_put, and the lines that the log puts there.
 */
#ifndef WSGI_FCGI_IPC_LOG_RING_H
#define WSGI_FCGI_IPC_LOG_RING_H

#include "base/log.h"
#include "ipc/scoreboard.h"
#include "ipc/shared_memory.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    LOG_RING_LINES = 64,                    /* of each slot */
    LOG_RING_TEXT_MAX = 400,                /* bytes of a line; the rest is cut off */
    LOG_RING_FIRST_LINES = 8,               /* of a text with many lines (a traceback) these are kept, */
    LOG_RING_LAST_LINES = 24,               /* and these; a line between them says how many are left out */
    LOG_RING_READ_MAX = 256,                /* lines that can be asked for at a time */
    LOG_RING_SUPERVISOR = SCOREBOARD_SLOTS, /* slots beside those of the scoreboard */
    LOG_RING_ZYGOTES,                       /* of all of them */
    LOG_RING_SLOTS
};

struct log_ring_place {
    /* How often it was written, times two; odd while somebody writes it, or has died doing so. */
    _Atomic uint64_t turn;
    _Atomic uint64_t at;   /* nanoseconds of the time of day (CLOCK_REALTIME) */
    _Atomic uint64_t what; /* pid, level and length */
    _Atomic uint64_t text[LOG_RING_TEXT_MAX / 8];
};

struct log_ring {
    struct shared_memory_head head;
    _Alignas(64) _Atomic uint64_t next[LOG_RING_SLOTS]; /* lines that were put there, ever. 0: nothing to read */
    struct log_ring_place places[LOG_RING_SLOTS][LOG_RING_LINES];
};

/* As the functions of those names in ipc/shared_memory.h. */
struct log_ring *log_ring_new(int *fd);
struct log_ring *log_ring_map(int fd);
void log_ring_unmap(struct log_ring *ring);

/* From now on what this process logs is put into this slot, too: once for each process; the child that the zygote forks
 * calls it again. `ring` stays mapped for as long as the process logs. While it has one thread. */
void log_ring_keep(struct log_ring *ring, unsigned slot);

/* Puts text of one line or several into a slot, as logged now by this process. errno is preserved. */
void log_ring_put(struct log_ring *ring, unsigned slot, enum log_level level, const char *text, size_t len);

/* One line, without a line feed and without what stands in front of the level in the log. It has no controls, and
 * nothing that turns the direction of text (log_make_plain). */
struct log_ring_line {
    uint64_t at; /* nanoseconds of the time of day (CLOCK_REALTIME) */
    pid_t pid;
    enum log_level level;
    size_t len;
    char text[LOG_RING_TEXT_MAX + 1]; /* terminated */
};

/* Copies the newest lines of all processes, at most `most` (LOG_RING_READ_MAX or less), the oldest first. Returns how
 * many there are. Without waiting; touches the slots that were used only. */
size_t log_ring_read(const struct log_ring *ring, struct log_ring_line *lines, size_t most);

#endif
