#include "config.h"

#include "sched/sched.h"

#include "sched_rig.h"

/* A job runs inline, or without the baton, and ends. */

START_TEST(test_inline)
{
    static struct task tasks[TASKS_MAX];
    config.queue_limit = TASKS_MAX;
    make(4);
    for (int i = 0; i < TASKS_MAX; i++) {
        task_init(&tasks[i], (uint32_t)i, NULL);
        ck_assert(sched_submit(sched, &tasks[i].job));
    }
    ck_assert_uint_eq(get_stats().queued, TASKS_MAX);
    ck_assert_int_eq(sched_start(sched), 0);
    for (int i = 0; i < TASKS_MAX; i++) {
        sem_wait(&tasks[i].settled);
        ck_assert(pthread_equal(tasks[i].ran_on, tasks[0].ran_on));
    }
    ping();
    ck_assert_int_eq(nsettled, TASKS_MAX);
    for (int i = 0; i < TASKS_MAX; i++)
        ck_assert_ptr_eq(settled_order[i], &tasks[i]);
    struct sched_stats stats = get_stats();
    ck_assert_uint_eq(stats.threads, 1);
    ck_assert_uint_eq(stats.veterans, 1);
    ck_assert_uint_eq(stats.queued, 0);
    finish();
}
END_TEST

struct looked {
    const struct sched_job *jobs[4];
    int count;
};

static void note_job(struct sched_job *job, struct sched_job *_Atomic *at, void *arg) {
    struct looked *looked = arg;
    REQUIRE(atomic_load(at) == job && looked->count < 4);
    looked->jobs[looked->count++] = job;
}

/* Any thread sees what runs: a job inline or without the baton, and none that has ended. */
START_TEST(test_look)
{
    struct task quick, sleeping[2];
    struct looked looked = {.count = 0};
    start_watched(4);
    task_init(&quick, 7, NULL);
    run_one(&quick);
    sched_visit_jobs(sched, note_job, &looked);
    ck_assert_int_eq(looked.count, 0);
    for (int i = 0; i < 2; i++) {
        task_init(&sleeping[i], 1, i ? give_and_sleep_body : sleep_body);
        submit(&sleeping[i]);
        wait_asleep(&sleeping[i]);
        looked.count = 0;
        sched_visit_jobs(sched, note_job, &looked);
        ck_assert_int_eq(looked.count, i + 1);
    }
    ck_assert(looked.jobs[0] != looked.jobs[1]);
    for (int i = 0; i < 2; i++) {
        ck_assert(looked.jobs[i] == &sleeping[0].job || looked.jobs[i] == &sleeping[1].job);
        sem_post(&sleeping[i].go);
        sem_wait(&sleeping[i].settled);
    }
    looked.count = 0;
    sched_visit_jobs(sched, note_job, &looked);
    ck_assert_int_eq(looked.count, 0);
    finish();
}
END_TEST

int main(void) {
    Suite *suite = suite_create("sched_job");
    TCase *c = tcase_create("sched_job");
    suite_add_tcase(suite, c);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, test_inline);
    tcase_add_test(c, test_look);
    return unit_run(suite);
}
