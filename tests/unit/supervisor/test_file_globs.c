/* Which files match the patterns of --reload-extra, and what of directories is watched and told. */
#include "config.h"

#include "supervisor/file_globs.h"
#include "supervisor/file_watch.h"
#include "unit/unit.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

static char directory[] = "/tmp/wsgi-fcgi-unit.XXXXXX", path[PATH_MAX], told[PATH_MAX];
static unsigned uncertain;
static struct file_watch watch;
static struct ev_loop *loop;

static const char *in(const char *name) {
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

static void make(const char *name) {
    const int fd = open(in(name), O_WRONLY | O_CREAT, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, "x", 1), 1);
    close(fd);
}

static void changed_cb(void *arg, const char *which) {
    (void)arg;
    snprintf(told, sizeof told, "%s", which);
}

static void uncertain_cb(void *arg) {
    (void)arg;
    uncertain++;
}

static void setup(void) {
    ck_assert_ptr_nonnull(mkdtemp(directory));
    loop = ev_loop_new(EVFLAG_AUTO);
    watch = (struct file_watch){.changed = changed_cb, .uncertain = uncertain_cb};
    ck_assert_int_eq(file_watch_open(&watch, loop), 0);
    told[0] = '\0';
    uncertain = 0;
}

static void teardown(void) {
    char command[PATH_MAX + 8];
    file_watch_close(&watch);
    ev_loop_destroy(loop);
    snprintf(command, sizeof command, "rm -r %s", directory);
    ck_assert_int_eq(system(command), 0);
}

static void watch_only(const char *name) {
    file_watch_begin(&watch);
    if (name)
        file_watch_add(&watch, in(name), strlen(in(name)));
    file_watch_end(&watch);
}

/* What happens is in the kernel's queue when the call that makes it returns. */
static const char *happened(void) {
    told[0] = '\0';
    ev_run(loop, EVRUN_NOWAIT);
    return told;
}

START_TEST(test_told)
{
    mkdir(in("a"), 0700);
    watch_only("a");
    make("a/x");
    ck_assert_str_eq(happened(), in("a/x"));
    rename(in("a/x"), "/tmp/wsgi-fcgi-unit.gone");
    unlink("/tmp/wsgi-fcgi-unit.gone");
    ck_assert_str_eq(happened(), in("a/x"));
    ck_assert_uint_eq(uncertain, 0);
    watch_only(NULL);
    (void)happened();
    make("a/y");
    ck_assert_str_eq(happened(), "");
}
END_TEST

/* The nearest one above is watched instead; and Python's cache is nothing new. */
START_TEST(test_directories)
{
    watch_only("a/b");
    mkdir(in("a"), 0700);
    ck_assert_str_eq(happened(), "");
    ck_assert_uint_eq(uncertain, 1);
    watch_only("a/b");
    mkdir(in("a/__pycache__"), 0700);
    (void)happened();
    ck_assert_uint_eq(uncertain, 1);
    mkdir(in("a/b"), 0700);
    (void)happened();
    ck_assert_uint_eq(uncertain, 2);
    watch_only("a/b");
    rmdir(in("a/b"));
    (void)happened();
    ck_assert_uint_gt(uncertain, 2);
}
END_TEST

/* A link to a directory, and that one. */
START_TEST(test_two_names)
{
    char target[PATH_MAX];
    mkdir(in("a"), 0700);
    snprintf(target, sizeof target, "%s", path);
    ck_assert_int_eq(symlink(target, in("link")), 0);
    file_watch_begin(&watch);
    file_watch_add(&watch, target, strlen(target));
    file_watch_add(&watch, in("link"), strlen(in("link")));
    file_watch_end(&watch);
    ck_assert_uint_eq(watch.dirs.count, 2);
    ck_assert_int_eq(watch.dirs.items[0].wd, watch.dirs.items[1].wd);
}
END_TEST

START_TEST(test_globs)
{
    const char *items[] = {"t/**/*.html", "../x[ab].conf"};
    struct file_globs globs = {0};
    struct file_set found = {0};
    mkdir(in("run"), 0700);
    mkdir(in("run/t"), 0700);
    mkdir(in("run/t/deep"), 0700);
    const char *const names[] = {"run/t/1.html", "run/t/deep/2.html", "run/t/.3.html",
                                 "run/4.html",   "xa.conf",           "xc.conf"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        make(names[i]);
    struct options o = {.start_directory = directory, .chdir = "run"};
    o.reload_extra.items = items;
    o.reload_extra.count = 2;
    ck_assert_int_eq(file_globs_init(&globs, &o), 0);
    file_watch_begin(&watch);
    file_globs_walk(&globs, &watch, &found);
    file_watch_end(&watch);
    ck_assert_uint_eq(found.count, 3);
    ck_assert_ptr_nonnull(file_set_find(&found, in("run/t/1.html")));
    ck_assert_ptr_nonnull(file_set_find(&found, in("run/t/deep/2.html")));
    ck_assert_ptr_nonnull(file_set_find(&found, in("xa.conf")));
    ck_assert(file_globs_match(&globs, in("run/t/new/5.html")));
    ck_assert(!file_globs_match(&globs, in("run/t/5.htm")) && !file_globs_match(&globs, in("t/5.html")));
    make("run/t/deep/6.html"); /* its directory is watched, too */
    ck_assert_str_eq(happened(), in("run/t/deep/6.html"));
    file_set_fini(&found);
    file_globs_fini(&globs);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("file_globs");
    TCase *tc = tcase_create("files");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, test_told);
    tcase_add_test(tc, test_directories);
    tcase_add_test(tc, test_two_names);
    tcase_add_test(tc, test_globs);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
