#include "config.h"

#include "supervisor/cpus.h"

#include "unit/fake_root.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>

static void setup(void) {
    root_make();
}

static void teardown(void) {
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", root);
    ck_assert_int_eq(system(command), 0);
}

START_TEST(nothing_is_known)
{
    ck_assert_uint_eq(cpus_quota_at(root), 0);
    put("/proc/self/cgroup", "no line of it\n");
    ck_assert_uint_eq(cpus_quota_at(root), 0);
}
END_TEST

START_TEST(version_2)
{
    static const struct {
        const char *text;
        unsigned count;
    } cases[] = {
        {"max 100000\n", 0},     {"100000 100000\n", 1}, {"100001 100000\n", 2},     {"150000 100000\n", 2},
        {"1000 100000\n", 1},    {"400000 100000\n", 4}, {"40000 10000\n", 4},       {"", 0},
        {"100000\n", 0},         {"100000 0\n", 0},      {"nonsense nonsense\n", 0}, {"0 100000\n", 0},
        {"-100000 100000\n", 0},
    };
    put("/proc/self/cgroup", "0::/app.service\n");
    for (int i = 0; i < COUNT(cases); i++) {
        put("/sys/fs/cgroup/app.service/cpu.max", cases[i].text);
        ck_assert_msg(cpus_quota_at(root) == cases[i].count, "%s: %u", cases[i].text, cpus_quota_at(root));
    }
}
END_TEST

START_TEST(the_least_of_those_above_counts)
{
    put("/proc/self/cgroup", "0::/system.slice/app.service\n");
    put("/sys/fs/cgroup/system.slice/app.service/cpu.max", "800000 100000\n");
    ck_assert_uint_eq(cpus_quota_at(root), 8);
    put("/sys/fs/cgroup/system.slice/cpu.max", "300000 100000\n");
    ck_assert_uint_eq(cpus_quota_at(root), 3);
    put("/sys/fs/cgroup/cpu.max", "500000 100000\n");
    ck_assert_uint_eq(cpus_quota_at(root), 3);
}
END_TEST

/* As in a container: the path is the host's. */
START_TEST(the_path_may_name_nothing_here)
{
    put("/proc/self/cgroup", "0::/docker/4711\n");
    put("/sys/fs/cgroup/cpu.max", "200000 100000\n");
    ck_assert_uint_eq(cpus_quota_at(root), 2);
}
END_TEST

START_TEST(version_1)
{
    put("/proc/self/cgroup", "4:memory:/app\n3:cpuset:/app\n2:cpu,cpuacct:/app\n0::/\n");
    put("/sys/fs/cgroup/cpuset/app/cpu.cfs_quota_us", "100000\n");
    put("/sys/fs/cgroup/cpuset/app/cpu.cfs_period_us", "100000\n");
    put("/sys/fs/cgroup/cpu/app/cpu.cfs_period_us", "100000\n");
    put("/sys/fs/cgroup/cpu/app/cpu.cfs_quota_us", "-1\n");
    ck_assert_uint_eq(cpus_quota_at(root), 0);
    put("/sys/fs/cgroup/cpu/app/cpu.cfs_quota_us", "250000\n");
    ck_assert_uint_eq(cpus_quota_at(root), 3);
}
END_TEST

START_TEST(affinity_counts)
{
    cpu_set_t one;
    int first = 0;
    ck_assert_uint_ge(cpus_count(), 1);
    ck_assert_int_eq(sched_getaffinity(0, sizeof one, &one), 0);
    while (!CPU_ISSET(first, &one))
        first++;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    ck_assert_int_eq(sched_setaffinity(0, sizeof one, &one), 0);
    ck_assert_uint_eq(cpus_count(), 1);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("cpus");
    TCase *tests = tcase_create("cpus");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, nothing_is_known);
    tcase_add_test(tests, version_2);
    tcase_add_test(tests, the_least_of_those_above_counts);
    tcase_add_test(tests, the_path_may_name_nothing_here);
    tcase_add_test(tests, version_1);
    tcase_add_test(tests, affinity_counts);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
