#include "config.h"

#include "sched/taskstat.h"

#include "unit/unit.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <sys/prctl.h>
#include <sys/resource.h>

struct sleeper {
    pthread_t id;
    const char *name;
    int fd;
    pid_t tid;
    sem_t opened, go;
};

static void *sleeper_main(void *arg) {
    struct sleeper *s = arg;
    if (s->name)
        prctl(PR_SET_NAME, s->name);
    s->tid = gettid();
    s->fd = taskstat_open_self();
    sem_post(&s->opened);
    sem_wait(&s->go);
    return NULL;
}

static void sleeper_start(struct sleeper *s, const char *name) {
    *s = (struct sleeper){.name = name};
    sem_init(&s->opened, 0, 0);
    sem_init(&s->go, 0, 0);
    ck_assert_int_eq(pthread_create(&s->id, NULL, sleeper_main, s), 0);
    sem_wait(&s->opened);
    ck_assert_int_ge(s->fd, 0);
}

static void sleeper_end(struct sleeper *s) {
    sem_post(&s->go);
    pthread_join(s->id, NULL);
    sem_destroy(&s->opened);
    sem_destroy(&s->go);
}

START_TEST(test_who_asks_is_running)
{
    int fd = taskstat_open_self();
    ck_assert_int_ge(fd, 0);
    for (int i = 0; i < 100; i++)
        REQUIRE(taskstat_state(fd) == 'R' && taskstat_state_of(gettid()) == 'R');
    close(fd);
}
END_TEST

/* Names that look like the text around them. */
static const char *const names[] = {NULL, "a) R (b) R 1", ")))))))))))))))", "x) R", "", " ", "\n) R 1 2 3"};

START_TEST(test_asleep)
{
    struct sleeper s;
    sleeper_start(&s, names[_i]);
    while (!taskstat_is_asleep(taskstat_state(s.fd)) || !taskstat_is_asleep(taskstat_state_of(s.tid)))
        sched_yield();
    int fd = s.fd;
    pid_t tid = s.tid;
    sleeper_end(&s);
    while (taskstat_state(fd) || taskstat_state_of(tid)) /* pthread_join returns before the kernel is done with it */
        sched_yield();
    close(fd);
}
END_TEST

static void *spin_main(void *arg) {
    struct sleeper *s = arg;
    s->tid = gettid();
    s->fd = taskstat_open_self();
    sem_post(&s->opened);
    while (sem_trywait(&s->go))
        ;
    return NULL;
}

START_TEST(test_a_computing_thread_is_awake)
{
    struct sleeper s = {0};
    sem_init(&s.opened, 0, 0);
    sem_init(&s.go, 0, 0);
    ck_assert_int_eq(pthread_create(&s.id, NULL, spin_main, &s), 0);
    sem_wait(&s.opened);
    for (int i = 0; i < 100; i++)
        REQUIRE(!taskstat_is_asleep(taskstat_state(s.fd)));
    sleeper_end(&s);
    close(s.fd);
}
END_TEST

START_TEST(test_letters)
{
    ck_assert(taskstat_is_asleep('S'));
    ck_assert(taskstat_is_asleep('D'));
    for (const char *letter = "RTtZXxKWPI"; *letter; letter++)
        ck_assert(!taskstat_is_asleep(*letter));
    ck_assert(!taskstat_is_asleep(0));
}
END_TEST

static const struct {
    const char *text;
    char state;
} texts[] = {
    {"", 0},
    {"1 (x", 0},
    {"1 (x)", 0},
    {"1 (x) ", 0},
    {"1 (x) D", 'D'},
    {"4194304 ()))))))))))))))) S 1", 'S'},
    {"4194304 (fifteen bytes..) R 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31",
     'R'},
};

START_TEST(test_texts)
{
    int fd = memfd_create("stat", MFD_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, texts[_i].text, strlen(texts[_i].text)), (ssize_t)strlen(texts[_i].text));
    ck_assert_int_eq(taskstat_state(fd), texts[_i].state);
    close(fd);
}
END_TEST

START_TEST(test_no_descriptor)
{
    ck_assert_int_eq(taskstat_state(-1), 0);
    struct rlimit none = {.rlim_cur = 0}, old;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
    none.rlim_max = old.rlim_max;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    int fd = taskstat_open_self(), error = errno;
    char state = taskstat_state_of(gettid());
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
    ck_assert_int_eq(fd, -1);
    ck_assert_int_eq(state, 0);
    ck_assert_int_eq(error, EMFILE);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("taskstat");
    TCase *c = tcase_create("taskstat");
    suite_add_tcase(suite, c);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, test_who_asks_is_running);
    tcase_add_loop_test(c, test_asleep, 0, COUNT(names));
    tcase_add_test(c, test_a_computing_thread_is_awake);
    tcase_add_test(c, test_letters);
    tcase_add_loop_test(c, test_texts, 0, COUNT(texts));
    tcase_add_test(c, test_no_descriptor);
    return unit_run(suite);
}
