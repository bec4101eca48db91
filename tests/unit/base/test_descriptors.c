#include "config.h"

#include "base/descriptors.h"

#include "unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <sysexits.h>

enum { NUMBERS = 4096, FORKS = 200, HIGH = 1000 };

static bool is_open(int fd) {
    return fcntl(fd, F_GETFD) >= 0;
}

static int count_open(void) {
    int n = 0;
    for (int fd = 0; fd < NUMBERS; fd++)
        n += is_open(fd);
    return n;
}

static int own_null(void) {
    descriptors_lock();
    int fd = descriptors_adopt(open("/dev/null", O_RDONLY | O_CLOEXEC));
    descriptors_unlock();
    return fd;
}

/* A descriptor of the server's with this number. */
static void own_at(int number) {
    descriptors_lock();
    ck_assert_int_eq(descriptors_note(fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, number)), 0);
    descriptors_unlock();
    ck_assert(is_open(number));
}

static void in_child_with(int (*check)(void), int expected) {
    int status;
    pid_t child = fork();
    if (!child)
        _exit(check());
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == expected, "status %#x in the child", (unsigned)status);
}

/* Runs `check` in a child, and the child of that; it exits with the number of the check that fails first. */
static void in_child(int (*check)(void)) {
    in_child_with(check, 0);
}

START_TEST(kept_in_order)
{
    int fd = own_null(), other = open("/dev/null", O_RDONLY);
    ck_assert(descriptors_is_own(fd));
    ck_assert(!descriptors_is_own(other));
    ck_assert(!descriptors_is_own(NUMBERS * 1000));
    errno = EILSEQ;
    descriptors_close(fd);
    ck_assert_int_eq(errno, EILSEQ);
    ck_assert(!is_open(fd));
    ck_assert(!descriptors_is_own(fd));
    close(other);
}
END_TEST

START_TEST(error_is_passed_on)
{
    descriptors_lock();
    int fd = descriptors_adopt(open("/nonexistent", O_RDONLY));
    descriptors_unlock();
    ck_assert_int_eq(fd, -1);
    ck_assert_int_eq(errno, ENOENT);
}
END_TEST

static int own, given_up, foreign;

static int check_child(void) {
    if (is_open(own))
        return 1;
    for (int i = 0; i < 5; i++)
        if (is_open(HIGH + i))
            return 2;
    if (!is_open(foreign) || !is_open(given_up))
        return 3;
    if (dup2(foreign, own) != own)
        return 4;
    descriptors_close(own); /* what was the server's number is the child's now */
    if (!is_open(own) || descriptors_is_own(own))
        return 5;
    pid_t child = fork();
    int status;
    if (!child)
        _exit(is_open(own) && is_open(foreign) ? 0 : 6);
    return waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : 7;
}

START_TEST(child_closes_them)
{
    ck_assert_int_eq(descriptors_init(), 0);
    foreign = open("/dev/null", O_RDONLY);
    given_up = own_null();
    descriptors_lock();
    descriptors_forget(given_up);
    descriptors_unlock();
    own = own_null();
    for (int i = 0; i < 5; i++)
        if (i != 3)
            own_at(HIGH + i);
    in_child(check_child);
    ck_assert(is_open(own) && descriptors_is_own(own));
    in_child(check_child);
}
END_TEST

static atomic_bool over;

static void *open_and_close(void *unused) {
    (void)unused;
    while (!atomic_load(&over))
        descriptors_close(own_null());
    return NULL;
}

static int baseline;

static int check_count(void) {
    return count_open() != baseline;
}

START_TEST(fork_meets_none_in_the_making)
{
    pthread_t thread;
    ck_assert_int_eq(descriptors_init(), 0);
    baseline = count_open();
    ck_assert_int_eq(pthread_create(&thread, NULL, open_and_close, NULL), 0);
    for (int i = 0; i < FORKS; i++)
        in_child(check_count);
    atomic_store(&over, true);
    pthread_join(thread, NULL);
}
END_TEST

/* --- what the application closes */

static int left[2]; /* a pipe in which something is when the process has left */

static void leave_cb(void) {
    ck_assert_int_eq(write(left[1], "", 1), 1);
}

static int guarded_null(void) {
    descriptors_on_loss(leave_cb);
    int fd = own_null();
    descriptors_guard(fd, "of the test");
    descriptors_check();
    return fd;
}

static int lose_closed(void) {
    close(guarded_null());
    descriptors_check();
    return 1;
}

static int lose_replaced(void) {
    dup2(left[1], guarded_null());
    descriptors_check();
    return 1;
}

static int lose_closed_twice(void) {
    int fd = guarded_null();
    close(fd);
    descriptors_close(fd);
    return 1;
}

/* The system gives the number of one that was closed to the next that is opened. */
static int lose_to_the_next(void) {
    descriptors_on_loss(leave_cb);
    close(own_null());
    own_null();
    return 1;
}

static void *lose_run(void *unused) {
    (void)unused;
    descriptors_check();
    return NULL;
}

static int lose_on_threads(void) {
    pthread_t threads[4];
    close(guarded_null());
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, lose_run, NULL);
    descriptors_lost(-1, "of the test");
    return 1;
}

START_TEST(lost_one_ends_the_process)
{
    static int (*const ways[])(void) = {lose_closed, lose_replaced, lose_closed_twice, lose_to_the_next,
                                        lose_on_threads};
    char bytes[8];
    ck_assert_int_eq(pipe(left), 0);
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        in_child_with(ways[i], EX_IOERR);
        ck_assert_int_eq(read(left[0], bytes, sizeof bytes), 1);
    }
}
END_TEST

static int lose_none(void) {
    int fd = guarded_null(), kept = guarded_null();
    descriptors_close(fd);
    descriptors_check();
    descriptors_close(fd); /* no longer the server's: somebody else's affair */
    descriptors_close(-1);
    fd = own_null();
    dup2(kept, fd); /* not guarded */
    descriptors_check();
    return 0;
}

static int check_only(void) {
    descriptors_check();
    return 0;
}

/* The child is another process than that which watches. */
static int lose_in_child(void) {
    close(guarded_null());
    in_child(check_only);
    return 0;
}

static int lose_unwatched(void) {
    close(guarded_null());
    descriptors_on_loss(NULL);
    descriptors_check();
    return 0;
}

START_TEST(others_go_on)
{
    ck_assert_int_eq(pipe(left), 0);
    in_child(lose_none);
    in_child(lose_in_child);
    in_child(lose_unwatched);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("descriptors");
    TCase *tc = tcase_create("descriptors");
    tcase_set_timeout(tc, 60); /* many forks, on a busy machine */
    tcase_add_test(tc, kept_in_order);
    tcase_add_test(tc, error_is_passed_on);
    tcase_add_test(tc, child_closes_them);
    tcase_add_test(tc, fork_meets_none_in_the_making);
    tcase_add_test(tc, lost_one_ends_the_process);
    tcase_add_test(tc, others_go_on);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
