#include "config.h"

#include "sched/sched.h"

#include "sched_rig.h"

static void cancel_cb(void *arg) {
    struct task *task = arg;
    task->cancelled = sched_cancel(sched, &task->job);
}

static bool cancel(struct task *task) {
    on_owner(cancel_cb, task);
    return task->cancelled;
}

START_TEST(test_cancel)
{
    struct task running, waiting[3];
    config.queue_limit = 3;
    start(1);
    task_init(&running, 1, give_and_sleep_body);
    submit(&running);
    sem_wait(&running.started);
    for (int i = 0; i < 3; i++) {
        task_init(&waiting[i], 2, NULL);
        ck_assert(!cancel(&waiting[i]));
    }
    for (int i = 0; i < 3; i++)
        submit(&waiting[i]);
    ck_assert(!cancel(&running));
    ck_assert(cancel(&waiting[1]));
    ck_assert(!cancel(&waiting[1]));
    ck_assert_uint_eq(get_stats().queued, 2);
    sem_post(&running.go);
    sem_wait(&running.settled);
    sem_wait(&waiting[0].settled);
    sem_wait(&waiting[2].settled);
    ck_assert(!cancel(&running));
    ck_assert_int_eq(atomic_load(&waiting[1].runs), 0);
    run_one(&waiting[1]);
    finish();
}
END_TEST

struct crowd {
    struct task *tasks;
    int count, accepted;
    int with_thread; /* those behind which there was a free thread for each job that waited */
};

static void submit_crowd_cb(void *arg) {
    struct crowd *crowd = arg;
    for (int i = 0; i < crowd->count; i++) {
        crowd->accepted += sched_submit(sched, &crowd->tasks[i].job);
        crowd->with_thread += sched_has_threads(sched);
    }
}

START_TEST(test_queue_limit)
{
    enum { LIMIT = 2, CROWD = 10 };
    struct task sleeper, tasks[CROWD];
    struct crowd crowd = {.tasks = tasks, .count = CROWD};
    config.queue_limit = LIMIT;
    start(1);
    task_init(&sleeper, 1, give_and_sleep_body);
    for (int i = 0; i < CROWD; i++)
        task_init(&tasks[i], 2, NULL);
    /* A free thread can take one. */
    on_owner(submit_crowd_cb, &crowd);
    ck_assert_int_eq(crowd.accepted, LIMIT + 1);
    ck_assert_int_eq(crowd.with_thread, 1);
    for (int i = 0; i < LIMIT + 1; i++)
        sem_wait(&tasks[i].settled);
    submit(&sleeper);
    sem_wait(&sleeper.started);
    crowd.accepted = crowd.with_thread = 0;
    on_owner(submit_crowd_cb, &crowd);
    ck_assert_int_eq(crowd.accepted, LIMIT);
    ck_assert_int_eq(crowd.with_thread, 0);
    sem_post(&sleeper.go);
    for (int i = 0; i < LIMIT; i++)
        sem_wait(&tasks[i].settled);
    finish();
}
END_TEST

/* Callbacks and jobs that take longer than a job may wait. */

static void outlast(uint64_t duration) {
    uint64_t since = clock_ns();
    while (clock_ns() - since <= duration)
        ;
}

static void submit_and_stall_cb(void *arg) {
    submit_cb(arg);
    outlast(config.queue_timeout);
}

static void stall_and_submit_cb(void *arg) {
    outlast(config.queue_timeout);
    submit_cb(arg);
}

/* A job that could have run all the while has not waited for a thread. */
START_TEST(test_stalled_callback)
{
    struct task task;
    config.queue_limit = 10;
    config.queue_timeout = 1000000;
    start(1);
    task_init(&task, 1, NULL);
    on_owner(_i ? stall_and_submit_cb : submit_and_stall_cb, &task);
    finish();
    ck_assert_int_eq(task.settles, 1);
    ck_assert_int_eq(task.expiries, 0);
}
END_TEST

static struct task crowd_tasks[3];
static uint64_t stall_end;

static void stall_and_submit_all_cb(void *arg) {
    (void)arg;
    for (int i = 0; i < COUNT(crowd_tasks); i++) {
        submit_cb(&crowd_tasks[i]);
        outlast(1000000);
    }
    stall_end = clock_ns();
}

static void check_waits_cb(void *arg) {
    (void)arg;
    for (int i = 0; i < COUNT(crowd_tasks); i++)
        REQUIRE(crowd_tasks[i].job.queued_at >= stall_end);
}

/* Nor has one that finds all threads busy: its wait begins when the callbacks are through. */
START_TEST(test_stalled_callback_of_many)
{
    struct task sleeper;
    config.queue_limit = 10;
    config.queue_timeout = FOREVER_NS;
    start(1);
    task_init(&sleeper, 1, give_and_sleep_body);
    submit(&sleeper);
    sem_wait(&sleeper.started);
    for (int i = 0; i < COUNT(crowd_tasks); i++)
        task_init(&crowd_tasks[i], 2, NULL);
    on_owner(stall_and_submit_all_cb, NULL);
    ping(); /* before this the owner has looked at the queue */
    on_owner(check_waits_cb, NULL);
    sem_post(&sleeper.go);
    for (int i = 0; i < COUNT(crowd_tasks); i++)
        sem_wait(&crowd_tasks[i].settled);
    finish();
}
END_TEST

static void outlast_body(struct task *task) {
    (void)task;
    outlast(config.queue_timeout);
}

/* But to come behind a job that takes long is a wait for the thread that runs it. */
START_TEST(test_behind_a_long_job)
{
    struct task tasks[2];
    config.queue_limit = 10;
    config.queue_timeout = 1000000;
    make(1);
    task_init(&tasks[0], 1, outlast_body);
    task_init(&tasks[1], 1, NULL);
    for (int i = 0; i < 2; i++)
        ck_assert(sched_submit(sched, &tasks[i].job));
    ck_assert_int_eq(sched_start(sched), 0);
    sem_wait(&tasks[0].settled);
    sem_wait(&tasks[1].expired);
    finish();
    ck_assert_int_eq(atomic_load(&tasks[1].runs), 0);
}
END_TEST

/* Nothing but the timer wakes the loop. */
START_TEST(test_queue_timer)
{
    struct task sleeper, task;
    config.queue_limit = 10;
    config.queue_timeout = 1000000;
    start(1);
    task_init(&sleeper, 1, give_and_sleep_body);
    task_init(&task, 2, NULL);
    for (int i = 0; i < 5; i++) {
        submit(&sleeper);
        sem_wait(&sleeper.started);
        submit(&task);
        sem_wait(&task.expired);
        sem_post(&sleeper.go);
        sem_wait(&sleeper.settled);
    }
    ck_assert_int_eq(atomic_load(&task.runs), 0);
    finish();
}
END_TEST

int main(void) {
    Suite *suite = suite_create("sched_queue");
    TCase *c = tcase_create("sched_queue");
    suite_add_tcase(suite, c);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, test_cancel);
    tcase_add_test(c, test_queue_limit);
    tcase_add_loop_test(c, test_stalled_callback, 0, 2);
    tcase_add_test(c, test_stalled_callback_of_many);
    tcase_add_test(c, test_behind_a_long_job);
    tcase_add_test(c, test_queue_timer);
    return unit_run(suite);
}
