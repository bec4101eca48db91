#include "config.h"

#include "sched/sched.h"

#include "unit/no_threads.h"
#include "sched_rig.h"

#include <errno.h>
#include <sys/resource.h>

/* Threads are few, and may be none; and they end. */

/* A thread that ran jobs before is preferred: each has what applications keep per thread, a database connection say. */
START_TEST(test_few_veterans)
{
    struct task sleeper, task;
    start(8);
    make_predicted(3);
    task_init(&sleeper, 1, give_and_sleep_body);
    task_init(&task, 2, NULL);
    for (int i = 0; i < 100; i++) {
        sleeper.job.key = i % 2 ? 1 : 3;
        sleep_once(&sleeper);
        run_one(&task);
    }
    ck_assert_uint_ge(get_stats().handed_over, 1);
    ck_assert_uint_eq(get_stats().veterans, 1);
    ck_assert_uint_eq(get_stats().threads, 2);
    finish();
}
END_TEST

/* A system that has no more threads. */

START_TEST(test_no_thread_at_all)
{
    struct rlimit limit, less;
    make(1);
    getrlimit(RLIMIT_AS, &limit);
    less = (struct rlimit){FORBIDDEN_STACK, limit.rlim_max};
    log_catch();
    forbid_threads(true);
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &less), 0);
    int result = sched_start(sched), error = errno;
    setrlimit(RLIMIT_AS, &limit);
    forbid_threads(false);
    ck_assert_int_eq(log_lines(), 1);
    ck_assert_ptr_nonnull(
        strstr(logged, "cannot start thread 1 of 2: the process has as much address space as it may: "));
    ck_assert_int_eq(result, -1);
    ck_assert_int_eq(error, EAGAIN);
    ck_assert_ptr_null(sched->pool.all[0]); /* where sched_pause looks for the owner */
    sched_pause(sched);
    ck_assert_int_eq(sched_start(sched), 0);
    finish();
}
END_TEST

START_TEST(test_no_second_thread)
{
    struct task sleeper, given, predicted;
    start(2);
    make_predicted(3);
    ping();
    log_catch();
    forbid_threads(true);
    /* Everything goes on inline. */
    task_init(&predicted, 3, NULL);
    run_one(&predicted);
    task_init(&given, 1, give_and_sleep_body);
    sem_post(&given.go);
    run_one(&given);
    ck_assert(!given.gave);
    /* A sleeper stops the loop until there is a thread again; the log says it once, however often the watch tries. */
    task_init(&sleeper, 2, sleep_body);
    submit(&sleeper);
    sem_wait(&sleeper.started);
    sched_watch(sched, wake[0], clock_ns() + 50000000, on_wake, &wakes);
    forbid_threads(false);
    ck_assert_int_eq(log_lines(), 1);
    ck_assert_uint_eq(get_stats().threads, 1);
    ck_assert_ptr_null(sched->pool.all[1]);
    watch_start();
    ping();
    ck_assert_uint_eq(get_stats().threads, 2);
    sem_post(&sleeper.go);
    sem_wait(&sleeper.settled);
    finish();
}
END_TEST

START_TEST(test_quit)
{
    struct task tasks[4];
    start_watched(4);
    make_predicted(1);
    for (int i = 0; i < 4; i++) {
        task_init(&tasks[i], 1 + (uint32_t)i % 2, give_and_sleep_body);
        submit(&tasks[i]);
    }
    for (int i = 0; i < 4; i++)
        sem_wait(&tasks[i].started);
    for (int i = 0; i < 2; i++) {
        sem_post(&tasks[i].go);
        sem_wait(&tasks[i].settled);
    }
    wait_parked();
    on_owner(quit_cb, NULL);
    pthread_join(watch, NULL);
    ck_assert_uint_ge(sched_join(sched, clock_ns()), 2);
    ck_assert_uint_ge(sched_join(sched, clock_ns() + 1000000), 2);
    for (int i = 2; i < 4; i++)
        sem_post(&tasks[i].go);
    ck_assert_uint_eq(sched_join(sched, clock_ns() + FOREVER_NS), 0);
    ck_assert_int_eq(stops, 5);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(tasks[i].settles, i < 2); /* without an owner nobody settles */
    sched_free(sched);
    ev_loop_destroy(loop);
}
END_TEST

START_TEST(test_quit_from_settle)
{
    struct task task;
    start(2);
    task_init(&task, 1, NULL);
    task.on_settle = quit_on_settle;
    submit(&task);
    sem_wait(&task.settled);
    join();
    ck_assert_int_eq(stops, 1);
}
END_TEST

START_TEST(test_never_started)
{
    make(1);
    sched_quit(sched);
    ck_assert_int_eq(sched_start(sched), -1);
    ck_assert_uint_eq(sched_join(sched, 0), 0);
    sched_free(sched);
    sched_free(NULL);
    ev_loop_destroy(loop);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("sched_threads");
    TCase *c = tcase_create("sched_threads");
    suite_add_tcase(suite, c);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, test_few_veterans);
    tcase_add_test(c, test_no_thread_at_all);
    tcase_add_test(c, test_no_second_thread);
    tcase_add_test(c, test_quit);
    tcase_add_test(c, test_quit_from_settle);
    tcase_add_test(c, test_never_started);
    return unit_run(suite);
}
