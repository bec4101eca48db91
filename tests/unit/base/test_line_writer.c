#include "config.h"

#include "base/line_writer.h"

#include "unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

static atomic_int fails, goes_on, no_room, last_error;

static void changed(void *arg, enum line_writer_change change, int error) {
    (void)arg;
    atomic_fetch_add(change == LINE_WRITER_FAILS ? &fails : change == LINE_WRITER_GOES_ON ? &goes_on : &no_room, 1);
    if (error)
        atomic_store(&last_error, error);
}

static struct line_writer *make(int fd) {
    struct line_writer *w = line_writer_new(&(struct line_writer_config){.fd = fd, .changed = changed});
    ck_assert_ptr_nonnull(w);
    return w;
}

static void put(struct line_writer *w, const char *line) {
    char *to = line_writer_begin(w);
    if (!to)
        return;
    memcpy(to, line, strlen(line));
    line_writer_end(w, strlen(line));
}

static void check_text(int fd, const char *text) {
    char read_text[4096];
    ssize_t n = pread(fd, read_text, sizeof read_text - 1, 0);
    ck_assert_int_ge(n, 0);
    read_text[n] = '\0';
    ck_assert_str_eq(read_text, text);
}

START_TEST(lines_are_written)
{
    int fd = memfd_create("log", MFD_CLOEXEC);
    struct line_writer *w = make(fd);
    ck_assert(line_writer_flush(w));
    put(w, "one\n");
    put(w, "two\n");
    ck_assert(line_writer_flush(w));
    check_text(fd, "one\ntwo\n");
    ck_assert_uint_eq(line_writer_lost(w), 0);
    ck_assert_int_eq(fails + goes_on + no_room, 0);
}
END_TEST

/* Far more than the ring holds, with the end of the ring within lines. */
START_TEST(all_lines_come_in_order)
{
    enum { LINES = 1000000 };
    char line[64];
    int fd = memfd_create("log", MFD_CLOEXEC);
    struct line_writer *w = make(fd);
    for (int i = 0; i < LINES; i++) {
        snprintf(line, sizeof line, "line %d of many that fill the ring again and again\n", i);
        put(w, line);
        if (i % 50000 == 49999)
            ck_assert(line_writer_flush(w));
    }
    ck_assert(line_writer_flush(w));
    FILE *all = fdopen(fd, "r");
    rewind(all);
    for (int i = 0, n; i < LINES; i++) {
        REQUIRE(fgets(line, sizeof line, all) && sscanf(line, "line %d of", &n) == 1 && n == i);
    }
    ck_assert_ptr_null(fgets(line, sizeof line, all));
    ck_assert_uint_eq(line_writer_lost(w), 0);
}
END_TEST

/* Whoever puts lines never waits, and each line is there or counted. */
START_TEST(a_pipe_that_nobody_reads_loses_lines)
{
    enum { LINES = 2 * LINE_WRITER_RING_SIZE / 100 };
    char line[101] = "", bytes[65536];
    int pipe_ends[2];
    unsigned long read_lines = 0;
    ck_assert_int_eq(pipe2(pipe_ends, O_CLOEXEC), 0);
    struct line_writer *w = make(pipe_ends[1]);
    memset(line, 'x', 99);
    line[99] = '\n';
    for (int i = 0; i < LINES; i++)
        put(w, line);
    const unsigned long lost = line_writer_lost(w);
    ck_assert_uint_gt(lost, 0);
    ck_assert_int_gt(no_room, 0);
    while (read_lines < LINES - lost) {
        ssize_t n = read(pipe_ends[0], bytes, sizeof bytes);
        REQUIRE(n > 0);
        for (ssize_t i = 0; i < n; i++)
            read_lines += bytes[i] == '\n';
    }
    ck_assert(line_writer_flush(w));
    ck_assert_uint_eq(line_writer_lost(w), lost);
    put(w, "again\n");
    ck_assert(line_writer_flush(w));
    ck_assert_int_eq(read(pipe_ends[0], bytes, sizeof bytes), 6);
}
END_TEST

START_TEST(writes_into_pipes_are_atomic)
{
    char line[1001] = "", bytes[65536];
    int pipe_ends[2];
    ck_assert_int_eq(pipe2(pipe_ends, O_CLOEXEC | O_DIRECT), 0); /* one read(2) is one write(2) */
    struct line_writer *w = make(pipe_ends[1]);
    memset(line, 'x', 999);
    line[999] = '\n';
    for (int i = 0; i < 50; i++)
        put(w, line);
    for (int lines = 0; lines < 50;) {
        ssize_t n = read(pipe_ends[0], bytes, sizeof bytes);
        REQUIRE(n > 0 && n <= LINE_WRITER_LINE_MAX && n % 1000 == 0);
        lines += (int)(n / 1000);
    }
}
END_TEST

START_TEST(a_full_disk_is_told_once)
{
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC), fd = memfd_create("log", MFD_CLOEXEC);
    int writes_to = fcntl(full, F_DUPFD_CLOEXEC, 0);
    struct line_writer *w = make(writes_to);
    for (int i = 0; i < 3; i++) {
        put(w, "lost\nlost\n");
        ck_assert(line_writer_flush(w));
    }
    ck_assert_uint_eq(line_writer_lost(w), 6);
    ck_assert_int_eq(fails, 1);
    ck_assert_int_eq(last_error, ENOSPC);
    ck_assert_int_eq(goes_on, 0);
    ck_assert_int_eq(line_writer_take(w, fd), 0);
    put(w, "written\n");
    ck_assert(line_writer_flush(w));
    ck_assert_int_eq(goes_on, 1);
    check_text(fd, "written\n");
}
END_TEST

START_TEST(takes_another_file)
{
    int first = memfd_create("first", MFD_CLOEXEC), second = memfd_create("second", MFD_CLOEXEC);
    int fd = fcntl(first, F_DUPFD_CLOEXEC, 0);
    struct line_writer *w = make(fd);
    put(w, "one\n");
    ck_assert(line_writer_flush(w));
    ck_assert_int_eq(line_writer_take(w, second), 0);
    put(w, "two\n");
    ck_assert(line_writer_flush(w));
    check_text(first, "one\n");
    check_text(second, "two\n");
    ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
    ck_assert_int_eq(line_writer_take(w, -1), -1);
    ck_assert_int_eq(errno, EBADF);
}
END_TEST

static int bind_syslog(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    strcpy(address.sun_path, path);
    unlink(path);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void check_message(int fd, const char *text) {
    char message[LINE_WRITER_LINE_MAX + 64];
    ssize_t n = recv(fd, message, sizeof message - 1, 0);
    ck_assert_int_gt(n, 0);
    message[n] = '\0';
    ck_assert_str_eq(message, text);
}

START_TEST(syslog_gets_a_message_for_each_line)
{
    char path[64];
    snprintf(path, sizeof path, "/tmp/wsgi-fcgi-test.%d", (int)getpid());
    unlink(path);
    struct line_writer *w = line_writer_new(
        &(struct line_writer_config){.fd = -1, .syslog = path, .tag = "<190>name[1]: ", .changed = changed});
    put(w, "nobody is there\n");
    ck_assert(line_writer_flush(w));
    ck_assert_uint_eq(line_writer_lost(w), 1);
    ck_assert_int_eq(last_error, ENOENT);
    int fd = bind_syslog(path);
    put(w, "one\ntwo\n");
    check_message(fd, "<190>name[1]: one");
    check_message(fd, "<190>name[1]: two");
    ck_assert(line_writer_flush(w));
    ck_assert_int_eq(goes_on, 1);
    close(fd); /* the daemon begins anew: not a line is lost */
    fd = bind_syslog(path);
    put(w, "three\n");
    check_message(fd, "<190>name[1]: three");
    ck_assert_uint_eq(line_writer_lost(w), 1);
    unlink(path);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("line_writer");
    TCase *tc = tcase_create("line_writer");
    tcase_add_test(tc, lines_are_written);
    tcase_add_test(tc, all_lines_come_in_order);
    tcase_add_test(tc, a_pipe_that_nobody_reads_loses_lines);
    tcase_add_test(tc, writes_into_pipes_are_atomic);
    tcase_add_test(tc, a_full_disk_is_told_once);
    tcase_add_test(tc, takes_another_file);
    tcase_add_test(tc, syslog_gets_a_message_for_each_line);
    tcase_set_timeout(tc, 60);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
