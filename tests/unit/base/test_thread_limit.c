#include "config.h"

#include "base/thread_limit.h"

#include "unit/fake_root.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>

enum { NOBODY = 65534 };

static char output[THREAD_LIMIT_SIZE];

/* A machine on which nothing is short. Limits of this process that count are lifted. */
static void setup(void) {
    struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
    root_make();
    chmod(root, 0755);
    put("/proc/self/cgroup", "0::/system.slice/app.service\n");
    put("/proc/self/statm", "2000 500 300 1 0 900 0\n");
    put("/proc/loadavg", "0.10 0.20 0.30 2/300 4711\n");
    put("/proc/sys/kernel/threads-max", "60000\n");
    put("/proc/sys/kernel/pid_max", "32768\n");
    getrlimit(RLIMIT_NPROC, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NPROC, &limit);
}

static void teardown(void) {
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", root);
    ck_assert_int_eq(system(command), 0);
}

static void check_says(int error, const char *expected) {
    ck_assert_ptr_eq(thread_limit_explain_at(root, error, output), output);
    ck_assert_str_eq(output, expected);
}

static void check_group_is_full(const char *path) {
    char expected[512];
    snprintf(
        expected, sizeof expected,
        "there are as many processes and threads as pids.max of %s/sys/fs/cgroup%s allows: 20 (TasksMax= of systemd, "
        "--pids-limit of docker)",
        root, path);
    check_says(EAGAIN, expected);
}

static const char unknown[] =
    "Resource temporarily unavailable, and no limit on processes that can be seen here is reached: "
    "look at memory, and at limits outside of the container";

START_TEST(test_own_group)
{
    put("/sys/fs/cgroup/system.slice/app.service/pids.max", "20\n");
    put("/sys/fs/cgroup/system.slice/app.service/pids.current", "20\n");
    check_group_is_full("/system.slice/app.service");
}
END_TEST

START_TEST(test_group_above)
{
    put("/sys/fs/cgroup/system.slice/app.service/pids.max", "max\n");
    put("/sys/fs/cgroup/system.slice/app.service/pids.current", "20\n");
    put("/sys/fs/cgroup/system.slice/pids.max", "20\n");
    put("/sys/fs/cgroup/system.slice/pids.current", "21\n");
    check_group_is_full("/system.slice");
}
END_TEST

/* The path is one of the host, and the directory the container's own. */
START_TEST(test_group_in_a_container)
{
    put("/proc/self/cgroup", "0::/docker/0123abc\n");
    put("/sys/fs/cgroup/pids.max", "20\n");
    put("/sys/fs/cgroup/pids.current", "20\n");
    check_group_is_full("");
}
END_TEST

START_TEST(test_group_version_1)
{
    put("/proc/self/cgroup", "9:name=systemd:/x\n8:cpu,pids:/app\n4:memory:/x\n0::/\n");
    put("/sys/fs/cgroup/pids/app/pids.max", "20\n");
    put("/sys/fs/cgroup/pids/app/pids.current", "20\n");
    check_group_is_full("/pids/app");
}
END_TEST

START_TEST(test_group_with_room)
{
    put("/sys/fs/cgroup/system.slice/app.service/pids.max", "20\n");
    put("/sys/fs/cgroup/system.slice/app.service/pids.current", "19\n");
    check_says(EAGAIN, unknown);
}
END_TEST

START_TEST(test_threads_of_the_machine)
{
    put("/proc/sys/kernel/threads-max", "300\n");
    check_says(EAGAIN, "the machine has as many threads as sysctl kernel.threads-max allows: 300");
    put("/proc/sys/kernel/threads-max", "301\n");
    put("/proc/sys/kernel/pid_max", "300\n");
    check_says(EAGAIN, "the machine has as many threads as sysctl kernel.pid_max allows: 300");
}
END_TEST

START_TEST(test_address_space)
{
    const struct rlimit limit = {64 << 20, RLIM_INFINITY}, unlimited = {RLIM_INFINITY, RLIM_INFINITY};
    char text[64];
    snprintf(text, sizeof text, "%ld 500 300 1 0 900 0\n", (64 << 20) / sysconf(_SC_PAGESIZE) - 1);
    put("/proc/self/statm", text);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
        thread_limit_explain_at(root, i ? ENOMEM : EAGAIN, output);
        ck_assert_int_eq(setrlimit(RLIMIT_AS, &unlimited), 0);
        ck_assert_str_eq(output,
                         "the process has as much address space as it may: 64 MiB (ulimit -v, LimitAS= of systemd)");
    }
}
END_TEST

START_TEST(test_processes_of_the_user)
{
    struct rlimit limit = {200, 200};
    ck_assert_int_eq(setrlimit(RLIMIT_NPROC, &limit), 0);
    if (getuid() == 0) { /* whom it does not bind */
        check_says(EAGAIN, unknown);
        ck_assert_int_eq(setreuid(NOBODY, 0), 0);
    }
    char expected[256];
    snprintf(expected, sizeof expected,
             "user %u has as many processes and threads as it may: 200 (ulimit -u, LimitNPROC= of systemd)",
             (unsigned)getuid());
    check_says(EAGAIN, expected);
    /* More than there are threads on the whole machine. */
    put("/proc/loadavg", "0.10 0.20 0.30 2/199 4711\n");
    check_says(EAGAIN, unknown);
    if (geteuid() == 0)
        ck_assert_int_eq(setreuid(0, 0), 0);
}
END_TEST

START_TEST(test_nothing_to_read)
{
    teardown();
    check_says(EAGAIN, unknown);
    check_says(ENOMEM, "Cannot allocate memory");
    check_says(EPERM, "Operation not permitted");
}
END_TEST

START_TEST(test_this_machine)
{
    thread_limit_explain(EAGAIN, output);
    ck_assert_uint_gt(strlen(output), 20);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("thread_limit");
    TCase *tc = tcase_create("thread_limit");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, test_own_group);
    tcase_add_test(tc, test_group_above);
    tcase_add_test(tc, test_group_in_a_container);
    tcase_add_test(tc, test_group_version_1);
    tcase_add_test(tc, test_group_with_room);
    tcase_add_test(tc, test_threads_of_the_machine);
    tcase_add_test(tc, test_address_space);
    tcase_add_test(tc, test_processes_of_the_user);
    tcase_add_test(tc, test_nothing_to_read);
    tcase_add_test(tc, test_this_machine);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
