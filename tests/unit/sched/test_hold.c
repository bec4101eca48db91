#include "config.h"

#include "sched/sched.h"

#include "sched_rig.h"

/* Jobs that compute: none begins for a while. */

static void compute_body(struct task *task) {
    sem_post(&task->started);
    while (!atomic_load(&task->stop))
        ;
}

static void compute_and_sleep_body(struct task *task) {
    compute_body(task);
    sem_wait(&task->go);
}

static void stop_hold_timer_cb(struct ev_loop *l, ev_prepare *w, int revents) {
    (void)w;
    (void)revents;
    ev_timer_stop(l, &sched->hold.timer);
}

static ev_prepare prepare;

/* Makes the queue wait for a computing job until that one ends, as if it ended in time: called before start. */
static void hold_without_end(void) {
    ev_prepare_init(&prepare, stop_hold_timer_cb);
    ev_prepare_start(loop, &prepare);
}

static void start_held(struct task *first, struct task *second) {
    make(4);
    hold_without_end();
    ck_assert(sched_submit(sched, &first->job));
    ck_assert(sched_submit(sched, &second->job));
    ck_assert_int_eq(sched_start(sched), 0);
    watch_start();
    sem_wait(&first->started);
    for (int i = 0; i < 20; i++)
        ping(); /* the loop was taken over */
    ck_assert_uint_eq(get_stats().taken_computing, 1);
    ck_assert_uint_eq(get_stats().taken_asleep, 0);
    ck_assert_int_eq(atomic_load(&second->runs), 0);
}

static void finish_held(struct task *first, struct task *second) {
    sem_wait(&first->settled);
    sem_wait(&second->settled);
    ping();
    ck_assert_int_eq(first->settles, 1);
    ck_assert_int_eq(second->settles, 1);
    ck_assert_ptr_eq(sched->hold.job, NULL);
    ck_assert_uint_eq(atomic_load(&sched->hold.computing), 0);
    finish();
}

START_TEST(test_queue_waits_for_a_computing_job)
{
    struct task computing, next;
    task_init(&computing, 1, compute_body);
    task_init(&next, 2, NULL);
    start_held(&computing, &next);
    watch_end(); /* it would let the queue go as well, later */
    atomic_store(&computing.stop, true);
    finish_held(&computing, &next);
}
END_TEST

START_TEST(test_queue_does_not_wait_when_the_computing_job_sleeps)
{
    struct task computing, next;
    task_init(&computing, 1, compute_and_sleep_body);
    task_init(&next, 2, NULL);
    start_held(&computing, &next);
    atomic_store(&computing.stop, true);
    sem_wait(&next.settled);
    sem_post(&next.settled);
    sem_post(&computing.go);
    finish_held(&computing, &next);
}
END_TEST

static atomic_bool released;

static bool released_cb(struct sched_thread *thread, void *user) {
    (void)thread;
    (void)user;
    return atomic_load(&released);
}

START_TEST(test_queue_does_not_wait_when_the_computing_job_lets_go)
{
    struct task computing, next;
    task_init(&computing, 1, compute_body);
    task_init(&next, 2, NULL);
    config.thread_released = released_cb;
    start_held(&computing, &next);
    atomic_store(&released, true);
    sem_wait(&next.settled);
    sem_post(&next.settled);
    ck_assert_int_eq(computing.settles, 0);
    atomic_store(&computing.stop, true);
    finish_held(&computing, &next);
}
END_TEST

START_TEST(test_lock_wait_is_not_sleep)
{
    struct task waiting, next;
    task_init(&waiting, 1, lock_wait_body);
    task_init(&next, 2, NULL);
    start_held(&waiting, &next);
    sem_post(&waiting.go);
    finish_held(&waiting, &next);
}
END_TEST

static struct task endless;

static void stop_other(struct task *task) {
    (void)task;
    atomic_store(&endless.stop, true);
}

START_TEST(test_endless_computation_does_not_stop_the_queue)
{
    struct task next;
    start_watched(4);
    task_init(&endless, 1, compute_body);
    task_init(&next, 2, stop_other);
    submit(&endless);
    submit(&next);
    sem_wait(&endless.settled);
    sem_wait(&next.settled);
    ck_assert_uint_ge(get_stats().taken_computing, 1);
    finish();
}
END_TEST

int main(void) {
    Suite *suite = suite_create("sched_hold");
    TCase *c = tcase_create("sched_hold");
    suite_add_tcase(suite, c);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, test_queue_waits_for_a_computing_job);
    tcase_add_test(c, test_queue_does_not_wait_when_the_computing_job_sleeps);
    tcase_add_test(c, test_queue_does_not_wait_when_the_computing_job_lets_go);
    tcase_add_test(c, test_lock_wait_is_not_sleep);
    tcase_add_test(c, test_endless_computation_does_not_stop_the_queue);
    return unit_run(suite);
}
