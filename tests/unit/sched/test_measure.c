/* Jobs of many kinds that come once, and others of a kind that comes again, all in one slot of the predictions. */
#include "config.h"

#include "sched_rig.h"

enum { INNOCENT = 1, STRANGERS = 20 };

static uint32_t stranger(uint32_t i) {
    return INNOCENT + (1 + i) * PREDICT_SLOTS;
}

/* Nobody watches: it is handed over. */
static void submit_blocking(struct task *task, uint32_t key) {
    uint64_t before = get_stats().handed_over;
    task_init(task, key, sleep_body);
    make_predicted(key);
    submit(task);
    wait_asleep(task);
    ck_assert_uint_eq(get_stats().handed_over, before + 1);
}

static void let_go(struct task *task) {
    sem_post(&task->go);
    sem_wait(&task->settled);
}

static void run_inline(uint32_t key, int times) {
    uint64_t before = get_stats().handed_over;
    struct task task;
    task_init(&task, key, NULL);
    for (int i = 0; i < times; i++)
        run_one(&task);
    ck_assert_uint_eq(get_stats().handed_over, before);
}

START_TEST(test_strangers_say_nothing_about_others)
{
    struct task blocking;
    start(2);
    run_inline(INNOCENT, 1);
    for (uint32_t i = 0; i < STRANGERS; i++) {
        submit_blocking(&blocking, stranger(i));
        let_go(&blocking);
        run_inline(INNOCENT, 1);
    }
    finish();
}
END_TEST

/* Nor does one that owned the slot when it began. */
START_TEST(test_a_late_end_says_nothing_about_others)
{
    struct task blocking;
    start(2);
    run_inline(stranger(0), 1);
    submit_blocking(&blocking, stranger(0));
    run_inline(INNOCENT, PREDICT_STANDING_CALL + 2);
    for (uint64_t since = clock_ns(); clock_ns() - since < PREDICT_WATCH_NS;)
        ;
    let_go(&blocking);
    run_inline(INNOCENT, 1);
    finish();
}
END_TEST

/* What jobs do that are measured. */

START_TEST(test_blocking_keys_are_handed_over)
{
    struct task sleeper, task;
    start_watched(4);
    task_init(&sleeper, 1, sleep_body);
    task_init(&task, 2, NULL);
    sleep_once(&sleeper);
    ck_assert_uint_eq(get_stats().handed_over, 0);
    /* Once is enough when the watch has seen it asleep; not when the thread had to wait for a processor first. */
    while (!get_stats().handed_over)
        sleep_once(&sleeper);
    for (int i = 0; i < 4; i++) {
        uint64_t before = get_stats().handed_over;
        sleep_once(&sleeper);
        ck_assert_uint_eq(get_stats().handed_over, before + 1);
        run_one(&task);
        ck_assert_uint_eq(get_stats().handed_over, before + 1);
    }
    /* It sleeps no more, so it goes back inline. */
    sleeper.body = NULL;
    for (uint64_t before = 0; before != get_stats().handed_over;) {
        before = get_stats().handed_over;
        run_one(&sleeper);
    }
    finish();
}
END_TEST

/* Of a job that is measured, the time before it had the lock does not count. */
START_TEST(test_lock_wait_predicts_nothing)
{
    struct task waiting;
    start(4);
    atomic_store(&kind_of(1)->measure, 255);
    task_init(&waiting, 1, lock_wait_body);
    for (int i = 0; i < 10; i++) {
        submit(&waiting);
        wait_asleep(&waiting);
        for (int k = 0; k < 200; k++) /* long enough to count, if it did */
            REQUIRE(threads_is_asleep(waiting.thread));
        sem_post(&waiting.go);
        sem_wait(&waiting.settled);
    }
    ck_assert_uint_eq(get_stats().handed_over, 0);
    finish();
}
END_TEST

int main(void) {
    Suite *suite = suite_create("sched_measure");
    TCase *c = tcase_create("sched_measure");
    suite_add_tcase(suite, c);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, test_strangers_say_nothing_about_others);
    tcase_add_test(c, test_a_late_end_says_nothing_about_others);
    tcase_add_test(c, test_blocking_keys_are_handed_over);
    tcase_add_test(c, test_lock_wait_predicts_nothing);
    return unit_run(suite);
}
