#include "config.h"

#include "base/log.h"

#include "base/ascii.h"
#include "base/buf.h"
#include "base/date.h"
#include "base/log_writer.h"
#include "base/utf8.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    LOG_LINE_MAX = 2000, /* bytes, without the line feed */
    LOG_PREFIX_MAX = 96  /* bytes of a line before its text */
};

/* Mutable log_max_level: main(), before there is a second thread. */
enum log_level log_max_level = LOG_LEVEL_INFO;

/* How a line begins.
 * Mutable form: log_init, before there is a second thread. */
static enum { LOG_FORM_SHORT, LOG_FORM_TIME, LOG_FORM_JOURNAL } form = LOG_FORM_SHORT;

/* What is logged is copied here.
 * Mutable copy: its thread. */
static _Thread_local struct {
    struct buf *to; /* NULL: nowhere */
    size_t most;
} copy;

/* Mutable error_told: log_on_error; read by any thread. */
static void (*_Atomic error_told)(const char *text);

/* Mutable keep: log_keep_lines; read by any thread. */
static log_keep_cb *_Atomic keep;

static const struct {
    const char *name;
    int priority; /* of syslog(3), as sd-daemon(3) prints it */
} levels[] = {
    [LOG_LEVEL_ERROR] = {"error", 3},
    [LOG_LEVEL_WARNING] = {"warning", 4},
    [LOG_LEVEL_INFO] = {"info", 6},
    [LOG_LEVEL_DEBUG] = {"debug", 7},
};

const char *log_level_name(enum log_level level) {
    return levels[level].name;
}

int log_level_parse(const char *name, enum log_level *level) {
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++)
        if (strcmp(name, levels[i].name) == 0) {
            *level = (enum log_level)i;
            return 0;
        }
    return -1;
}

/* A process may inherit JOURNAL_STREAM although its standard error was redirected since; so systemd.exec(5) asks to
 * compare device and inode. */
static bool stderr_is_journal(void) {
    const char *text = getenv("JOURNAL_STREAM");
    uint64_t dev, ino;
    struct stat st;
    const char *colon = text ? ascii_read_number(text, 10, &dev) : NULL;
    return colon && *colon == ':' && ascii_is_number(colon + 1, UINT64_MAX, &ino) && fstat(STDERR_FILENO, &st) == 0 &&
           st.st_dev == dev && st.st_ino == ino;
}

void log_init(void) {
    form = stderr_is_journal() ? LOG_FORM_JOURNAL : isatty(STDERR_FILENO) ? LOG_FORM_SHORT : LOG_FORM_TIME;
}

/* The part of a line before its text. It uses only what may be called in a signal handler: nothing of <stdio.h>, and
 * not gmtime_r(3), which has a lock that a child of fork(2) may find taken. */

/* With at least so many digits. */
static char *put_number(char *out, unsigned long number, int width) {
    char digits[20];
    int n = 0;
    do {
        digits[n++] = (char)('0' + number % 10);
        number /= 10;
    } while (number || n < width);
    while (n)
        *out++ = digits[--n];
    return out;
}

/* UTC with milliseconds (RFC 3339). A clock before 1970 shows the beginning of 1970. */
static char *put_time(char *out, const struct timespec *t) {
    const unsigned long seconds = t->tv_sec > 0 ? (unsigned long)t->tv_sec : 0;
    const struct date date = date_of(seconds / 86400);
    out = stpcpy(put_number(out, date.year, 4), "-");
    out = stpcpy(put_number(out, date.month, 2), "-");
    out = stpcpy(put_number(out, date.day, 2), "T");
    out = stpcpy(put_number(out, seconds / 3600 % 24, 2), ":");
    out = stpcpy(put_number(out, seconds / 60 % 60, 2), ":");
    out = stpcpy(put_number(out, seconds % 60, 2), ".");
    return stpcpy(put_number(out, (unsigned long)t->tv_nsec / 1000000, 3), "Z");
}

char *log_time(char out[static LOG_TIME_SIZE], uint64_t ago) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_sec -= (time_t)(ago / 1000000000);
    t.tv_nsec -= (long)(ago % 1000000000);
    if (t.tv_nsec < 0) {
        t.tv_sec--;
        t.tv_nsec += 1000000000;
    }
    put_time(out, &t);
    return out;
}

/* What each line begins with in the journal: its priority (sd-daemon(3)). Elsewhere "". Returns its end. */
static char *put_mark(char *out, enum log_level level) {
    *out = '\0';
    if (form != LOG_FORM_JOURNAL)
        return out;
    return stpcpy(put_number(stpcpy(out, "<"), (unsigned long)levels[level].priority, 1), ">");
}

/* What follows the mark. Returns its end. */
static char *put_origin(char *at, enum log_level level) {
    if (form == LOG_FORM_TIME) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        at = stpcpy(put_time(at, &now), " ");
    }
    at = stpcpy(at, "wsgi-fcgi");
    if (form != LOG_FORM_SHORT)
        at = stpcpy(put_number(stpcpy(at, "["), (unsigned long)getpid(), 1), "]");
    at = stpcpy(at, form == LOG_FORM_SHORT ? ": " : " ");
    return stpcpy(stpcpy(at, levels[level].name), ": ");
}

/* Returns its length. */
static size_t put_prefix(char out[static LOG_PREFIX_MAX], enum log_level level) {
    return (size_t)(put_origin(put_mark(out, level), level) - out);
}

/* Where text of `len` bytes may be cut: not within a UTF-8 character. */
static size_t cut_at(const char *text, size_t len) {
    for (size_t n = len; n && n + 4 > len; n--)
        if (((unsigned char)text[n] & 0xc0) != 0x80)
            return n;
    return len;
}

void log_keep_lines(log_keep_cb *wanted) {
    atomic_store(&keep, wanted);
}

static void keep_lines(enum log_level level, const char *text, size_t len) {
    log_keep_cb *kept = atomic_load(&keep);
    if (kept)
        kept(level, text, len);
}

/* Behind `prefix` bytes that are there. Returns the length of the whole. */
__attribute__((format(printf, 3, 0))) static size_t format_line(char line[static LOG_LINE_MAX + 2], size_t prefix,
                                                                const char *format, va_list args) {
    int n = vsnprintf(line + prefix, LOG_LINE_MAX + 1 - prefix, format, args);
    size_t len = prefix + (n > 0 ? (size_t)n : 0);
    if (len > LOG_LINE_MAX) {
        len = cut_at(line, LOG_LINE_MAX - 3);
        memcpy(line + len, "...", 3);
        len += 3;
    }
    for (size_t i = prefix; i < len; i++)
        if (line[i] == '\n' || line[i] == '\r')
            line[i] = ' ';
    line[len] = '\n';
    return len + 1;
}

void log_copy_to(struct buf *to, size_t most) {
    copy.to = to;
    copy.most = most;
}

static void copy_text(const char *text, size_t len) {
    const size_t room = copy.most - buf_len(copy.to);
    if (len > room) {
        const char *end = memrchr(text, '\n', room);
        len = end ? (size_t)(end - text) + 1 : 0;
    }
    /* Without memory it is in the log in any case. */
    if (!buf_append(copy.to, text, len) && len && text[len - 1] != '\n')
        (void)buf_append(copy.to, "\n", 1);
}

/* Without what stands in front of the level. */
static void copy_line(enum log_level level, const char *line, size_t len) {
    const char *from = memmem(line, len, log_level_name(level), strlen(log_level_name(level)));
    if (level <= LOG_LEVEL_WARNING && from)
        copy_text(from, len - (size_t)(from - line));
}

void log_printf(enum log_level level, const char *format, ...) {
    if (level > log_max_level)
        return;
    int error = errno;
    char line[LOG_LINE_MAX + 2]; /* and a line feed, and the byte that vsnprintf ends with */
    va_list args;
    va_start(args, format);
    const size_t prefix = put_prefix(line, level), len = format_line(line, prefix, format, args);
    va_end(args);
    log_writer_put(line, len, false);
    keep_lines(level, line + prefix, len - prefix - 1);
    if (copy.to)
        copy_line(level, line, len);
    void (*told)(const char *) = level == LOG_LEVEL_ERROR ? atomic_load(&error_told) : NULL;
    if (told) {
        line[len - 1] = '\0';
        told(line + prefix);
    }
    errno = error;
}

void log_on_error(void (*told)(const char *text)) {
    atomic_store(&error_told, told);
}

/* Several lines. */
static void put_lines(enum log_level level, const char *text, size_t len) {
    char mark[LOG_MARK_MAX];
    put_mark(mark, level);
    if (*mark)
        log_writer_put_marked(mark, text, len);
    else
        log_writer_put(text, len, text[len - 1] != '\n');
}

void log_block(enum log_level level, const char *text, const char *format, ...) {
    if (level > log_max_level)
        return;
    int error = errno;
    char block[LOG_BLOCK_MAX];
    va_list args;
    va_start(args, format);
    const size_t prefix = (size_t)(put_origin(block, level) - block);
    size_t n = format_line(block, prefix, format, args), len = strlen(text), room = sizeof block - n;
    va_end(args);
    if (len > room) {
        const char *end = memrchr(text, '\n', room);
        len = end ? (size_t)(end - text) + 1 : 0;
    }
    memcpy(block + n, text, len);
    put_lines(level, block, n + len);
    keep_lines(level, block + prefix, n + len - prefix);
    errno = error;
}

void log_text(enum log_level level, const char *text, size_t len) {
    if (!len)
        return;
    int error = errno;
    put_lines(level, text, len);
    keep_lines(level, text, len);
    if (copy.to && level <= LOG_LEVEL_WARNING)
        copy_text(text, len);
    errno = error;
}

static size_t note_lost(char *out, size_t size, unsigned long lost, int error) {
    size_t len = put_prefix(out, LOG_LEVEL_WARNING);
    const char *what = lost == 1 ? "line was" : "lines were";
    int n = error
                ? snprintf(out + len, size - len, "%lu %s lost here, since the log could not be written: %s\n", lost,
                           what, strerror(error))
                : snprintf(out + len, size - len, "%lu %s lost here, since nobody read the log in time\n", lost, what);
    return len + (size_t)n < size ? len + (size_t)n : size;
}

static void exit_cb(void) {
    log_flush();
}

int log_start_writer(void) {
    if (log_writer_start(note_lost))
        return -1;
    (void)atexit(exit_cb); /* for any exit(3); if this fails, the last lines may be lost */
    return 0;
}

void log_count_lost(_Atomic uint64_t *counter) {
    log_writer_count_lost(counter);
}

void log_last(enum log_level level, const char *text) {
    char line[LOG_PREFIX_MAX + LOG_LAST_MAX + 1];
    int error = errno;
    size_t len = put_prefix(line, level), n = strnlen(text, LOG_LAST_MAX);
    memcpy(line + len, text, n);
    line[len + n] = '\n';
    keep_lines(level, text, n); /* first: the process may be killed while it waits */
    log_writer_put_last(line, len + n + 1);
    errno = error;
}

bool log_flush(void) {
    int error = errno;
    bool all = log_writer_flush();
    errno = error;
    return all;
}

void log_make_plain(char *text, size_t len) {
    for (size_t i = 0, width; i < len; i += width) {
        uint32_t code = 0;
        width = utf8_read(text + i, len - i, &code);
        bool plain = width && utf8_is_plain(code);
        width = width ? width : 1;
        if (!plain)
            memset(text + i, '?', width);
    }
}

char *log_escape(char *out, size_t size, const char *in, size_t len) {
    static const char hex[] = "0123456789abcdef";
    size_t n = 0, cut = 0; /* cut: where "..." and the terminating byte still fit */
    if (size == 0)
        return out;
    for (size_t i = 0, width; i < len; i += width) {
        uint32_t code = 0;
        const char *c = in + i;
        width = utf8_read(c, len - i, &code);
        bool plain = width && utf8_is_plain(code) && code != '\\';
        width = plain ? width : 1;
        size_t takes = plain ? width : 4;
        if (n + 3 < size)
            cut = n;
        if (n + takes >= size) {
            n = cut;
            for (int dots = 0; dots < 3 && n + 1 < size; dots++)
                out[n++] = '.';
            break;
        }
        if (plain) {
            memcpy(out + n, c, width);
        } else {
            memcpy(out + n, "\\x", 2);
            out[n + 2] = hex[(unsigned char)*c >> 4];
            out[n + 3] = hex[*c & 15];
        }
        n += takes;
    }
    out[n] = '\0';
    return out;
}
