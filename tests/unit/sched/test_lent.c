#include "config.h"

#include "sched/sched.h"

#include "unit/no_threads.h"
#include "sched_rig.h"

#include <errno.h>
#include <signal.h>

/* A thread that is lent to the scheduler, and with a limit of one runs all jobs, whatever they do. */

static pthread_t lender;
static int lent_result, lent_error;
static char name_before[SCHED_NAME_SIZE], name_after[SCHED_NAME_SIZE];

static void *lend(void *arg) {
    (void)arg;
    pthread_setname_np(pthread_self(), "lender");
    pthread_getname_np(pthread_self(), name_before, sizeof name_before);
    lent_result = sched_start_here(sched);
    lent_error = errno;
    pthread_getname_np(pthread_self(), name_after, sizeof name_after);
    return NULL;
}

static void start_lent(unsigned threads) {
    make(threads);
    ck_assert_int_eq(pthread_create(&lender, NULL, lend, NULL), 0);
    ping();
}

static void finish_lent(void) {
    on_owner(quit_cb, NULL);
    ck_assert_uint_eq(sched_join(sched, clock_ns() + FOREVER_NS), 0);
    pthread_join(lender, NULL);
    ck_assert_int_eq(lent_result, 0);
    ck_assert_str_eq(name_before, name_after);
    join();
}

static void ran_here(const struct task *task) {
    ck_assert(pthread_equal(task->ran_on, lender));
}

START_TEST(test_inline)
{
    struct task task;
    start_lent(1);
    task_init(&task, 1, NULL);
    for (int i = 0; i < 100; i++) {
        run_one(&task);
        ran_here(&task);
    }
    ck_assert_uint_eq(get_stats().threads, 1);
    ck_assert_uint_eq(get_stats().veterans, 1);
    finish_lent();
}
END_TEST

/* Another thread has the loop while each of these blocks, gives it back, and never begins one. */
START_TEST(test_blocking)
{
    struct task task, next;
    config.queue_limit = 1;
    start_lent(1);
    make_predicted(2);
    watch_start();
    for (int i = 0; i < 100; i++) {
        /* Given away, predicted, taken while it sleeps. */
        task_init(&task, 1 + (uint32_t)i % 3, i % 3 ? sleep_body : give_and_sleep_body);
        task_init(&next, 5, NULL);
        submit(&task);
        sem_wait(&task.started);
        submit(&next);
        ping();
        ck_assert_int_eq(atomic_load(&next.runs), 0); /* one at a time */
        sem_post(&task.go);
        sem_wait(&task.settled);
        sem_wait(&next.settled);
        ran_here(&task);
        ran_here(&next);
    }
    ck_assert_uint_eq(get_stats().threads, 2);
    ck_assert_uint_eq(get_stats().veterans, 1);
    ck_assert_uint_ge(get_stats().taken_asleep + get_stats().taken_computing, 1);
    ck_assert_uint_ge(get_stats().handed_over, 1);
    finish_lent();
}
END_TEST

static atomic_bool compute;

static void compute_body(struct task *task) {
    sem_post(&task->started);
    while (atomic_load(&compute))
        ;
}

START_TEST(test_computing)
{
    struct task task, next;
    config.queue_limit = 1;
    start_lent(1);
    watch_start();
    for (int i = 0; i < 3; i++) {
        atomic_store(&compute, true);
        task_init(&task, 1, compute_body);
        task_init(&next, 2, NULL);
        submit(&task);
        sem_wait(&task.started);
        submit(&next); /* the watch took the loop */
        atomic_store(&compute, false);
        sem_wait(&task.settled);
        sem_wait(&next.settled);
        ran_here(&task);
        ran_here(&next);
    }
    ck_assert_uint_eq(get_stats().veterans, 1);
    finish_lent();
}
END_TEST

static void peer_wait_body(struct task *task) {
    sched_will_block(task->thread);
    sched_peer_wait_begins(task->thread);
    sleep_body(task);
    sched_peer_wait_ends(task->thread);
}

START_TEST(test_peer_wait)
{
    struct task task, next;
    config.peer_waits_max = 8;
    config.queue_limit = 1;
    start_lent(1);
    task_init(&task, 1, peer_wait_body);
    task_init(&next, 2, NULL);
    submit(&task);
    sem_wait(&task.started);
    submit(&next);
    ping();
    ck_assert_int_eq(atomic_load(&next.runs), 0);
    ck_assert_uint_eq(get_stats().peer_waits, 0);
    sem_post(&task.go);
    sem_wait(&next.settled);
    ran_here(&next);
    finish_lent();
}
END_TEST

static pthread_t loop_ran_on;

static void bring(void *arg) {
    struct task *task = arg;
    loop_ran_on = pthread_self();
    task->left--;
}

static void loop_body(struct task *task) {
    sem_post(&task->started);
    while (task->left > 0)
        REQUIRE(sched_run_loop(task->thread));
}

START_TEST(test_runs_the_loop)
{
    struct task task;
    start_lent(1);
    task_init(&task, 1, loop_body);
    task.left = 2;
    submit(&task);
    sem_wait(&task.started);
    on_owner(bring, &task);
    on_owner(bring, &task);
    sem_wait(&task.settled);
    ran_here(&task);
    ck_assert(pthread_equal(loop_ran_on, lender));
    finish_lent();
}
END_TEST

/* Everything goes on inline, and then there is one again. */
START_TEST(test_no_second_thread)
{
    struct task task;
    start_lent(1);
    log_catch();
    forbid_threads(true);
    task_init(&task, 1, give_and_sleep_body);
    sem_post(&task.go);
    run_one(&task);
    forbid_threads(false);
    ck_assert_int_eq(log_lines(), 1);
    ck_assert(!task.gave);
    ran_here(&task);
    sem_post(&task.go);
    run_one(&task);
    ck_assert(task.gave);
    ran_here(&task);
    finish_lent();
}
END_TEST

/* The thread comes back when its job has ended, not before. */
START_TEST(test_quit_while_busy)
{
    struct task task;
    start_lent(1);
    task_init(&task, 1, give_and_sleep_body);
    submit(&task);
    sem_wait(&task.started);
    on_owner(quit_cb, NULL);
    ck_assert_uint_ge(sched_join(sched, clock_ns()), 1);
    sem_post(&task.go);
    ck_assert_uint_eq(sched_join(sched, clock_ns() + FOREVER_NS), 0);
    pthread_join(lender, NULL);
    ck_assert_int_eq(stops, 2);
    join();
}
END_TEST

START_TEST(test_quit_before)
{
    make(1);
    sched_quit(sched);
    log_catch();
    ck_assert_int_eq(pthread_create(&lender, NULL, lend, NULL), 0);
    pthread_join(lender, NULL);
    ck_assert_int_eq(log_lines(), 0);
    ck_assert_int_eq(lent_result, -1);
    ck_assert_int_eq(lent_error, ECANCELED);
    sched_free(sched);
    ev_loop_destroy(loop);
}
END_TEST

/* With more than one, others run jobs beside it. */
START_TEST(test_several)
{
    struct task first, second;
    start_lent(2);
    task_init(&first, 1, give_and_sleep_body);
    task_init(&second, 2, NULL);
    submit(&first);
    sem_wait(&first.started);
    run_one(&second);
    ran_here(&first);
    ck_assert(!pthread_equal(second.ran_on, lender));
    sem_post(&first.go);
    sem_wait(&first.settled);
    finish_lent();
}
END_TEST

/* Signals. */

static void blocked_on(void *arg) {
    pthread_sigmask(SIG_SETMASK, NULL, arg);
}

/* Whoever starts a thread: here a job that blocks what it likes. */
static void block_and_sleep_body(struct task *task) {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    give_and_sleep_body(task);
}

static void check_blocked(bool given) {
    struct task task;
    sigset_t mask, wanted, none;
    sigemptyset(&none);
    sigemptyset(&wanted);
    sigaddset(&wanted, given ? SIGUSR1 : SIGUSR2);
    pthread_sigmask(SIG_SETMASK, given ? &none : &wanted, NULL); /* what the caller of sched_new blocks */
    config.blocked_signals = given ? &wanted : NULL;
    start_lent(1);
    pthread_sigmask(SIG_SETMASK, &none, NULL);
    on_owner(blocked_on, &mask); /* the lent one keeps its own */
    ck_assert_int_eq(sigismember(&mask, SIGUSR1), 0);
    task_init(&task, 1, block_and_sleep_body);
    submit(&task);
    sem_wait(&task.started);
    on_owner(blocked_on, &mask);
    for (int number = 1; number < 32; number++)
        ck_assert_int_eq(sigismember(&mask, number), sigismember(&wanted, number));
    sem_post(&task.go);
    sem_wait(&task.settled);
    finish_lent();
}

START_TEST(test_signals_given)
{ check_blocked(true); }
END_TEST

START_TEST(test_signals_of_the_maker)
{ check_blocked(false); }
END_TEST

/* The job that does not count. */

static void submit_uncounted_cb(void *arg) {
    struct task *task = arg;
    sched_submit_uncounted(sched, &task->job);
}

static void count_cb(void *arg) {
    uint64_t oldest;
    *(unsigned *)arg = sched_queued(sched, &oldest);
    struct sched_stats stats;
    sched_look_stats(sched, &stats);
    ck_assert_uint_eq(stats.queued, *(unsigned *)arg);
}

START_TEST(test_uncounted)
{
    unsigned waiting = 0;
    struct task first, uncounted, second, third;
    config.queue_limit = 1;
    start_lent(1);
    task_init(&first, 1, give_and_sleep_body);
    task_init(&uncounted, 2, NULL);
    task_init(&second, 3, NULL);
    task_init(&third, 4, NULL);
    submit(&first);
    sem_wait(&first.started);
    submit(&second);
    on_owner(submit_uncounted_cb, &uncounted); /* however full it is */
    on_owner(submit_cb, &third);
    ck_assert(!third.accepted);
    on_owner(count_cb, &waiting);
    ck_assert_uint_eq(waiting, 1);
    sem_post(&first.go);
    sem_wait(&first.settled);
    sem_wait(&second.settled);
    sem_wait(&uncounted.settled);
    ran_here(&uncounted);
    /* It takes nobody's place. */
    submit(&first);
    sem_wait(&first.started);
    on_owner(submit_uncounted_cb, &uncounted);
    submit(&second);
    on_owner(submit_cb, &third);
    ck_assert(!third.accepted);
    sem_post(&first.go);
    sem_wait(&uncounted.settled);
    sem_wait(&second.settled);
    finish_lent();
}
END_TEST

int main(void) {
    Suite *suite = suite_create("sched_lent");
    TCase *c = tcase_create("sched_lent");
    suite_add_tcase(suite, c);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, test_inline);
    tcase_add_test(c, test_blocking);
    tcase_add_test(c, test_computing);
    tcase_add_test(c, test_peer_wait);
    tcase_add_test(c, test_runs_the_loop);
    tcase_add_test(c, test_no_second_thread);
    tcase_add_test(c, test_quit_while_busy);
    tcase_add_test(c, test_quit_before);
    tcase_add_test(c, test_several);
    tcase_add_test(c, test_signals_given);
    tcase_add_test(c, test_signals_of_the_maker);
    tcase_add_test(c, test_uncounted);
    return unit_run(suite);
}
