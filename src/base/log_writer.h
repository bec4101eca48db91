/* Who writes the log: the calling thread, until log_writer_start; from then on a thread of its own, which takes the lines
 * from a ring of a fixed size. Whoever reads standard error may be slow, or have stopped (Ctrl-S, a pager, a pipe that is
 * full): that thread waits for it, and no other. Lines that find no room are lost, and counted; when the ring is empty
 * again a line says how many they were. So do those that cannot be written (a full disk, a reader that is gone).
 *
 * The order of lines is kept, and none is torn: each write(2) has whole lines, and as many of them as a pipe takes in one
 * piece. A process that was forked has no such thread: it writes its lines itself, and none that its parent had in the ring.
 *
 * For base/log.c; all others use that. Nothing here keeps errno.
 */
#ifndef WSGI_FCGI_BASE_LOG_WRITER_H
#define WSGI_FCGI_BASE_LOG_WRITER_H

#include <stdbool.h>
#include <stddef.h>

enum {
    LOG_RING_SIZE = 1024 * 1024, /* bytes */
    LOG_OWN_MAX = 1024           /* bytes of the line about lost lines, and of a last line */
};

/* Writes the line about `lost` lines, with its line feed, to `out`. `error`: why they could not be written (errno), or 0
 * when nobody read the log. Returns its length, which is at most `size`. Called on the writer's thread. */
typedef size_t log_writer_note_cb(char *out, size_t size, unsigned long lost, int error);

/* Starts the thread. Returns 0, or -1 with errno; then lines are written as before. Call once. */
int log_writer_start(log_writer_note_cb *note);

/* Writes whole lines; `feed` says that the line feed of the last one is missing, and to be added. Where there is no writer
 * it waits for a second at most for somebody who reads. Any thread. */
void log_writer_put(const char *text, size_t len, bool feed);

/* The last line, of at most LOG_OWN_MAX bytes, of somebody who is about to end the process: written when all before it is,
 * by whoever writes, and lost when nobody reads. Only the first one of a process is. Waits like log_writer_flush.
 * Async-signal-safe. */
void log_writer_put_last(const char *line, size_t len);

/* Waits until all that was put is written, for at most a second: nobody may be reading. Returns whether it is.
 * Async-signal-safe. */
bool log_writer_flush(void);

#endif
