/* The server's log: one line per event on standard error, written with one write(2).
 *
 * A line reads "TIME wsgi-fcgi[PID] LEVEL: text", with a UTC time of milliseconds; on a terminal, and before log_init, it
 * is "wsgi-fcgi: LEVEL: text". When standard error is the systemd journal (JOURNAL_STREAM names it) the line starts with
 * the journal's "<N>" priority in the place of the time.
 *
 * Threads: every function may be called from any thread, with or without the GIL; none calls Python or allocates.
 * Bytes that came from a peer or an application must be printed through log_escape.
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

/* Parses such a name into *level. Returns 0, or -1 when it is none of them. */
int log_level_parse(const char *name, enum log_level *level);

/* Looks where standard error goes, and chooses the form of the lines. Once, before there is another thread. */
void log_init(void);

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

/* Writes `len` bytes of several lines of text (a traceback, text of the application) as they are, in whole, to the
 * log; a line feed is added when the last byte is none. Not filtered by level. */
void log_text(const char *text, size_t len);

/* Keeps what a peer can cause at will from filling the log: one line a second about the same thing. Zeroed at first. */
struct log_limit {
    _Atomic uint64_t reported_at; /* clock_ns of the last line; 0: none yet */
    atomic_ulong left_out;        /* events without a line since then */
};

enum { LOG_MORE_SIZE = 64 };

/* Tells whether a line about this is due, and takes note of the event when it is not. `more` is then the text to end
 * the line with: "", or " (and N more since the last line about this)". */
bool log_limit_due(struct log_limit *limit, char more[static LOG_MORE_SIZE]);

/* Copies at most `len` bytes of `in` to `out` (size `size`, always terminated) so that the result shows on one line what
 * is there: valid UTF-8 stays as it is, whatever the locale. Other bytes, controls, ends of lines, what turns the direction of
 * text, and the backslash become \xNN, byte by byte. Cut text ends in "...", behind a whole character. Returns `out`. */
char *log_escape(char *out, size_t size, const char *in, size_t len);

#endif
