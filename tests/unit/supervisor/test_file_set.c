/* What a worker tells of its files is read as what anybody could have sent. */
#include "config.h"

#include "supervisor/file_set.h"

#include "ipc/control.h"
#include "unit/unit.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

enum { SEALS = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW };

static int make(const char *bytes, size_t len, int seals) {
    int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    ck_assert_int_eq(write(fd, bytes, len), (ssize_t)len);
    ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, seals), 0);
    return fd;
}

static int read_set(struct file_set *set, const char *bytes, size_t len, int seals) {
    char reason[FILE_SET_REASON_SIZE] = "";
    int fd = make(bytes, len, seals), failed = file_set_read(set, fd, reason);
    ck_assert(!failed == !*reason);
    close(fd);
    return failed;
}

START_TEST(test_read)
{
    static const char bytes[] = "/b\0/a/x\0/b\0/a";
    struct file_set set;
    ck_assert_int_eq(read_set(&set, bytes, sizeof bytes, SEALS), 0);
    ck_assert_uint_eq(set.count, 3);
    ck_assert_str_eq(set.items[0].path, "/a");
    ck_assert_str_eq(set.items[2].path, "/b");
    ck_assert_ptr_eq(file_set_find(&set, "/a/x"), &set.items[1]);
    ck_assert_ptr_null(file_set_find(&set, "/a/"));
    file_set_fini(&set);
}
END_TEST

/* The last one may have no end. */
START_TEST(test_cut)
{
    struct file_set set;
    ck_assert_int_eq(read_set(&set, "/a\0/b", 5, SEALS), 0);
    ck_assert_uint_eq(set.count, 2);
    file_set_fini(&set);
    ck_assert_int_eq(read_set(&set, "", 0, SEALS), 0);
    ck_assert_ptr_null(file_set_find(&set, "/a"));
    file_set_fini(&set);
}
END_TEST

START_TEST(test_refused)
{
    struct file_set set;
    static char large[CONTROL_FILES_SIZE + 1], many[3 * (CONTROL_FILES_MAX + 1)], longer[PATH_MAX + 1];
    memset(large, '/', sizeof large);
    memset(longer, '/', sizeof longer);
    for (size_t i = 0; i < sizeof many; i += 3)
        memcpy(many + i, "/a", 3);
    ck_assert_int_eq(read_set(&set, "/a", 3, 0), -1);
    ck_assert_int_eq(read_set(&set, "/a", 3, F_SEAL_WRITE), -1);
    ck_assert_int_eq(read_set(&set, "a", 2, SEALS), -1);
    ck_assert_int_eq(read_set(&set, "\0", 1, SEALS), -1);
    ck_assert_int_eq(read_set(&set, large, sizeof large, SEALS), -1);
    ck_assert_int_eq(read_set(&set, many, sizeof many, SEALS), -1);
    ck_assert_int_eq(read_set(&set, longer, sizeof longer, SEALS), -1);
    ck_assert_ptr_null(set.items);
}
END_TEST

/* A pipe could make the reader wait. */
START_TEST(test_no_file)
{
    int ends[2];
    struct file_set set;
    char reason[FILE_SET_REASON_SIZE];
    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_int_eq(file_set_read(&set, ends[0], reason), -1);
}
END_TEST

START_TEST(test_added)
{
    struct file_set set = {0};
    ck_assert(!file_set_add(&set, "/b") && !file_set_add(&set, "/a") && !file_set_add(&set, "/b"));
    file_set_sort(&set);
    ck_assert_uint_eq(set.count, 2);
    ck_assert_str_eq(set.items[0].path, "/a");
    file_set_fini(&set);
}
END_TEST

static void write_file(const char *path, const char *text, long ns) {
    FILE *file = fopen(path, "w");
    ck_assert(file && fputs(text, file) >= 0 && !fclose(file));
    ck_assert_int_eq(utimensat(AT_FDCWD, path, (struct timespec[]){{1000, ns}, {1000, ns}}, 0), 0);
}

START_TEST(test_look)
{
    char path[] = "/tmp/wsgi-fcgi-unit.XXXXXX";
    int fd = mkstemp(path);
    uint64_t changed_at;
    struct file_entry entry = {.path = path};
    close(fd);
    write_file(path, "one", 1);
    ck_assert(file_entry_look(&entry, &changed_at));
    ck_assert_uint_gt(changed_at, UINT64_C(1000000000000));
    entry.touched = true;
    ck_assert(!file_entry_look(&entry, NULL)); /* closed, and nothing was written */
    ck_assert(!entry.touched);
    write_file(path, "two", 2); /* as long as before */
    ck_assert(file_entry_look(&entry, NULL));
    write_file(path, "three", 2);
    ck_assert(file_entry_look(&entry, NULL));
    write_file(path, "three", 0);
    ck_assert(file_entry_look(&entry, NULL));
    entry.touched = true;
    ck_assert(file_entry_look(&entry, NULL)); /* its time has whole seconds */
    ck_assert(!file_entry_look(&entry, NULL));
    unlink(path);
    ck_assert(file_entry_look(&entry, &changed_at));
    ck_assert_uint_eq(changed_at, 0);
    ck_assert(!file_entry_look(&entry, NULL));
    ck_assert_int_eq(mkdir(path, 0700), 0);
    ck_assert(file_entry_look(&entry, NULL));
    char below[sizeof path + 2];
    snprintf(below, sizeof below, "%s/x", path);
    ck_assert_int_eq(mkdir(below, 0700), 0);
    ck_assert(!file_entry_look(&entry, NULL)); /* what is in a directory does not make it another one */
    rmdir(below);
    rmdir(path);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("file_set");
    TCase *tc = tcase_create("file_set");
    tcase_add_test(tc, test_read);
    tcase_add_test(tc, test_cut);
    tcase_add_test(tc, test_refused);
    tcase_add_test(tc, test_no_file);
    tcase_add_test(tc, test_added);
    tcase_add_test(tc, test_look);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
