#include "config.h"

#include "base/trusted_open.h"

#include "unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NOBODY = 65534 };

static char directory[] = "/tmp/test_trusted_open.XXXXXX";
static char own[64], others[64], sticky[64], target[80], path[128];

static const char *in(const char *where, const char *name) {
    snprintf(path, sizeof path, "%s/%s", where, name);
    return path;
}

static void make(char *out, const char *name, uid_t uid, mode_t mode) {
    snprintf(out, 64, "%s/%s", directory, name);
    ck_assert_int_eq(mkdir(out, 0755), 0);
    ck_assert(geteuid() != 0 || !chown(out, uid, uid));
    ck_assert_int_eq(chmod(out, mode), 0);
}

static void setup(void) {
    memcpy(directory + sizeof directory - 7, "XXXXXX", 6);
    ck_assert_ptr_nonnull(mkdtemp(directory));
    make(own, "own", 0, 0755);
    make(others, "others", NOBODY, 0755);
    make(sticky, "sticky", 0, 01777);
    snprintf(target, sizeof target, "%s/target", own);
}

static void teardown(void) {
    char command[100];
    snprintf(command, sizeof command, "rm -rf %s", directory);
    ck_assert_int_eq(system(command), 0);
}

static int open_at(const char *name, bool *made) {
    return trusted_open(name, O_WRONLY | O_CLOEXEC, 0640, made);
}

static void check_opens(const char *name, bool makes) {
    bool made;
    int fd = open_at(name, &made);
    ck_assert_msg(fd >= 0, "%s: %s", name, strerror(errno));
    ck_assert_int_eq(made, makes);
    close(fd);
}

static void check_fails(const char *name, int error) {
    bool made;
    ck_assert_int_eq(open_at(name, &made), -1);
    ck_assert_int_eq(errno, error);
    ck_assert(!made);
}

static void link_at(const char *to, const char *name, uid_t uid) {
    ck_assert_int_eq(symlink(to, name), 0);
    ck_assert(geteuid() != 0 || !lchown(name, uid, uid));
}

START_TEST(makes_and_finds_files)
{
    const char *const where[] = {own, others, sticky};
    if (geteuid() != 0)
        return; /* it is open(2) then */
    for (size_t i = 0; i < 3; i++) {
        check_opens(in(where[i], "log"), true);
        check_opens(in(where[i], "log"), false);
    }
    ck_assert_int_eq(chdir(own), 0);
    check_opens("relative", true);
    check_opens("../own//./relative", false);
    ck_assert_int_eq(chdir("/"), 0);
    check_fails(in(own, "none/log"), ENOENT);
    check_fails(in(own, "log/log"), ENOTDIR);
    check_fails(own, EISDIR);
    check_fails("/", EISDIR);
}
END_TEST

START_TEST(follows_links_of_root)
{
    if (geteuid() != 0)
        return;
    link_at(target, in(own, "absolute"), 0);
    link_at("target", in(own, "relative"), 0);
    link_at(own, in(own, "directory"), 0);
    link_at(target, in(sticky, "link"), 0);
    check_opens(in(own, "absolute"), true); /* what it names was not there */
    check_opens(in(own, "relative"), false);
    check_opens(in(own, "directory/target"), false);
    check_opens(in(own, "directory/directory/absolute"), false);
    check_opens(in(sticky, "link"), false);
    check_opens("/dev/stderr", false); /* by links of /proc */
    link_at("loop", in(own, "loop"), 0);
    check_fails(in(own, "loop"), ELOOP);
}
END_TEST

START_TEST(follows_no_links_of_others)
{
    if (geteuid() != 0)
        return;
    link_at(target, in(others, "link"), NOBODY);
    check_fails(in(others, "link"), ELOOP);
    link_at(target, in(others, "given"), 0); /* whose directory it is may have put it there */
    check_fails(in(others, "given"), ELOOP);
    link_at(own, in(others, "directory"), NOBODY);
    check_fails(in(others, "directory/target"), ELOOP);
    link_at(target, in(sticky, "link"), NOBODY);
    check_fails(in(sticky, "link"), ELOOP);
    /* Nor behind one of root's. */
    link_at(others, in(own, "way"), 0);
    check_fails(in(own, "way/link"), ELOOP);
    char behind[128];
    snprintf(behind, sizeof behind, "%s/link", others);
    link_at(behind, in(own, "direct"), 0);
    check_fails(in(own, "direct"), ELOOP);
    ck_assert_int_eq(access(target, F_OK), -1);
}
END_TEST

START_TEST(takes_no_further_names_from_others)
{
    char further[128];
    if (geteuid() != 0)
        return;
    check_opens(target, true);
    snprintf(further, sizeof further, "%s/name", others);
    ck_assert_int_eq(link(target, further), 0);
    check_fails(further, EMLINK);
    check_opens(target, false);
}
END_TEST

START_TEST(is_open_for_others_than_root)
{
    bool made = true;
    ck_assert_int_eq(chmod(directory, 0755), 0);
    link_at("/dev/null", in(others, "null"), geteuid());
    ck_assert(geteuid() != 0 || !seteuid(NOBODY));
    int fd = open_at(path, &made);
    ck_assert_int_ge(fd, 0);
    ck_assert(!made);
    close(fd);
    ck_assert(getuid() != 0 || !seteuid(0));
}
END_TEST

int main(void) {
    Suite *s = suite_create("trusted_open");
    TCase *tc = tcase_create("trusted_open");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, makes_and_finds_files);
    tcase_add_test(tc, follows_links_of_root);
    tcase_add_test(tc, follows_no_links_of_others);
    tcase_add_test(tc, takes_no_further_names_from_others);
    tcase_add_test(tc, is_open_for_others_than_root);
    suite_add_tcase(s, tc);
    return unit_run(s);
}
