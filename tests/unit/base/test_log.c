#include "config.h"

#include "base/buf.h"
#include "base/log.h"
#include "base/log_writer.h"

#include "unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <regex.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

/* Standard error is a packet socket here: what arrives as one packet was one write. */
static int reader;
static int saved_stderr;
static char packet[65536];

static void use_stderr(int fd) {
    ck_assert_int_eq(dup2(fd, STDERR_FILENO), STDERR_FILENO);
    close(fd);
}

static void setup(void) {
    int pair[2];
    saved_stderr = dup(STDERR_FILENO);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    reader = pair[0];
    use_stderr(pair[1]);
    unsetenv("JOURNAL_STREAM");
    log_max_level = LOG_LEVEL_INFO;
}

static void teardown(void) {
    use_stderr(saved_stderr);
    close(reader);
}

/* The next packet, "" when there is none. */
static const char *next_packet(void) {
    ssize_t n = recv(reader, packet, sizeof packet - 1, MSG_DONTWAIT);
    packet[n < 0 ? 0 : n] = '\0';
    return packet;
}

static bool matches(const char *text, const char *pattern) {
    regex_t re;
    ck_assert_int_eq(regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB), 0);
    bool found = regexec(&re, text, 0, NULL, 0) == 0;
    regfree(&re);
    return found;
}

START_TEST(short_form)
{
    log_error("cannot open %s", "x");
    ck_assert_str_eq(next_packet(), "wsgi-fcgi: error: cannot open x\n");
    log_warning("w");
    ck_assert_str_eq(next_packet(), "wsgi-fcgi: warning: w\n");
    log_info("%d", 7);
    ck_assert_str_eq(next_packet(), "wsgi-fcgi: info: 7\n");
    log_max_level = LOG_LEVEL_DEBUG;
    log_debug("d");
    ck_assert_str_eq(next_packet(), "wsgi-fcgi: debug: d\n");
    ck_assert_str_eq(next_packet(), "");
}
END_TEST

START_TEST(terminal)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    ck_assert(master >= 0 && !grantpt(master) && !unlockpt(master));
    use_stderr(open(ptsname(master), O_RDWR | O_NOCTTY));
    log_init();
    log_error("x");
    ssize_t n = read(master, packet, sizeof packet - 1);
    packet[n < 0 ? 0 : n] = '\0';
    ck_assert_str_eq(packet, "wsgi-fcgi: error: x\r\n");
    close(master);
}
END_TEST

START_TEST(levels)
{
    enum log_level level;
    for (int max = LOG_LEVEL_ERROR; max <= LOG_LEVEL_DEBUG; max++) {
        log_max_level = (enum log_level)max;
        for (int i = LOG_LEVEL_ERROR; i <= LOG_LEVEL_DEBUG; i++) {
            log_printf((enum log_level)i, "text");
            ck_assert_int_eq(next_packet()[0] != '\0', i <= max);
        }
        int evaluated = 0;
        log_debug("%d", ++evaluated);
        ck_assert_int_eq(next_packet()[0] != '\0', max == LOG_LEVEL_DEBUG);
        ck_assert_int_eq(evaluated, max == LOG_LEVEL_DEBUG);
        ck_assert_int_eq(log_level_parse(log_level_name((enum log_level)max), &level), 0);
        ck_assert_int_eq((int)level, max);
    }
    ck_assert_str_eq(log_level_name(LOG_LEVEL_WARNING), "warning");
    ck_assert_int_eq(log_level_parse("warn", &level), -1);
    ck_assert_int_eq(log_level_parse("", &level), -1);
    ck_assert_int_eq(log_level_parse("Error", &level), -1);
}
END_TEST

START_TEST(long_lines_are_cut)
{
    static const char prefix[] = "wsgi-fcgi: error: ";
    static const struct {
        int text;
        bool cut;
    } lines[] = {{1982, false}, {1983, true}, {1984, true}, {5000, true}};
    for (int i = 0; i < COUNT(lines); i++) {
        log_error("%0*d", lines[i].text, 0);
        size_t n = strlen(next_packet());
        ck_assert_uint_eq(n, 2001);
        ck_assert_mem_eq(packet, prefix, sizeof prefix - 1);
        ck_assert_str_eq(packet + n - 5, lines[i].cut ? "0...\n" : "0000\n");
    }
}
END_TEST

/* Not within a character; what is none is cut anywhere. */
static const struct {
    int before; /* bytes of the text in front of it */
    const char *character, *end;
} cuts[] = {
    {1978, "aaaaa", "a..."},
    {1977,
     "\xc3\xa9"
     "aaaa",
     "\xc3\xa9..."},
    {1978,
     "\xc3\xa9"
     "aaaa",
     "0..."},
    {1977,
     "\xf0\x9f\x90\x8d"
     "aaaa",
     "0..."},
    {1976,
     "\xf0\x9f\x90\x8d"
     "aaaa",
     "0..."},
    {1975,
     "\xf0\x9f\x90\x8d"
     "aaaa",
     "\xf0\x9f\x90\x8d..."},
    {1970, "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80", "\x80..."},
};

START_TEST(cut_behind_a_character)
{
    log_error("%0*d%s", cuts[_i].before, 0, cuts[_i].character);
    size_t n = strlen(next_packet()), end = strlen(cuts[_i].end);
    ck_assert_uint_le(n, 2001);
    ck_assert_uint_ge(n, 1998);
    packet[n - 1] = '\0';
    ck_assert_str_eq(packet + n - 1 - end, cuts[_i].end);
}
END_TEST

START_TEST(one_line_each)
{
    log_error("one\ntwo\r\nthree\n");
    ck_assert_str_eq(next_packet(), "wsgi-fcgi: error: one two  three \n");
    log_error("%s", "");
    ck_assert_str_eq(next_packet(), "wsgi-fcgi: error: \n");
}
END_TEST

START_TEST(text)
{
    log_max_level = LOG_LEVEL_ERROR;
    log_text(LOG_LEVEL_WARNING, "one\ntwo", 7);
    ck_assert_str_eq(next_packet(), "one\ntwo\n");
    log_text(LOG_LEVEL_WARNING, "one\ntwo\n", 8);
    ck_assert_str_eq(next_packet(), "one\ntwo\n");
    log_text(LOG_LEVEL_WARNING, "", 0);
    ck_assert_str_eq(next_packet(), "");
    static char big[5000];
    memset(big, 'x', sizeof big);
    log_text(LOG_LEVEL_WARNING, big, sizeof big);
    ck_assert_uint_eq(strlen(next_packet()), sizeof big + 1);
    ck_assert_str_eq(next_packet(), "");
}
END_TEST

START_TEST(block)
{
    static char big[LOG_BLOCK_MAX];
    log_max_level = LOG_LEVEL_WARNING;
    log_block(LOG_LEVEL_WARNING, "  one\n  two\n", "it %s:\n", "is");
    ck_assert_str_eq(next_packet(), "wsgi-fcgi: warning: it is: \n  one\n  two\n");
    log_block(LOG_LEVEL_WARNING, "", "nothing");
    ck_assert_str_eq(next_packet(), "wsgi-fcgi: warning: nothing\n");
    log_block(LOG_LEVEL_INFO, "  one\n", "it is:");
    ck_assert_str_eq(next_packet(), "");
    memset(big, 'x', sizeof big - 1);
    memcpy(big, "one\n", 4); /* what follows has no room */
    log_block(LOG_LEVEL_WARNING, big, "it is:");
    ck_assert_str_eq(next_packet(), "wsgi-fcgi: warning: it is:\none\n");
}
END_TEST

START_TEST(errno_is_kept)
{
    errno = ENOTTY;
    log_error("x");
    ck_assert_int_eq(errno, ENOTTY);
    log_text(LOG_LEVEL_WARNING, "x", 1);
    ck_assert_int_eq(errno, ENOTTY);

    close(STDERR_FILENO);
    errno = ENOTTY;
    log_error("lost");
    ck_assert_int_eq(errno, ENOTTY);
    log_text(LOG_LEVEL_WARNING, "lost", 4);
    ck_assert_int_eq(errno, ENOTTY);
}
END_TEST

/* Interrupted writes: a pipe is filled; its reader takes something only after a signal has met the writer. */
static sem_t interrupted;
static size_t received;
static bool wrong;

static void on_alarm(int number) {
    (void)number;
    sem_post(&interrupted);
}

static void *read_slowly(void *arg) {
    static char bytes[3000];
    int fd = *(int *)arg;
    for (;;) {
        sem_wait(&interrupted);
        ssize_t n = read(fd, bytes, sizeof bytes);
        if (n <= 0)
            return NULL;
        for (ssize_t i = 0; i < n; i++, received++)
            if (bytes[i] != (received == 300000 ? '\n' : (char)('a' + received % 23)))
                wrong = true;
    }
}

START_TEST(short_and_interrupted_writes)
{
    static char big[300000];
    int fds[2];
    for (size_t i = 0; i < sizeof big; i++)
        big[i] = (char)('a' + i % 23);
    ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
    use_stderr(fds[1]);
    sem_init(&interrupted, 0, 0);
    struct sigaction action = {.sa_handler = on_alarm};
    sigaction(SIGALRM, &action, NULL);

    sigset_t alarms;
    sigemptyset(&alarms);
    sigaddset(&alarms, SIGALRM);
    pthread_sigmask(SIG_BLOCK, &alarms, NULL);
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, read_slowly, &fds[0]), 0);
    pthread_sigmask(SIG_UNBLOCK, &alarms, NULL);

    struct itimerval every_ms = {{0, 1000}, {0, 1000}};
    setitimer(ITIMER_REAL, &every_ms, NULL);
    errno = ENOTTY;
    log_text(LOG_LEVEL_WARNING, big, sizeof big);
    ck_assert_int_eq(errno, ENOTTY);
    close(STDERR_FILENO);
    pthread_join(thread, NULL);
    setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {0, 0}}, NULL);
    ck_assert_uint_eq(received, sizeof big + 1);
    ck_assert(!wrong);
    close(fds[0]);
}
END_TEST

/* A log that nobody reads must not stop the server, when its descriptor does not block. */
START_TEST(full_pipe)
{
    int fds[2];
    ck_assert_int_eq(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
    use_stderr(fds[1]);
    for (int i = 0; i < 2000; i++)
        log_error("%0*d", 100, i);
    close(STDERR_FILENO);
    ssize_t n = read(fds[0], packet, sizeof packet - 1);
    ck_assert_int_gt(n, 60000);
    close(fds[0]);
}
END_TEST

START_TEST(time_form)
{
    struct timespec before, after;
    log_init();
    clock_gettime(CLOCK_REALTIME, &before);
    log_info("ready");
    clock_gettime(CLOCK_REALTIME, &after);
    next_packet();
    char pattern[200];
    snprintf(pattern, sizeof pattern,
             "^20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9]\\.[0-9]{3}Z wsgi-fcgi\\[%ld\\] info: "
             "ready\n$",
             (long)getpid());
    ck_assert_msg(matches(packet, pattern), "%s", packet);
    struct tm tm = {0};
    const char *rest = strptime(packet, "%Y-%m-%dT%H:%M:%S.", &tm);
    ck_assert_ptr_nonnull(rest);
    long long ms = (long long)timegm(&tm) * 1000 + atoi(rest);
    ck_assert_int_ge(ms, (long long)before.tv_sec * 1000 + before.tv_nsec / 1000000);
    ck_assert_int_le(ms, (long long)after.tv_sec * 1000 + after.tv_nsec / 1000000);

    log_text(LOG_LEVEL_WARNING, "as it is\n", 9);
    ck_assert_str_eq(next_packet(), "as it is\n");
    log_error("%0*d", 5000, 0);
    ck_assert_uint_eq(strlen(next_packet()), 2001);
}
END_TEST

/* The time of day stands still, where a test sets it. */
static time_t stopped;
int __real_clock_gettime(clockid_t id, struct timespec *now);
int __wrap_clock_gettime(clockid_t id, struct timespec *now);

int __wrap_clock_gettime(clockid_t id, struct timespec *now) {
    if (id != CLOCK_REALTIME || !stopped)
        return __real_clock_gettime(id, now);
    *now = (struct timespec){.tv_sec = stopped, .tv_nsec = 7999999};
    return 0;
}

static const struct {
    time_t seconds;
    const char *text;
} times[] = {
    {1, "1970-01-01T00:00:01"},          {951782399, "2000-02-28T23:59:59"},  {951782400, "2000-02-29T00:00:00"},
    {951868800, "2000-03-01T00:00:00"},  {1704067199, "2023-12-31T23:59:59"}, {1709164800, "2024-02-29T00:00:00"},
    {1735689599, "2024-12-31T23:59:59"}, {4107456000, "2100-02-28T00:00:00"}, {4107542400, "2100-03-01T00:00:00"},
};

START_TEST(dates)
{
    char expect[100];
    log_init();
    stopped = times[_i].seconds;
    log_error("x");
    snprintf(expect, sizeof expect, "%s.007Z wsgi-fcgi[%ld] error: x\n", times[_i].text, (long)getpid());
    ck_assert_str_eq(next_packet(), expect);
}
END_TEST

/* As the lines have it, some time ago. */
START_TEST(time_ago)
{
    char ago[LOG_TIME_SIZE];
    stopped = 951782401;
    ck_assert_str_eq(log_time(ago, 0), "2000-02-29T00:00:01.007Z");
    ck_assert_str_eq(log_time(ago, 7000000), "2000-02-29T00:00:01.000Z");
    ck_assert_str_eq(log_time(ago, 8000000), "2000-02-29T00:00:00.999Z");
    ck_assert_str_eq(log_time(ago, UINT64_C(2000000000)), "2000-02-28T23:59:59.007Z");
}
END_TEST

static void name_journal(const char *front, const char *middle, const char *back) {
    struct stat st;
    char stream[100];
    ck_assert_int_eq(fstat(STDERR_FILENO, &st), 0);
    snprintf(stream, sizeof stream, "%s%lu%s%lu%s", front, (unsigned long)st.st_dev, middle, (unsigned long)st.st_ino,
             back);
    setenv("JOURNAL_STREAM", stream, 1);
}

START_TEST(journal_form)
{
    static const int priorities[] = {3, 4, 6, 7};
    log_max_level = LOG_LEVEL_DEBUG;
    name_journal("", ":", "");
    log_init();
    for (int i = LOG_LEVEL_ERROR; i <= LOG_LEVEL_DEBUG; i++) {
        char expect[100];
        log_printf((enum log_level)i, "x");
        snprintf(expect, sizeof expect, "<%d>wsgi-fcgi[%ld] %s: x\n", priorities[i], (long)getpid(),
                 log_level_name((enum log_level)i));
        ck_assert_str_eq(next_packet(), expect);
    }
}
END_TEST

static void use_journal(void) {
    name_journal("", ":", "");
    log_init();
}

/* As far as the journal is concerned: it takes one priority from the beginning of each line, and ends lines at a zero
 * byte, too. */
static const struct {
    const char *text;
    size_t len;
    const char *lines;
} marked[] = {
    {"one", 3, "<4>one\n"},
    {"one\n", 4, "<4>one\n"},
    {"one\ntwo\n", 8, "<4>one\n<4>two\n"},
    {"one\n\ntwo", 8, "<4>one\n<4>\n<4>two\n"},
    {"<0>one\n<0>two", 13, "<4><0>one\n<4><0>two\n"},
    {"one\0<0>two\n", 11, "<4>one\n<4><0>two\n"},
    {"\n", 1, "<4>\n"},
};

START_TEST(journal_text)
{
    use_journal();
    log_text(LOG_LEVEL_WARNING, marked[_i].text, marked[_i].len);
    ck_assert_str_eq(next_packet(), marked[_i].lines);
}
END_TEST

START_TEST(journal_block)
{
    char expect[100];
    use_journal();
    log_block(LOG_LEVEL_ERROR, "  one\n<0>two\n", "it is:");
    snprintf(expect, sizeof expect, "<3>wsgi-fcgi[%ld] error: it is:\n<3>  one\n<3><0>two\n", (long)getpid());
    ck_assert_str_eq(next_packet(), expect);
}
END_TEST

/* What the journal would cut, and read as another line, is cut before, between two characters. */
START_TEST(journal_long_line)
{
    static char line[LOG_MARKED_MAX + 10];
    memset(line, 'x', sizeof line);
    memcpy(line + LOG_MARKED_MAX - 1, "\xc3\xbc<0>", 5);
    use_journal();
    log_text(LOG_LEVEL_WARNING, line, sizeof line);
    ck_assert_uint_eq(strlen(next_packet()), sizeof line + 8);
    ck_assert_mem_eq(packet, "<4>", 3);
    ck_assert_str_eq(packet + 3 + LOG_MARKED_MAX - 1, "\n<4>\xc3\xbc<0>xxxxxx\n");
    memset(line, 0xa0, sizeof line); /* no characters at all */
    log_text(LOG_LEVEL_WARNING, line, sizeof line);
    ck_assert_uint_eq(strlen(next_packet()), sizeof line + 8);
}
END_TEST

/* More lines than are written at a time, without a thread that writes; with one, all lines of a text together. */
static void put_many(char expect[static 8000]) {
    char lines[4000] = "";
    *expect = '\0';
    for (int i = 0; i < 200; i++) {
        sprintf(lines + strlen(lines), "<0>%d\n", i);
        sprintf(expect + strlen(expect), "<4><0>%d\n", i);
    }
    log_text(LOG_LEVEL_WARNING, lines, strlen(lines));
}

START_TEST(journal_many_lines)
{
    char expect[8000], got[8000] = "";
    use_journal();
    put_many(expect);
    while (*next_packet())
        strcat(got, packet);
    ck_assert_str_eq(got, expect);
}
END_TEST

/* Streams that are another file's, or no streams. */
static const char *const no_journal[][3] = {
    {"", ":1", ""}, {"1", ":", ""}, {"", ":", "z"}, {"", "-", ""}, {"x", ":", ""}};

START_TEST(not_the_journal)
{
    name_journal(no_journal[_i][0], no_journal[_i][1], no_journal[_i][2]);
    log_init();
    log_error("x");
    ck_assert_msg(matches(next_packet(), "^20[^ ]*Z wsgi-fcgi"), "%s", packet);
}
END_TEST

static const struct {
    size_t size;
    const char *in;
    size_t len;
    const char *out;
} escapes[] = {
    {100, "plain text ~", 12, "plain text ~"},
    {100, "", 0, ""},
    {100, "a\nb\r\t", 5, "a\\x0ab\\x0d\\x09"},
    {100, "a\\b", 3, "a\\x5cb"},
    {100, "\0\x1f\x7f\x80\xff", 5, "\\x00\\x1f\\x7f\\x80\\xff"},
    /* UTF-8 */
    {100, "\xc2\xa0\xc3\xa9\xdf\xbf", 6, "\xc2\xa0\xc3\xa9\xdf\xbf"},
    {100, "\xe0\xa0\x80\xe2\x82\xac\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf", 15,
     "\xe0\xa0\x80\xe2\x82\xac\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf"},
    {100, "\xf0\x90\x80\x80\xf0\x9f\x90\x8d\xf4\x8f\xbf\xbf", 12, "\xf0\x90\x80\x80\xf0\x9f\x90\x8d\xf4\x8f\xbf\xbf"},
    /* broken: a byte alone, cut off, too long, a surrogate, beyond the last */
    {100,
     "\xc3"
     "a",
     2,
     "\\xc3"
     "a"},
    {100, "\xe2\x82", 2, "\\xe2\\x82"},
    {100, "\xe2\x82\xe2\x82\xac", 5, "\\xe2\\x82\xe2\x82\xac"},
    {100, "\xc0\x80\xc1\xbf", 4, "\\xc0\\x80\\xc1\\xbf"},
    {100, "\xe0\x9f\xbf", 3, "\\xe0\\x9f\\xbf"},
    {100, "\xf0\x8f\xbf\xbf", 4, "\\xf0\\x8f\\xbf\\xbf"},
    {100, "\xed\xa0\x80", 3, "\\xed\\xa0\\x80"},
    {100, "\xf4\x90\x80\x80", 4, "\\xf4\\x90\\x80\\x80"},
    {100, "\xf8\x88\x80\x80\x80", 5, "\\xf8\\x88\\x80\\x80\\x80"},
    /* controls C1, ends of lines, directions */
    {100, "\xc2\x85\xc2\x9f", 4, "\\xc2\\x85\\xc2\\x9f"},
    {100, "\xe2\x80\xa8\xe2\x80\xa9", 6, "\\xe2\\x80\\xa8\\xe2\\x80\\xa9"},
    {100, "\xe2\x80\xaa\xe2\x80\xae", 6, "\\xe2\\x80\\xaa\\xe2\\x80\\xae"},
    {100, "\xe2\x81\xa6\xe2\x81\xa9", 6, "\\xe2\\x81\\xa6\\xe2\\x81\\xa9"},
    {100, "\xd8\x9c\xe2\x80\x8f", 5, "\\xd8\\x9c\\xe2\\x80\\x8f"},
    /* cut behind a character */
    {6,
     "12\xc3\xa9"
     "5",
     5,
     "12\xc3\xa9"
     "5"},
    {6,
     "12\xc3\xa9"
     "56",
     6, "12..."},
    {6,
     "1\xc3\xa9"
     "456",
     6, "1..."},
    {7,
     "1\xc3\xa9"
     "4567",
     7, "1\xc3\xa9..."},
    {100, "cut here", 3, "cut"},
    {6, "12345", 5, "12345"},
    {6, "123456", 6, "12..."},
    {6, "1234567890", 10, "12..."},
    {6, "1\n2", 3, "1..."},
    {6, "\n", 1, "\\x0a"},
    {6, "\n1", 2, "\\x0a1"},
    {6, "\n12", 3, "..."},
    {9, "1\n234", 5, "1\\x0a234"},
    {9, "1\n2345", 6, "1\\x0a..."},
    {8, "\n\n", 2, "\\x0a..."},
    {5, "12345", 5, "1..."},
    {4, "1234", 4, "..."},
    {4, "123", 3, "123"},
    {3, "123", 3, ".."},
    {2, "12", 2, "."},
    {1, "12", 2, ""},
    {1, "", 0, ""},
};

START_TEST(escape)
{
    struct guard in, out;
    guard_init(&in, 16);
    guard_init(&out, 100);
    char *place = out.end - escapes[_i].size;
    ck_assert_ptr_eq(
        log_escape(place, escapes[_i].size, guard_put(&in, escapes[_i].in, escapes[_i].len), escapes[_i].len), place);
    ck_assert_str_eq(place, escapes[_i].out);
    guard_fini(&in);
    guard_fini(&out);
}
END_TEST

START_TEST(escape_into_nothing)
{
    char out = '#';
    ck_assert_ptr_eq(log_escape(&out, 0, "abc", 3), &out);
    ck_assert_int_eq(out, '#');
}
END_TEST

/* The writer. Standard error is a small pipe here. */

static char all[8 * 1024 * 1024];
static size_t nall;

static void use_pipe(int flags) {
    int fds[2];
    ck_assert_int_eq(pipe2(fds, O_CLOEXEC | flags), 0);
    ck_assert_int_eq(fcntl(fds[1], F_SETPIPE_SZ, 4096), 4096);
    use_stderr(fds[1]);
    close(reader);
    reader = fds[0];
}

static void start_writer(void) {
    use_pipe(0);
    ck_assert_int_eq(log_start_writer(), 0);
}

/* Until all that came is so long, or ends like this. */
static void read_until(size_t size, const char *end) {
    size_t n = end ? strlen(end) : 0;
    while (nall < size && !(n && nall >= n && !memcmp(all + nall - n, end, n))) {
        ssize_t got = read(reader, all + nall, sizeof all - 1 - nall);
        ck_assert_int_gt(got, 0);
        nall += (size_t)got;
    }
    all[nall] = '\0';
}

/* Lines "N xxxx": the next is expected to be `number`. Returns what stands behind the ones that are. */
static const char *check_lines(const char *lines, unsigned long *number) {
    char expect[2100];
    for (;; ++*number) {
        int n =
            snprintf(expect, sizeof expect, "wsgi-fcgi: error: %lu %0*d\n", *number, (int)(*number * 7 % 1900 + 1), 0);
        if (strncmp(lines, expect, (size_t)n))
            return lines;
        lines += n;
    }
}

static void log_line(unsigned long number) {
    log_error("%lu %0*d", number, (int)(number * 7 % 1900 + 1), 0);
}

/* Lines of all lengths, more than the ring has; it is never empty, so that its end comes within some of them. */
START_TEST(around_the_ring)
{
    unsigned long put = 0, seen = 0;
    start_writer();
    for (size_t ahead = LOG_RING_SIZE / 4; ahead < 5 * LOG_RING_SIZE; ahead += LOG_RING_SIZE / 4) {
        while (put * 950 < ahead) /* about so many bytes each */
            log_line(put++);
        read_until(ahead - LOG_RING_SIZE / 8, NULL);
    }
    log_error("end");
    read_until(sizeof all, "error: end\n");
    ck_assert_str_eq(check_lines(all, &seen), "wsgi-fcgi: error: end\n");
    ck_assert_uint_eq(seen, put);
}
END_TEST

START_TEST(lost_lines_are_told)
{
    unsigned long put = 0, seen = 0, lost = 0;
    start_writer();
    while (put < 2000)
        log_line(put++);
    log_text(LOG_LEVEL_WARNING, "two\nlines", 9);
    read_until(sizeof all, "in time\n");
    const char *note = check_lines(all, &seen);
    ck_assert(matches(note, "^wsgi-fcgi: warning: [0-9]+ lines were lost here, since nobody read the log in time\n$"));
    sscanf(note, "wsgi-fcgi: warning: %lu", &lost);
    ck_assert_uint_eq(seen + lost, put + 2);
    ck_assert_uint_gt(strlen(all), LOG_RING_SIZE - 2100);
    nall = 0;
    log_error("again");
    read_until(sizeof all, "\n");
    ck_assert_str_eq(all, "wsgi-fcgi: error: again\n");
}
END_TEST

static void *log_much(void *arg) {
    for (int i = 0; i < 500; i++)
        log_error("%c%d %0*d", *(char *)arg, i, i % 100 + 1, 0);
    return NULL;
}

static void *read_all(void *unused) {
    read_until(sizeof all, "error: end\n");
    return unused;
}

START_TEST(threads_at_once)
{
    pthread_t threads[4], other;
    char names[] = "abcd";
    int next[4] = {0};
    start_writer();
    pthread_create(&other, NULL, read_all, NULL);
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, log_much, &names[i]);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    log_error("end");
    pthread_join(other, NULL);
    char *line = strtok(all, "\n"), name;
    for (int count = 0; count < 2000; count++, line = strtok(NULL, "\n")) {
        int number, zeros;
        REQUIRE(line && sscanf(line, "wsgi-fcgi: error: %c%d %n", &name, &number, &zeros) == 2);
        REQUIRE(number == next[name - 'a']++ && (int)strlen(line + zeros) == number % 100 + 1);
    }
    ck_assert_str_eq(line, "wsgi-fcgi: error: end");
}
END_TEST

START_TEST(no_room_at_all)
{
    static char long_text[2 * LOG_RING_SIZE];
    memset(long_text, 'x', sizeof long_text);
    start_writer();
    log_text(LOG_LEVEL_WARNING, long_text, sizeof long_text); /* one line */
    read_until(sizeof all, "\n");
    ck_assert_uint_eq(strspn(all, "x"), LOG_RING_SIZE - strlen("... (the rest of this line is left out)\n"));
    ck_assert_str_eq(all + strspn(all, "x"), "... (the rest of this line is left out)\n");
}
END_TEST

START_TEST(text_without_room)
{
    static char long_text[2 * LOG_RING_SIZE];
    unsigned long lost = 0;
    int at = 0;
    memset(long_text, 'x', sizeof long_text);
    for (size_t i = 99; i < sizeof long_text; i += 100)
        long_text[i] = '\n';
    start_writer();
    log_text(LOG_LEVEL_WARNING, long_text, sizeof long_text);
    read_until(sizeof all, "in time\n");
    const char *note = strstr(all, "wsgi-fcgi: ");
    ck_assert_uint_eq((size_t)(note - all), LOG_RING_SIZE / 100 * 100);
    ck_assert_mem_eq(all, long_text, (size_t)(note - all));
    ck_assert_int_eq(sscanf(note, "wsgi-fcgi: warning: %lu lines were%n", &lost, &at), 1);
    ck_assert(at && lost == (sizeof long_text + 99) / 100 - LOG_RING_SIZE / 100);
}
END_TEST

START_TEST(journal_by_the_writer)
{
    char expect[8000];
    use_pipe(0);
    use_journal();
    ck_assert_int_eq(log_start_writer(), 0);
    put_many(expect);
    read_until(strlen(expect), NULL);
    ck_assert_str_eq(all, expect);
}
END_TEST

START_TEST(write_error)
{
    start_writer();
    close(reader); /* EPIPE from now on, and SIGPIPE for who does not block it */
    log_error("lost");
    log_flush();
    log_text(LOG_LEVEL_WARNING, "lost\nas well\n", 13);
    log_flush();
    use_pipe(0);
    log_error("x");
    read_until(sizeof all, "error: x\n");
    ck_assert_str_eq(all,
                     "wsgi-fcgi: warning: 3 lines were lost here, since the log could not be written: Broken pipe\n"
                     "wsgi-fcgi: error: x\n");
    nall = 0;
    log_error("y");
    read_until(sizeof all, "\n");
    ck_assert_str_eq(all, "wsgi-fcgi: error: y\n");
}
END_TEST

/* Somebody who has the same file open may have said that it does not block. */
START_TEST(does_not_block)
{
    unsigned long put = 0, seen = 0;
    use_pipe(O_NONBLOCK);
    ck_assert_int_eq(fcntl(reader, F_SETFL, 0), 0);
    ck_assert_int_eq(log_start_writer(), 0);
    while (put < 100)
        log_line(put++);
    log_error("end");
    read_until(sizeof all, "error: end\n");
    ck_assert_str_eq(check_lines(all, &seen), "wsgi-fcgi: error: end\n");
    ck_assert_uint_eq(seen, put);
}
END_TEST

static void *flush(void *unused) {
    log_last(LOG_LEVEL_WARNING, "the last");
    log_last(LOG_LEVEL_WARNING, "not the last");
    return unused;
}

START_TEST(flush_when_somebody_reads)
{
    unsigned long put = 0, seen = 0;
    pthread_t thread;
    start_writer();
    while (put < 100)
        log_line(put++);
    pthread_create(&thread, NULL, flush, NULL);
    read_until(sizeof all, "the last\n");
    pthread_join(thread, NULL);
    ck_assert_str_eq(check_lines(all, &seen), "wsgi-fcgi: warning: the last\n");
    ck_assert_uint_eq(seen, put);
    ck_assert(log_flush());
    ck_assert_int_eq(fcntl(reader, F_SETFL, O_NONBLOCK), 0);
    ck_assert_int_eq(read(reader, all, 1), -1);
}
END_TEST

/* Ends all the same. */
START_TEST(flush_when_nobody_reads)
{
    start_writer();
    for (unsigned long i = 0; i < 100; i++)
        log_line(i);
    errno = ENOTTY;
    ck_assert(!log_flush());
    log_last(LOG_LEVEL_WARNING, "the last");
    ck_assert_int_eq(errno, ENOTTY);
    read_until(sizeof all, "the last\n");
}
END_TEST

static pid_t clone_raw(void) {
    return (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
}

START_TEST(forked)
{
    unsigned long put = 0, seen = 0;
    int fds[2], status;
    start_writer();
    while (put < 100)
        log_line(put++);
    ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
    pid_t pid = _i ? clone_raw() : fork();
    if (!pid) {
        use_stderr(fds[1]);
        log_error("child");
        log_text(LOG_LEVEL_WARNING, "its text", 8);
        log_flush();
        log_last(LOG_LEVEL_ERROR, "its last");
        _exit(7);
    }
    close(fds[1]);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    ssize_t n = read(fds[0], packet, sizeof packet - 1);
    packet[n < 0 ? 0 : n] = '\0';
    ck_assert_str_eq(packet, "wsgi-fcgi: error: child\nits text\nwsgi-fcgi: error: its last\n");
    log_error("end");
    read_until(sizeof all, "error: end\n");
    ck_assert_str_eq(check_lines(all, &seen), "wsgi-fcgi: error: end\n");
    ck_assert_uint_eq(seen, put);
}
END_TEST

/* The line of somebody who is about to end is none for which he waits. */
START_TEST(without_a_writer)
{
    use_pipe(0);
    log_last(LOG_LEVEL_WARNING, "there is room");
    read_until(sizeof all, "\n");
    ck_assert_str_eq(all, "wsgi-fcgi: warning: there is room\n");
    ck_assert_int_eq(write(STDERR_FILENO, packet, 4096), 4096);
    log_last(LOG_LEVEL_WARNING, "there is none");
    ck_assert_int_eq(read(reader, all, sizeof all), 4096);
}
END_TEST

/* What this thread logs, as people read it. */
START_TEST(copies)
{
    struct buf copy = {0};
    log_copy_to(&copy, 59);
    log_error("one %d", 1);
    log_info("two");
    log_text(LOG_LEVEL_INFO, "two and a half", 14);
    log_warning("three");
    log_text(LOG_LEVEL_ERROR, "four\nfive", 9);
    log_text(LOG_LEVEL_ERROR, "0123456789\n0123456789\n0123456789\n", 33);
    log_copy_to(NULL, 0);
    log_error("six");
    ck_assert_uint_le(buf_len(&copy), 59);
    ck_assert(buf_append(&copy, "", 1) == 0);
    ck_assert_str_eq(buf_head(&copy), "error: one 1\nwarning: three\nfour\nfive\n0123456789\n");
    buf_fini(&copy);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("log");
    TCase *tc = tcase_create("log");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, short_form);
    tcase_add_test(tc, terminal);
    tcase_add_test(tc, levels);
    tcase_add_test(tc, long_lines_are_cut);
    tcase_add_loop_test(tc, cut_behind_a_character, 0, COUNT(cuts));
    tcase_add_test(tc, one_line_each);
    tcase_add_test(tc, text);
    tcase_add_test(tc, block);
    tcase_add_test(tc, copies);
    tcase_add_test(tc, errno_is_kept);
    tcase_add_test(tc, short_and_interrupted_writes);
    tcase_add_test(tc, full_pipe);
    tcase_add_test(tc, time_form);
    tcase_add_loop_test(tc, dates, 0, COUNT(times));
    tcase_add_test(tc, time_ago);
    tcase_add_loop_test(tc, not_the_journal, 0, COUNT(no_journal));
    tcase_add_test(tc, journal_form);
    tcase_add_loop_test(tc, journal_text, 0, COUNT(marked));
    tcase_add_test(tc, journal_block);
    tcase_add_test(tc, journal_long_line);
    tcase_add_test(tc, journal_many_lines);
    suite_add_tcase(suite, tc);
    tc = tcase_create("writer");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, around_the_ring);
    tcase_add_test(tc, lost_lines_are_told);
    tcase_add_test(tc, threads_at_once);
    tcase_add_test(tc, no_room_at_all);
    tcase_add_test(tc, text_without_room);
    tcase_add_test(tc, journal_by_the_writer);
    tcase_add_test(tc, write_error);
    tcase_add_test(tc, does_not_block);
    tcase_add_test(tc, flush_when_somebody_reads);
    tcase_add_test(tc, flush_when_nobody_reads);
    tcase_add_loop_test(tc, forked, 0, 2);
    tcase_add_test(tc, without_a_writer);
    suite_add_tcase(suite, tc);
    tc = tcase_create("escape");
    tcase_add_loop_test(tc, escape, 0, COUNT(escapes));
    tcase_add_test(tc, escape_into_nothing);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
