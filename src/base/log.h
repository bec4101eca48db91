/* The server's log: one line per event on standard error.
 *
 * A line reads "TIME wsgi-fcgi[PID] LEVEL: text", with the time in UTC and milliseconds. On a terminal, and before
 * log_init, it is "wsgi-fcgi: LEVEL: text". When standard error is the systemd journal (JOURNAL_STREAM names it), the
 * journal's "<N>" priority replaces the time, and stands in front of each further line of an event as well: no text
 * chooses a priority of its own, whatever it begins with.
 *
 * Until log_start_writer, the thread that logs a line writes it, with one writev(2). From then on no thread waits for
 * the reader of the log (base/log_writer.h).
 *
 * Threads: any, with or without the GIL; nothing here calls Python, nor allocates but for log_copy_to. In signal
 * handlers only log_last and log_flush.
 *
 * Print bytes that came from a peer or an application only through log_escape. Limit what they can cause at will with
 * base/log_limit.h.
 */
#ifndef WSGI_FCGI_BASE_LOG_H
#define WSGI_FCGI_BASE_LOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Lines above this level are not written. Default: LOG_LEVEL_INFO. */
extern enum log_level log_max_level;

/* "error", "warning", "info" or "debug". */
const char *log_level_name(enum log_level level);

/* Parses such a name into *level. Returns 0, or -1 if it is no level. */
int log_level_parse(const char *name, enum log_level *level);

/* Finds out where standard error goes, and chooses the form of the lines. Call it while there is only one thread, first
 * and when standard error has become another file (base/log_file.h). */
void log_init(void);

/* From now on lines go into a ring of LOG_RING_SIZE bytes, and a thread of its own writes them. Main thread, once.
 * Returns 0; or -1 with errno if the thread cannot be started, and lines are written as before. */
int log_start_writer(void);

/* From now on lines that are lost are counted there as well, for others to read; those that were lost before, at once. It
 * stays for as long as the process. Main thread, once. */
void log_count_lost(_Atomic uint64_t *counter);

/* Waits until everything logged so far is written, but at most a second, since nobody may be reading. Call it before
 * ending the process: lines that the writer has not yet written would be lost. Returns whether everything is written.
 * Async-signal-safe. errno is preserved. */
bool log_flush(void);

/* Logs a line that says why the process ends now, then waits like log_flush. Lines longer than LOG_LAST_MAX bytes are
 * cut. After log_start_writer only the first such line of a process is written. It may be lost if nobody reads the log.
 * Async-signal-safe. errno is preserved. */
enum { LOG_LAST_MAX = 900 };
void log_last(enum log_level level, const char *text);

/* Writes one line. A line longer than 2,000 bytes is cut between two characters and ends in "...". errno is
 * preserved. */
void log_printf(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_printf(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_printf(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_printf(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)                                                                                                 \
    do {                                                                                                               \
        if (log_max_level >= LOG_LEVEL_DEBUG)                                                                          \
            log_printf(LOG_LEVEL_DEBUG, __VA_ARGS__);                                                                  \
    } while (0)

/* The same, with lines of `text` behind it, as they are. Other lines come before or after the whole, never within it.
 * Beyond LOG_BLOCK_MAX bytes lines at the end are left out. */
enum { LOG_BLOCK_MAX = 20000 };
void log_block(enum log_level level, const char *text, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Writes `len` bytes of multi-line text (a traceback, output of the application) to the log as they are, and adds a
 * line feed if the last byte is none. Not filtered by level, which is for the journal. Other lines come before or after
 * the whole text, never within it. If the ring has no room for all of it, whole lines at its end are lost; of a single
 * line that is too long, its end. errno is preserved. */
void log_text(enum log_level level, const char *text, size_t len);

/* From now on what this thread logs is appended to `copy` as well, which allocates: errors and warnings, "error: text",
 * and multi-line text, up to `most` bytes in it; of what does not fit, whole lines are left out. NULL: no longer. */
struct buf;
void log_copy_to(struct buf *copy, size_t most);

/* Calls `told` with each error line of log_printf from now on, without what stands in front of it, on the thread that
 * logs it, which has written the line. NULL: nobody is told any more. Any thread. */
void log_on_error(void (*told)(const char *text));

/* From now on calls `keep` with everything that is logged, by whichever thread, without what stands in front of it: one
 * line without its line feed, or several. It is async-signal-safe. NULL: no longer. Any thread. */
typedef void log_keep_cb(enum log_level level, const char *text, size_t len);
void log_keep_lines(log_keep_cb *keep);

/* Writes when something was, `ago` nanoseconds before now, as the time in front of lines is written; for lines that
 * tell since when. Returns `out`. */
enum { LOG_TIME_SIZE = 40 };
char *log_time(char out[static LOG_TIME_SIZE], uint64_t ago);

/* Copies at most `len` bytes of `in` to `out` (size `size`, always terminated) in a form that is safe to show on one
 * line. Valid UTF-8 stays as it is, whatever the locale. Other bytes, controls, line ends, characters that turn the
 * direction of text, and the backslash become \xNN, byte by byte. Text that is cut ends in "...", after a whole
 * character. Returns `out`. */
char *log_escape(char *out, size_t size, const char *in, size_t len);

/* Replaces each byte that log_escape would not leave as it is by a question mark, but for the backslash, as text of the
 * log is escaped already. */
void log_make_plain(char *text, size_t len);

#endif
