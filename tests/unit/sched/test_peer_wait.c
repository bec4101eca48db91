#include "config.h"

#include "sched/sched.h"

#include "unit/no_threads.h"
#include "sched_rig.h"

/* Jobs that wait for their peers are none of `threads`. */

enum { MANY = 8 };

/* Waits for its peer, which is `go`, and then is at work until `stop`. */
static void peer_body(struct task *task) {
    task->gave = sched_will_block(task->thread);
    sched_peer_wait_begins(task->thread);
    sem_post(&task->started);
    sem_wait(&task->go);
    sched_peer_wait_ends(task->thread);
    while (!atomic_load(&task->stop))
        sched_yield();
}

static void begin(struct task *task, void (*body)(struct task *task)) {
    task_init(task, 1, body);
    submit(task);
    sem_wait(&task->started);
}

static void let_go(struct task *task) {
    atomic_store(&task->stop, true);
    sem_post(&task->go);
}

static void end(struct task *task) {
    let_go(task);
    sem_wait(&task->settled);
}

static void begin_all(struct task *tasks, int count) {
    for (int i = 0; i < count; i++)
        begin(&tasks[i], peer_body);
}

static void end_all(struct task *tasks, int count) {
    for (int i = 0; i < count; i++)
        end(&tasks[i]);
}

START_TEST(test_others_run)
{
    struct task waiting[MANY], quick;
    config.peer_waits_max = MANY;
    config.queue_limit = 1;
    start(2);
    begin_all(waiting, MANY);
    ping();
    ck_assert_uint_eq(get_stats().peer_waits, MANY);
    ck_assert_uint_eq(get_stats().busy, 0);
    ck_assert_uint_eq(get_stats().threads, MANY + 1);
    task_init(&quick, 2, NULL);
    run_one(&quick);
    end_all(waiting, MANY);
    finish();
}
END_TEST

/* Their threads are used again, and no more are made. */
START_TEST(test_threads_are_used_again)
{
    struct task waiting[MANY];
    config.peer_waits_max = MANY;
    config.queue_limit = 1;
    start(2);
    for (int round = 0; round < 3; round++) {
        begin_all(waiting, MANY);
        end_all(waiting, MANY);
    }
    ck_assert_uint_le(get_stats().threads, MANY + 1);
    finish();
}
END_TEST

/* Of the threads beyond `threads`, which have no descriptor of their state, too. A busy machine may keep one awake. */
START_TEST(test_sleepers_are_noticed)
{
    struct task waiting[MANY], sleeper;
    config.peer_waits_max = MANY;
    config.queue_limit = 1;
    start_watched(2);
    begin_all(waiting, MANY);
    for (unsigned key = 2; key < 50 && !get_stats().taken_asleep; key++) {
        task_init(&sleeper, key, sleep_body);
        submit(&sleeper);
        sem_wait(&sleeper.started);
        ping();
        ck_assert_uint_gt(sleeper.thread->index, 2);
        sem_post(&sleeper.go);
        sem_wait(&sleeper.settled);
    }
    ck_assert_uint_ge(get_stats().taken_asleep, 1);
    end_all(waiting, MANY);
    finish();
}
END_TEST

/* It lets a job run that found all threads busy, though nothing else happens. */
START_TEST(test_frees_its_thread)
{
    struct task sleeper, waiting, queued;
    config.peer_waits_max = MANY;
    config.queue_limit = 1;
    start(2);
    begin(&sleeper, give_and_sleep_body);
    task_init(&waiting, 1, peer_body);
    task_init(&queued, 2, NULL);
    submit(&waiting);
    submit(&queued);
    sem_wait(&queued.settled);
    ck_assert_uint_eq(get_stats().busy, 1);
    sem_post(&sleeper.go);
    sem_wait(&sleeper.settled);
    end(&waiting);
    finish();
}
END_TEST

static void work_then_wait_body(struct task *task) {
    task->gave = sched_will_block(task->thread);
    sem_post(&task->started);
    sem_wait(&task->go);
    peer_body(task);
}

/* The same when the owner is known to wait in the loop by then. */
START_TEST(test_wakes_the_loop)
{
    struct task tasks[2], queued;
    config.peer_waits_max = MANY;
    config.queue_limit = 1;
    start(2);
    for (int i = 0; i < 2; i++)
        begin(&tasks[i], work_then_wait_body);
    task_init(&queued, 2, NULL);
    submit(&queued);
    ping();
    ck_assert_uint_eq(get_stats().queued, 1);
    sem_post(&tasks[0].go);
    sem_wait(&queued.settled);
    sem_post(&tasks[1].go);
    end_all(tasks, 2);
    finish();
}
END_TEST

static uint64_t ran;

static void ran_cb(void *arg) {
    (void)arg;
    ran = sched->queue.lines[LINE_ORDINARY].backlog.ran;
}

/* What is known of how long jobs take is without it. */
START_TEST(test_is_no_time_of_the_job)
{
    const uint64_t second = 1000000000;
    struct task waiting;
    config.peer_waits_max = 1;
    start(2);
    for (int i = 0; i < 2; i++) {
        begin(&waiting, peer_body);
        waiting.job.begun_at -= 100 * second;
        waiting.thread->waits_since -= 99 * second;
        end(&waiting);
        on_owner(ran_cb, NULL);
        ck_assert_uint_ge(ran, (uint64_t)(i + 1) * second);
        ck_assert_uint_lt(ran, (uint64_t)(i + 1) * 10 * second);
    }
    finish();
}
END_TEST

/* A job that has begun does not wait for others when its peer is there; but no further one is started meanwhile. */
START_TEST(test_goes_on_at_once)
{
    struct task waiting, sleepers[2], queued;
    config.peer_waits_max = MANY;
    config.queue_limit = 1;
    start(2);
    begin(&waiting, peer_body);
    for (int i = 0; i < 2; i++)
        begin(&sleepers[i], give_and_sleep_body);
    sem_post(&waiting.go);
    while (get_stats().busy != 3 || get_stats().peer_waits)
        sched_yield();
    task_init(&queued, 2, NULL);
    submit(&queued);
    ping();
    sem_post(&sleepers[0].go);
    sem_wait(&sleepers[0].settled);
    ping();
    ck_assert_uint_eq(get_stats().busy, 2);
    ck_assert_uint_eq(get_stats().queued, 1);
    end(&waiting);
    sem_wait(&queued.settled);
    sem_post(&sleepers[1].go);
    sem_wait(&sleepers[1].settled);
    finish();
}
END_TEST

/* With one thread one job runs at a time, from its beginning to its end. */
START_TEST(test_single_thread)
{
    struct task waiting, other;
    config.peer_waits_max = MANY;
    config.queue_limit = 1;
    start(1);
    begin(&waiting, peer_body);
    ck_assert(waiting.gave);
    ck_assert_uint_eq(get_stats().busy, 1);
    task_init(&other, 2, NULL);
    submit(&other);
    ping();
    ck_assert_int_eq(atomic_load(&other.runs), 0);
    end(&waiting);
    sem_wait(&other.settled);
    ck_assert_uint_eq(get_stats().threads, 2);
    finish();
}
END_TEST

/* Starts with two threads, room for so many peer waits, and patience for `ns` of every wait. */
static void start_patient(unsigned waits, uint64_t ns) {
    config.peer_waits_max = waits;
    config.queue_limit = 1;
    start(2);
    sched->peer_waits.patience = ns;
    sched->peer_waits.pause = FOREVER_NS;
}

/* Of those beyond the bound the ones give way that have waited for longest; others run, whatever they do. */
START_TEST(test_too_many)
{
    struct task waiting[6], quick;
    start_patient(2, 0);
    log_catch();
    for (int i = 0; i < 6; i++) {
        begin(&waiting[i], peer_body);
        if (i >= 2)
            sem_wait(&waiting[i - 2].settled);
    }
    ping();
    int lines = log_lines();
    ck_assert_int_ge(lines, 1); /* at most one a second */
    ck_assert_ptr_nonnull(strstr(logged, "3 calls wait for their peers, and there can be no more threads: "));
    for (int i = 0; i < 6; i++)
        ck_assert_int_eq(atomic_load(&waiting[i].told), i < 4);
    ck_assert_uint_eq(get_stats().peer_waits, 2);
    ck_assert_uint_eq(get_stats().busy, 0);
    task_init(&quick, 2, NULL);
    run_one(&quick);
    end_all(&waiting[4], 2);
    finish();
}
END_TEST

/* None that has just begun to wait: it would soon go on. It is looked at again when it has waited for long enough. */
START_TEST(test_patience)
{
    struct task waiting[3];
    start_patient(2, FOREVER_NS);
    begin_all(waiting, 3);
    ping();
    ck_assert_uint_eq(get_stats().peer_waits, 3);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(atomic_load(&waiting[i].told), 0);
    ck_assert(ev_is_active(&sched->peer_waits.timer));
    end_all(waiting, 3);
    finish();
}
END_TEST

START_TEST(test_patience_ends)
{
    struct task waiting[3];
    start_patient(2, 20000000);
    begin_all(waiting, 3);
    sem_wait(&waiting[0].settled);
    ck_assert_int_eq(atomic_load(&waiting[0].told), 1);
    ping();
    ck_assert_int_eq(atomic_load(&waiting[1].told) + atomic_load(&waiting[2].told), 0);
    end_all(&waiting[1], 2);
    finish();
}
END_TEST

/* One that goes on is none that waits, and one that waits again has only begun to. */
START_TEST(test_who_went_on)
{
    struct task waiting[3];
    start_patient(2, 0);
    begin(&waiting[0], peer_body);
    begin(&waiting[1], peer_body);
    sem_post(&waiting[0].go);
    while (get_stats().peer_waits != 1)
        sched_yield();
    begin(&waiting[2], peer_body);
    ping();
    ck_assert_int_eq(atomic_load(&waiting[1].told), 0);
    end(&waiting[0]);
    end_all(&waiting[1], 2);
    finish();
}
END_TEST

/* A system that has no more threads: for a further job the one gives way that has waited for longest, and for a second
 * one not at once the next: the first may need some time to end. */
START_TEST(test_no_thread)
{
    struct task waiting[3];
    start_patient(MANY, 0);
    begin_all(waiting, 2);
    ping();
    log_catch();
    forbid_threads(true);
    task_init(&waiting[2], 1, peer_body);
    submit(&waiting[2]);
    sem_wait(&waiting[0].settled);
    sem_wait(&waiting[2].started);
    ping();
    forbid_threads(false);
    int lines = log_lines();
    ck_assert_int_eq(lines, 2);
    ck_assert_ptr_nonnull(strstr(logged, "cannot start thread 4 of "));
    ck_assert_int_eq(atomic_load(&waiting[0].told), 1);
    ck_assert_int_eq(atomic_load(&waiting[1].told), 0);
    end_all(&waiting[1], 2);
    ck_assert(waiting[2].gave);
    finish();
}
END_TEST

/* None gives way for want of a thread while there are threads, and the job only has to wait for those that run. */
START_TEST(test_all_busy)
{
    struct task waiting, sleepers[2], queued;
    start_patient(MANY, 0);
    begin(&waiting, peer_body);
    for (int i = 0; i < 2; i++)
        begin(&sleepers[i], give_and_sleep_body);
    task_init(&queued, 2, NULL);
    submit(&queued);
    ping();
    ck_assert_int_eq(atomic_load(&waiting.told), 0);
    for (int i = 0; i < 2; i++) {
        sem_post(&sleepers[i].go);
        sem_wait(&sleepers[i].settled);
    }
    sem_wait(&queued.settled);
    end(&waiting);
    finish();
}
END_TEST

static void *foreign_main(void *arg) {
    struct task *task = arg;
    sched_peer_wait_begins(task->thread);
    task->left = (int)get_stats().peer_waits;
    sched_peer_wait_ends(task->thread);
    return NULL;
}

static void foreign_body(struct task *task) {
    pthread_t id;
    task->gave = sched_will_block(task->thread);
    REQUIRE(!pthread_create(&id, NULL, foreign_main, task));
    pthread_join(id, NULL);
}

/* What a thread of the application waits for says nothing of the job. */
START_TEST(test_not_the_thread_of_the_job)
{
    struct task task;
    config.peer_waits_max = MANY;
    config.queue_limit = 1;
    start(2);
    task_init(&task, 1, foreign_body);
    run_one(&task);
    ck_assert(task.gave);
    ck_assert_int_eq(task.left, 0);
    finish();
}
END_TEST

static void baton_body(struct task *task) {
    sched_peer_wait_begins(NULL);
    sched_peer_wait_begins(task->thread);
    task->left = (int)get_stats().peer_waits;
    sched_peer_wait_ends(task->thread);
    sched_peer_wait_ends(NULL);
}

START_TEST(test_with_the_baton)
{
    struct task task;
    config.peer_waits_max = MANY;
    config.queue_limit = 1;
    start(2);
    task_init(&task, 1, baton_body);
    run_one(&task);
    ck_assert_int_eq(task.left, 0);
    ck_assert_uint_eq(get_stats().busy, 0);
    finish();
}
END_TEST

/* They end like jobs that are at work. */
START_TEST(test_quit)
{
    struct task waiting[2];
    config.peer_waits_max = MANY;
    config.queue_limit = 1;
    start_watched(2);
    begin_all(waiting, 2);
    on_owner(quit_cb, NULL);
    while (sched_join(sched, clock_ns()) > 2) /* the owner ends */
        sched_yield();
    ck_assert_uint_eq(sched_join(sched, clock_ns()), 2);
    for (int i = 0; i < 2; i++)
        let_go(&waiting[i]);
    join();
}
END_TEST

int main(void) {
    Suite *suite = suite_create("sched_peer_wait");
    TCase *c = tcase_create("sched_peer_wait");
    suite_add_tcase(suite, c);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, test_others_run);
    tcase_add_test(c, test_threads_are_used_again);
    tcase_add_test(c, test_sleepers_are_noticed);
    tcase_add_test(c, test_frees_its_thread);
    tcase_add_test(c, test_wakes_the_loop);
    tcase_add_test(c, test_is_no_time_of_the_job);
    tcase_add_test(c, test_goes_on_at_once);
    tcase_add_test(c, test_single_thread);
    tcase_add_test(c, test_too_many);
    tcase_add_test(c, test_patience);
    tcase_add_test(c, test_patience_ends);
    tcase_add_test(c, test_who_went_on);
    tcase_add_test(c, test_no_thread);
    tcase_add_test(c, test_all_busy);
    tcase_add_test(c, test_not_the_thread_of_the_job);
    tcase_add_test(c, test_with_the_baton);
    tcase_add_test(c, test_quit);
    return unit_run(suite);
}
