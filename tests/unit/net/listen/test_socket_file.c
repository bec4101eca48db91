#include "config.h"

#include "net/listen/socket_file.h"

#include "unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sysexits.h>

int __wrap_listen(int fd, int backlog);
int __real_listen(int fd, int backlog);
int __wrap_fchmodat(int at, const char *name, mode_t mode, int flags);
int __real_fchmodat(int at, const char *name, mode_t mode, int flags);

enum { OWNER = 12345 };

static char dir[] = "/tmp/wsgi-fcgi-unit.XXXXXX", path[64];
static struct listener_set set;
static struct listener_settings settings;
static void (*before_listen)(void), (*before_mode)(void);
static unsigned calls;

int __wrap_listen(int fd, int backlog) {
    calls++;
    if (before_listen)
        before_listen();
    return __real_listen(fd, backlog);
}

int __wrap_fchmodat(int at, const char *name, mode_t mode, int flags) {
    if (before_mode)
        before_mode();
    return __real_fchmodat(at, name, mode, flags);
}

static int open_text(struct listener_set *to, const char *text, const struct listener_settings *how) {
    struct address *list;
    size_t count;
    int status = address_read("--socket", text, &list, &count);
    if (!status)
        status = listener_open(to, list, count, how);
    free(list);
    return status;
}

static void setup(void) {
    memcpy(dir + sizeof(dir) - 7, "XXXXXX", 6);
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/app.sock", dir);
    set = (struct listener_set){.count = 0};
    settings = (struct listener_settings){.mode = 0660, .backlog = 5};
    before_listen = before_mode = NULL;
    calls = 0;
}

static void teardown(void) {
    char command[64];
    listener_close_all(&set);
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    ck_assert_int_eq(system(command), 0);
}

static struct sockaddr_un address(void) {
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
    return sun;
}

static int try_to_connect(void) {
    struct sockaddr_un sun = address();
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    int error = connect(fd, (struct sockaddr *)&sun, sizeof(sun)) ? errno : 0;
    close(fd);
    return error;
}

static int bind_another(void) {
    struct sockaddr_un sun = address();
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
    return fd;
}

/* The name under which ss(8) and lsof(8) show a socket. */
START_TEST(test_name_is_the_path)
{
    struct sockaddr_un sun;
    socklen_t len = sizeof(sun);
    if (_i)
        close(bind_another());
    ck_assert_int_eq(open_text(&set, path, &settings), 0);
    ck_assert_int_eq(getsockname(set.items[0].fd, (struct sockaddr *)&sun, &len), 0);
    ck_assert_str_eq(sun.sun_path, path);
}
END_TEST

START_TEST(test_name_is_absolute)
{
    struct sockaddr_un sun;
    socklen_t len = sizeof(sun);
    ck_assert_int_eq(chdir(dir), 0);
    ck_assert_int_eq(open_text(&set, "./app.sock", &settings), 0);
    ck_assert_int_eq(getsockname(set.items[0].fd, (struct sockaddr *)&sun, &len), 0);
    ck_assert_str_eq(sun.sun_path, path);
}
END_TEST

static void check_finished(void) {
    struct stat st;
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, settings.mode);
    if (settings.owner)
        ck_assert_uint_eq(st.st_uid, OWNER);
    ck_assert_int_eq(try_to_connect(), ECONNREFUSED);
}

/* Nobody can connect before mode and owner are right, whatever the umask. */
START_TEST(test_listens_last)
{
    umask(_i ? 0777 : 0);
    settings.owner = geteuid() == 0 ? "12345" : NULL;
    before_listen = check_finished;
    ck_assert_int_eq(open_text(&set, path, &settings), 0);
    ck_assert_uint_eq(calls, 1);
    ck_assert_int_eq(try_to_connect(), 0);
}
END_TEST

static int other = -1;

static void take_path(void) {
    before_listen = NULL;
    ck_assert_int_eq(unlink(path), 0);
    other = bind_another();
    ck_assert_int_eq(__real_listen(other, 5), 0);
}

/* Another server that has not waited for the lock takes what does not listen yet for a dead socket, and its place. */
START_TEST(test_taken_for_dead)
{
    before_listen = take_path;
    ck_assert_int_eq(open_text(&set, path, &settings), EX_UNAVAILABLE);
    ck_assert_int_ge(accept(other, NULL, NULL), 0); /* the look that found out */
    ck_assert_uint_eq(set.count, 0);
}
END_TEST

static void lose_path(void) {
    before_listen = NULL;
    ck_assert_int_eq(unlink(path), 0);
}

START_TEST(test_file_removed)
{
    before_listen = lose_path;
    ck_assert_int_eq(open_text(&set, path, &settings), 0);
    ck_assert_uint_eq(calls, 2);
    ck_assert_int_eq(try_to_connect(), 0);
}
END_TEST

static void check_locked(void) {
    int fd = open(dir, O_RDONLY | O_DIRECTORY);
    ck_assert_int_eq(flock(fd, LOCK_EX | LOCK_NB), -1);
    ck_assert_int_eq(errno, EWOULDBLOCK);
    close(fd);
}

/* While it has a file and does not listen, also where there was none before. */
START_TEST(test_lock_is_held)
{
    if (_i)
        close(bind_another());
    before_listen = check_locked;
    ck_assert_int_eq(open_text(&set, path, &settings), 0);
    ck_assert_uint_eq(calls, 1);
    before_listen = NULL;
}
END_TEST

static void replace_by_link(void) {
    before_listen = before_mode = NULL;
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(symlink("precious", path), 0);
}

/* Whoever may write the directory gets nothing changed, or removed, that is not the server's. */
START_TEST(test_link_is_left_alone)
{
    struct stat st;
    before_listen = replace_by_link;
    ck_assert_int_eq(open_text(&set, path, &settings), EX_CANTCREAT);
    ck_assert_int_eq(lstat(path, &st), 0);
    ck_assert(S_ISLNK(st.st_mode));
}
END_TEST

/* Before its mode is set, the same: that of what the link names stays as it is. */
START_TEST(test_mode_of_a_link_is_left_alone)
{
    struct stat st;
    char precious[64];
    snprintf(precious, sizeof precious, "%s/precious", dir);
    close(open(precious, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    settings.mode = 0666;
    before_mode = replace_by_link;
    ck_assert_int_eq(open_text(&set, path, &settings), EX_CANTCREAT);
    ck_assert_int_eq(stat(precious, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0600);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("socket_file");
    TCase *tc = tcase_create("socket_file");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, test_name_is_the_path, 0, 2);
    tcase_add_test(tc, test_name_is_absolute);
    tcase_add_loop_test(tc, test_listens_last, 0, 2);
    tcase_add_test(tc, test_taken_for_dead);
    tcase_add_test(tc, test_file_removed);
    tcase_add_loop_test(tc, test_lock_is_held, 0, 2);
    tcase_add_test(tc, test_link_is_left_alone);
    tcase_add_test(tc, test_mode_of_a_link_is_left_alone);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
