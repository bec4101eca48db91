#include "config.h"

#include "base/log_file.h"

#include "base/log.h"
#include "unit/unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

static char directory[] = "/tmp/test_log_file.XXXXXX", name[64], moved[64], text[4096];

static void setup(void) {
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(name, sizeof name, "%s/log", directory);
    snprintf(moved, sizeof moved, "%s/log.1", directory);
    unsetenv("JOURNAL_STREAM");
}

static void teardown(void) {
    unlink(name);
    unlink(moved);
    rmdir(directory);
}

static const char *content(const char *of) {
    FILE *file = fopen(of, "re");
    ck_assert_ptr_nonnull(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    return text;
}

static int count_open(void) {
    int count = 0;
    DIR *all = opendir("/proc/self/fd");
    ck_assert_ptr_nonnull(all);
    while (readdir(all))
        count++;
    closedir(all);
    return count;
}

static ino_t inode_of_stderr(void) {
    struct stat st;
    ck_assert_int_eq(fstat(STDERR_FILENO, &st), 0);
    return st.st_ino;
}

START_TEST(takes_the_place_of_standard_error)
{
    struct stat st;
    int before = count_open();
    umask(0);
    ck_assert_ptr_null(log_file_path());
    ck_assert_int_eq(log_file_open(name, (uid_t)-1, (gid_t)-1), 0);
    ck_assert_str_eq(log_file_path(), name);
    ck_assert_int_eq(count_open(), before);
    ck_assert_int_eq(stat(name, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0640);
    ck_assert_uint_eq(st.st_ino, inode_of_stderr());
    ck_assert_int_eq(fcntl(STDERR_FILENO, F_GETFD), 0);
    ck_assert_int_eq(fcntl(STDERR_FILENO, F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK), O_WRONLY | O_APPEND);
    log_info("said");
    dprintf(STDERR_FILENO, "printed\n");
    ck_assert_ptr_nonnull(strstr(content(name), "] info: said\nprinted\n"));
    ck_assert_msg(text[4] == '-' && text[10] == 'T', "the form of a file: %s", text);
}
END_TEST

START_TEST(appends)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_eq(write(fd, "old\n", 4), 4);
    close(fd);
    ck_assert_int_eq(log_file_open(name, (uid_t)-1, (gid_t)-1), 0);
    dprintf(STDERR_FILENO, "new\n");
    ck_assert_str_eq(content(name), "old\nnew\n");
    ck_assert_int_eq(truncate(name, 0), 0);
    dprintf(STDERR_FILENO, "after\n");
    ck_assert_str_eq(content(name), "after\n");
}
END_TEST

START_TEST(reopens)
{
    ck_assert_int_eq(log_file_open(name, (uid_t)-1, (gid_t)-1), 0);
    dprintf(STDERR_FILENO, "first\n");
    int before = count_open();
    ck_assert_int_eq(rename(name, moved), 0);
    dprintf(STDERR_FILENO, "still\n");
    ck_assert_int_eq(log_file_reopen(), 0);
    dprintf(STDERR_FILENO, "second\n");
    ck_assert_str_eq(content(moved), "first\nstill\n");
    ck_assert_str_eq(content(name), "second\n");
    ck_assert_int_eq(count_open(), before);
    ck_assert_int_eq(fcntl(STDERR_FILENO, F_GETFD), 0);
}
END_TEST

START_TEST(reopens_what_was_closed)
{
    ck_assert_int_eq(log_file_open(name, (uid_t)-1, (gid_t)-1), 0);
    close(STDERR_FILENO);
    ck_assert_int_eq(log_file_reopen(), 0);
    ck_assert_int_eq(fcntl(STDERR_FILENO, F_GETFD), 0);
    dprintf(STDERR_FILENO, "there\n");
    ck_assert_str_eq(content(name), "there\n");
}
END_TEST

START_TEST(failure_leaves_everything)
{
    ino_t before = inode_of_stderr();
    int open_before = count_open();
    ck_assert_int_eq(log_file_reopen(), -1);
    ck_assert_int_eq(errno, ENOENT);
    ck_assert_int_eq(log_file_open("/tmp/no such directory/log", (uid_t)-1, (gid_t)-1), -1);
    ck_assert_int_eq(errno, ENOENT);
    ck_assert_int_eq(log_file_open(directory, (uid_t)-1, (gid_t)-1), -1);
    ck_assert_int_eq(errno, EISDIR);
    ck_assert_int_eq(mkfifo(name, 0600), 0);
    ck_assert_int_eq(log_file_open(name, (uid_t)-1, (gid_t)-1), -1);
    ck_assert_int_eq(errno, ENXIO);
    ck_assert_ptr_null(log_file_path());
    ck_assert_uint_eq(inode_of_stderr(), before);
    ck_assert_int_eq(count_open(), open_before);
}
END_TEST

START_TEST(failing_reopening_keeps_the_file)
{
    ck_assert_int_eq(log_file_open(name, (uid_t)-1, (gid_t)-1), 0);
    ck_assert_int_eq(rename(name, moved), 0);
    ck_assert_int_eq(mkdir(name, 0700), 0);
    ck_assert_int_eq(log_file_reopen(), -1);
    ck_assert_int_eq(errno, EISDIR);
    ck_assert_int_eq(rmdir(name), 0);
    dprintf(STDERR_FILENO, "on\n");
    ck_assert_str_eq(content(moved), "on\n");
    ck_assert_int_eq(log_file_reopen(), 0);
    ck_assert_str_eq(content(name), "");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("log_file");
    TCase *tc = tcase_create("log_file");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, takes_the_place_of_standard_error);
    tcase_add_test(tc, appends);
    tcase_add_test(tc, reopens);
    tcase_add_test(tc, reopens_what_was_closed);
    tcase_add_test(tc, failure_leaves_everything);
    tcase_add_test(tc, failing_reopening_keeps_the_file);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
