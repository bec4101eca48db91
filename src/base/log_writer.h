/* Writes log lines, first on the calling thread, then on a thread of its own. For base/log.c only; everything else uses
 * base/log.h.
 *
 * The reader of standard error may be slow, or may have stopped (Ctrl-S, a pager, a full pipe). After log_writer_start
 * only the writer's thread waits for it; it takes lines from a ring of fixed size. Lines that find no room are lost and
 * counted, and so are lines that cannot be written (a full disk, a reader that is gone). A line says how many were
 * lost: when the ring is empty again, or when lines can be written again.
 *
 * Lines keep their order and are never torn: each writev(2) has whole lines, as many as a pipe takes in one piece, or
 * one that is longer. A forked process has no such thread: it writes its own lines itself, and none that were in its
 * parent's ring.
 *
 * Threads: any. errno is not preserved.
 */
#ifndef WSGI_FCGI_BASE_LOG_WRITER_H
#define WSGI_FCGI_BASE_LOG_WRITER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    LOG_RING_SIZE = 1024 * 1024, /* bytes */
    LOG_OWN_MAX = 1024,          /* bytes of the line about lost lines, and of a last line */
    LOG_MARKED_MAX = 32 * 1024 /* bytes of a marked line; the journal cuts those beyond LineMax= of journald.conf(5) */
};

/* Writes the line about `lost` lines, with its line feed, to `out`. `error`: the errno with which writing failed, or 0
 * if nobody read the log. Returns the length, at most `size`. Called on the writer's thread. */
typedef size_t log_writer_note_cb(char *out, size_t size, unsigned long lost, int error);

/* Starts the thread. Call it once. Returns 0; or -1 with errno, and lines are written as before. */
int log_writer_start(log_writer_note_cb *note);

/* From now on lines that are lost are counted there as well; those that were lost before, at once. It stays for as long as
 * the process. Main thread, once. */
void log_writer_count_lost(_Atomic uint64_t *counter);

/* Writes whole lines. `feed`: the last one lacks its line feed, which is to be added. Without the writer's thread it
 * waits at most a second for the reader. Any thread. */
void log_writer_put(const char *text, size_t len, bool feed);

/* The same for text of which each line is to begin with `mark`, at most LOG_MARK_MAX bytes. A zero byte ends a line as
 * a line feed does, since the journal reads it so, and what is longer than LOG_MARKED_MAX goes on in a line of its own:
 * no text can make a line without the mark. */
enum { LOG_MARK_MAX = 8 };
void log_writer_put_marked(const char *mark, const char *text, size_t len);

/* Writes the last line, of at most LOG_OWN_MAX bytes, before the process ends. It is written after all lines before it,
 * by whichever thread writes, and lost if nobody reads. The writer's thread writes only the first such line of a
 * process; this waits for it like log_writer_flush. Async-signal-safe. */
void log_writer_put_last(const char *line, size_t len);

/* Waits until everything put so far is written, but at most a second, since nobody may be reading. Returns whether it
 * is. Async-signal-safe. */
bool log_writer_flush(void);

#endif
