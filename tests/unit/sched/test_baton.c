#include "config.h"

#include "sched/sched.h"

#include "sched_rig.h"

/* What stays with the baton between two jobs. */

static void keep_body(struct task *task) {
    task->pauses_before = atomic_load(&pauses);
    kept = task->goes_on = sched_goes_on(task->thread);
    if (kept && !watched) /* nobody takes the baton */
        no_events_before_the_next();
}

/* Jobs that are ready together find what the one before has left; nobody waits for events with it. */
START_TEST(test_going_on)
{
    struct task tasks[3];
    config.queue_limit = COUNT(tasks);
    make(2);
    for (int i = 0; i < COUNT(tasks); i++) {
        task_init(&tasks[i], 1, keep_body);
        ck_assert(sched_submit(sched, &tasks[i].job));
    }
    ck_assert_int_eq(sched_start(sched), 0);
    for (int i = 0; i < COUNT(tasks); i++)
        sem_wait(&tasks[i].settled);
    for (int i = 0; i < COUNT(tasks); i++) {
        ck_assert(tasks[i].goes_on);
        ck_assert_int_eq(tasks[i].pauses_before, 0);
    }
    ping();
    ck_assert_int_eq(atomic_load(&pauses), 1);
    run_one(&tasks[0]);
    ck_assert_int_eq(tasks[0].pauses_before, 1);
    finish();
    ck_assert_int_eq(atomic_load(&pauses), 2);
}
END_TEST

/* A thread that ends leaves nothing (see thread_stop). */
START_TEST(test_quit_behind_a_job)
{
    struct task task;
    start(2);
    task_init(&task, 1, keep_body);
    task.on_settle = quit_on_settle;
    submit(&task);
    join();
    ck_assert(task.goes_on);
    ck_assert_int_eq(atomic_load(&pauses), 1);
}
END_TEST

static void pause_twice(struct task *task) {
    for (int i = 0; i < 2; i++) {
        sched_pause(sched);
        REQUIRE(atomic_load(&pauses) == task->pauses_before + 1);
    }
}

/* Before something that may take long, once. */
START_TEST(test_pause_in_settle)
{
    struct task task;
    make(2);
    sched_pause(sched);
    task_init(&task, 1, keep_body);
    task.on_settle = pause_twice;
    ck_assert(sched_submit(sched, &task.job));
    ck_assert_int_eq(sched_start(sched), 0);
    sem_wait(&task.settled);
    ck_assert(task.goes_on);
    finish();
    ck_assert_int_eq(atomic_load(&pauses), 1);
}
END_TEST

static void keep_and_sleep_body(struct task *task) {
    keep_body(task);
    sleep_body(task);
}

static void pause_seen(struct task *task) {
    REQUIRE(atomic_load(&pauses) == task->pauses_before + 1);
}

/* A thread that loses the baton at its very end leaves nothing to nobody. */
START_TEST(test_going_on_without_the_baton)
{
    struct task task;
    start_watched(2);
    task_init(&task, 1, keep_and_sleep_body);
    task.on_settle = pause_seen;
    submit(&task);
    sem_wait(&task.started);
    ck_assert(task.goes_on);
    ping();
    ck_assert_int_eq(atomic_load(&pauses), 0);
    sem_post(&task.go);
    sem_wait(&task.settled);
    finish();
    ck_assert_int_eq(atomic_load(&pauses), 1);
}
END_TEST

/* With another job under way somebody may wait for what this one would keep. */
START_TEST(test_not_alone)
{
    struct task sleeper, task;
    start_watched(2);
    task_init(&sleeper, 1, sleep_body);
    task_init(&task, 2, keep_body);
    submit(&sleeper);
    sem_wait(&sleeper.started);
    run_one(&task);
    ck_assert(!task.goes_on);
    sem_post(&sleeper.go);
    sem_wait(&sleeper.settled);
    finish();
    ck_assert_int_eq(atomic_load(&pauses), 0);
}
END_TEST

/* Before a job that is expected to block, which takes the thread away from the loop. */
START_TEST(test_pause_before_handing_over)
{
    struct task task, blocking;
    make(2);
    make_predicted(2);
    task_init(&task, 1, keep_body);
    task_init(&blocking, 2, keep_body);
    ck_assert(sched_submit(sched, &task.job));
    ck_assert(sched_submit(sched, &blocking.job));
    ck_assert_int_eq(sched_start(sched), 0);
    sem_wait(&blocking.settled);
    ck_assert_uint_eq(get_stats().handed_over, 1);
    ck_assert(task.goes_on && !blocking.goes_on);
    ck_assert_int_eq(blocking.pauses_before, 1);
    finish();
    ck_assert_int_eq(atomic_load(&pauses), 1);
}
END_TEST

/* Giving the baton away. */

static void give_twice_body(struct task *task) {
    REQUIRE(sched_will_block(task->thread));
    REQUIRE(sched_will_block(task->thread));
    sleep_body(task);
    REQUIRE(sched_will_block(task->thread));
}

START_TEST(test_will_block)
{
    struct task task;
    start(2);
    for (uint32_t key = 1; key <= 2; key++) {
        if (key == 2)
            make_predicted(key);
        task_init(&task, key, give_twice_body);
        submit(&task);
        sem_wait(&task.started);
        ping();
        struct sched_stats stats = get_stats();
        ck_assert_uint_eq(stats.busy, 1);
        ck_assert_uint_eq(stats.taken_asleep + stats.taken_computing, 0);
        ck_assert_uint_eq(stats.handed_over, key - 1);
        sem_post(&task.go);
        sem_wait(&task.settled);
        ping();
        ck_assert_uint_eq(get_stats().busy, 0);
    }
    finish();
}
END_TEST

static void *helper_main(void *arg) {
    sched_will_block(arg);
    return NULL;
}

static void helped_body(struct task *task) {
    pthread_t helper;
    REQUIRE(!pthread_create(&helper, NULL, helper_main, task->thread));
    pthread_join(helper, NULL);
    sleep_body(task);
}

START_TEST(test_will_block_from_another_thread)
{
    struct task task;
    start(2);
    task_init(&task, 1, helped_body);
    sleep_once(&task);
    sched_will_block(task.thread); /* of a thread that runs no job: nothing happens */
    ping();
    finish();
}
END_TEST

struct hammer {
    struct sched_thread *thread;
    atomic_bool stop;
};

static void *hammer_main(void *arg) {
    struct hammer *hammer = arg;
    while (!atomic_load(&hammer->stop))
        sched_will_block(hammer->thread);
    return NULL;
}

/* Jobs end while the baton is being taken from them. With one thread for jobs, an owner that counted a failed attempt as
 * a busy thread would wait for ever. */
START_TEST(test_takers_against_ends)
{
    enum { ROUNDS = 20000 };
    struct task tasks[2];
    struct hammer hammers[2] = {0};
    pthread_t ids[2];
    config.queue_limit = 2;
    start(1);
    for (int i = 0; i < 2; i++) {
        task_init(&tasks[i], (uint32_t)i, NULL);
        tasks[i].on_settle = submit_again;
        run_one(&tasks[i]);
        tasks[i].left = ROUNDS - 1;
    }
    for (int i = 0; i < 2; i++) {
        hammers[i].thread = tasks[0].thread;
        ck_assert_int_eq(pthread_create(&ids[i], NULL, hammer_main, &hammers[i]), 0);
    }
    for (int i = 0; i < 2; i++)
        submit(&tasks[i]);
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < ROUNDS; k++)
            sem_wait(&tasks[i].settled);
    for (int i = 0; i < 2; i++) {
        atomic_store(&hammers[i].stop, true);
        pthread_join(ids[i], NULL);
    }
    ping();
    ck_assert_int_eq(nsettled, 2 * (ROUNDS + 1));
    ck_assert_uint_eq(get_stats().busy, 0);
    finish();
}
END_TEST

int main(void) {
    Suite *suite = suite_create("sched_baton");
    TCase *c = tcase_create("sched_baton");
    suite_add_tcase(suite, c);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, test_going_on);
    tcase_add_test(c, test_quit_behind_a_job);
    tcase_add_test(c, test_pause_in_settle);
    tcase_add_test(c, test_going_on_without_the_baton);
    tcase_add_test(c, test_not_alone);
    tcase_add_test(c, test_pause_before_handing_over);
    tcase_add_test(c, test_will_block);
    tcase_add_test(c, test_will_block_from_another_thread);
    tcase_add_test(c, test_takers_against_ends);
    return unit_run(suite);
}
