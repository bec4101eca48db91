/* The server's log: one line per event on standard error.
 *
 * A line reads "TIME wsgi-fcgi[PID] LEVEL: text", with a UTC time of milliseconds; on a terminal, and before log_init, it
 * is "wsgi-fcgi: LEVEL: text". When standard error is the systemd journal (JOURNAL_STREAM names it) the line starts with
 * the journal's "<N>" priority in the place of the time.
 *
 * Until log_start_writer a line is written by who logs it, with one write(2). From then on nobody waits for whoever reads
 * the log (base/log_writer.h).
 *
 * Threads: every function may be called from any thread, with or without the GIL; none calls Python or allocates. Within
 * handlers of signals only log_last and log_flush.
 * Bytes that came from a peer or an application must be printed through log_escape; what they can cause at will is limited by
 * base/log_limit.h.
 */
#ifndef WSGI_FCGI_BASE_LOG_H
#define WSGI_FCGI_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Lines above this level are not written. Default: LOG_LEVEL_INFO. */
extern enum log_level log_max_level;

/* "error", "warning", "info" or "debug". */
const char *log_level_name(enum log_level level);

/* Parses such a name into *level. Returns 0, or -1 when it is none of them. */
int log_level_parse(const char *name, enum log_level *level);

/* Looks where standard error goes, and chooses the form of the lines. Once, before there is another thread. */
void log_init(void);

/* From now on lines are put into a ring of LOG_RING_SIZE bytes, from which a thread of its own writes them. Main thread,
 * once. Returns 0, or -1 with errno when there can be no thread; lines are written as before then. */
int log_start_writer(void);

/* Waits until what was logged is written, for at most a second: nobody may be reading it. For who ends the process, which
 * would else take along what the writer has not yet written. Returns whether all is. Async-signal-safe. errno is
 * preserved. */
bool log_flush(void);

/* The same, behind a line of at most LOG_LAST_MAX bytes that says why the process ends now; longer ones are cut. Only the
 * first such line of a process is written, and it may be lost when nobody reads the log. Async-signal-safe. errno is
 * preserved. */
enum { LOG_LAST_MAX = 900 };
void log_last(enum log_level level, const char *text);

/* Writes one line; a line longer than 2,000 bytes is cut between two characters and ends in "...". errno is preserved. */
void log_printf(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_printf(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_printf(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_printf(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)                                                                                                 \
    do {                                                                                                               \
        if (log_max_level >= LOG_LEVEL_DEBUG)                                                                          \
            log_printf(LOG_LEVEL_DEBUG, __VA_ARGS__);                                                                  \
    } while (0)

/* Writes `len` bytes of several lines of text (a traceback, text of the application) as they are to the log; a line feed
 * is added when the last byte is none. Not filtered by level. Other lines come before or behind all of it. When the ring
 * has no room for all, whole lines at its end are lost. errno is preserved. */
void log_text(const char *text, size_t len);

/* Copies at most `len` bytes of `in` to `out` (size `size`, always terminated) so that the result shows on one line what
 * is there: valid UTF-8 stays as it is, whatever the locale. Other bytes, controls, ends of lines, what turns the direction of
 * text, and the backslash become \xNN, byte by byte. Cut text ends in "...", behind a whole character. Returns `out`. */
char *log_escape(char *out, size_t size, const char *in, size_t len);

#endif
