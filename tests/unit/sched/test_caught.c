#include "config.h"

#include "sched/sched.h"

#include "sched_rig.h"

/* What others are told of jobs that compute, and what they are worth to the watch. */

static int tells; /* the owner's */
static atomic_bool told, idle, released;
static atomic_int asked;

static void caught_cb(bool caught, void *arg) {
    REQUIRE(arg == &told);
    REQUIRE(caught != atomic_load(&told));
    check_owner();
    tells++;
    atomic_store(&told, caught);
}

static bool hurries_cb(void *arg) {
    REQUIRE(arg == &told);
    atomic_fetch_add(&asked, 1);
    return atomic_load(&idle);
}

static struct sched_thread *lets_go;

static bool released_cb(struct sched_thread *thread, void *user) {
    (void)user;
    return atomic_load(&released) || thread == lets_go;
}

static void start_told(unsigned threads) {
    config.caught = caught_cb;
    config.hurries = hurries_cb;
    config.others_arg = &told;
    config.thread_released = released_cb;
    start(threads);
}

static void compute_body(struct task *task) {
    sem_post(&task->started);
    while (!atomic_load(&task->stop))
        ;
}

static void compute_and_sleep_body(struct task *task) {
    compute_body(task);
    sem_wait(&task->go);
}

static struct watch eyes;

static void look(unsigned times) {
    while (times--)
        look_at_busy(&eyes);
}

static void submit_computing(struct task *task) {
    task_init(task, 1, compute_body);
    submit(task);
    sem_wait(&task->started);
    look(1);
}

static void end(struct task *task) {
    atomic_store(&task->stop, true);
    sem_wait(&task->settled);
    ping();
}

static void wait_told(bool caught) {
    while (atomic_load(&told) != caught)
        sched_yield();
}

START_TEST(test_told_until_the_job_ends)
{
    struct task task;
    start_told(4);
    submit_computing(&task);
    look(4);
    ping();
    ck_assert(atomic_load(&told));
    end(&task);
    ck_assert(!atomic_load(&told));
    ck_assert_int_eq(tells, 2);
    finish();
}
END_TEST

/* The next job begins when the hold is over. */
START_TEST(test_told_for_longer_than_the_hold)
{
    struct task task, next;
    start_told(4);
    submit_computing(&task);
    look(4);
    task_init(&next, 2, NULL);
    run_one(&next);
    ck_assert_uint_eq(atomic_load(&sched->hold.computing), 0);
    look(20);
    ping();
    ck_assert(atomic_load(&told));
    ck_assert_uint_eq(atomic_load(&sched->followed), 1);
    end(&task);
    ck_assert_int_eq(tells, 2);
    finish();
}
END_TEST

START_TEST(test_told_until_the_last_of_two_ends)
{
    struct task tasks[2];
    start_told(4);
    for (int i = 0; i < 2; i++) {
        submit_computing(&tasks[i]);
        look(4);
    }
    ping();
    ck_assert_uint_eq(get_stats().taken_computing, 2);
    end(&tasks[0]);
    ck_assert(atomic_load(&told));
    end(&tasks[1]);
    ck_assert(!atomic_load(&told));
    ck_assert_int_eq(tells, 2);
    finish();
}
END_TEST

START_TEST(test_told_when_it_lets_go_and_computes_again)
{
    struct task task;
    start_told(4);
    submit_computing(&task);
    look(4);
    wait_told(true);
    for (int i = 1; i <= 2; i++) {
        atomic_store(&released, true);
        look(1);
        wait_told(false);
        atomic_store(&released, false);
        look(1);
        wait_told(true);
        ping();
        ck_assert_int_eq(tells, 2 * i + 1);
    }
    end(&task);
    finish();
}
END_TEST

static void run_holding(struct task *task) {
    submit(task);
    sem_wait(&task->started);
    look(5);
    wait_told(true);
    look(3);
    end(task);
}

/* Whose kind is known to compute begins without the loop when others have time, and they know it at once. */
START_TEST(test_known_to_compute)
{
    struct task task;
    start_told(4);
    task_init(&task, 1, compute_body);
    run_holding(&task);
    ck_assert_uint_eq(get_stats().handed_over, 0);
    atomic_store(&task.stop, false);
    run_holding(&task);
    ck_assert_uint_eq(get_stats().handed_over, 0); /* nobody had time */
    ck_assert_int_eq(tells, 4);
    atomic_store(&idle, true);
    atomic_store(&task.stop, false);
    submit(&task);
    wait_told(true);
    sem_wait(&task.started);
    ck_assert_uint_eq(get_stats().handed_over, 1);
    ck_assert_uint_eq(get_stats().taken_computing, 2);
    look(1);
    end(&task); /* so short that the next one keeps the loop */
    atomic_store(&task.stop, true);
    run_one(&task);
    ck_assert_uint_eq(get_stats().handed_over, 1);
    finish();
}
END_TEST

/* It was handed over since such jobs sleep. */
START_TEST(test_found_to_compute)
{
    struct task task;
    start_told(4);
    make_predicted(1);
    task_init(&task, 1, compute_body);
    submit(&task);
    sem_wait(&task.started);
    look(1);
    ping();
    ck_assert(!atomic_load(&told));
    look(1);
    wait_told(true);
    end(&task);
    ck_assert_int_eq(tells, 2);
    ck_assert(predict_holds(kind_of(1)));
    finish();
}
END_TEST

/* A job that is without the lock while another one has it may be waiting for it. */
START_TEST(test_who_may_wait_for_the_lock_has_not_let_go)
{
    struct task task, other;
    start_told(4);
    submit_computing(&task);
    look(4);
    wait_told(true);
    task_init(&other, 2, sleep_body);
    submit(&other);
    wait_asleep(&other);
    lets_go = task.thread;
    look(3); /* at first the other one has the loop */
    ping();
    ck_assert(atomic_load(&told));
    sem_post(&other.go);
    sem_wait(&other.settled);
    look(1);
    wait_told(false);
    end(&task);
    finish();
}
END_TEST

/* However many are handed over, few are looked at. */
START_TEST(test_few_are_looked_at)
{
    enum { MANY = 12 };
    struct task tasks[MANY];
    start_told(MANY + 1);
    make_predicted(1);
    for (int i = 0; i < MANY; i++) {
        task_init(&tasks[i], 1, sleep_body);
        submit(&tasks[i]);
    }
    for (int i = 0; i < MANY; i++)
        wait_asleep(&tasks[i]);
    ck_assert_uint_eq(atomic_load(&sched->caught.looked_at), 8);
    atomic_store(&released, true);
    look(10);
    ck_assert_uint_eq(atomic_load(&sched->caught.looked_at), 0);
    for (int i = 0; i < MANY; i++) {
        sem_post(&tasks[i].go);
        sem_wait(&tasks[i].settled);
    }
    ping();
    ck_assert_int_eq(tells, 0);
    ck_assert(!predict_holds(kind_of(1)));
    finish();
}
END_TEST

/* A job that computed once and sleeps ever since does not keep the watch awake. */
START_TEST(test_who_sleeps_is_looked_at_no_more)
{
    struct task task;
    start_told(4);
    watch_start();
    task_init(&task, 1, compute_and_sleep_body);
    submit(&task);
    wait_told(true);
    atomic_store(&task.stop, true);
    wait_told(false);
    wait_parked();
    ck_assert_uint_eq(atomic_load(&sched->followed), 0);
    sem_post(&task.go);
    sem_wait(&task.settled);
    ck_assert_int_eq(tells, 2);
    finish();
}
END_TEST

START_TEST(test_nobody_is_told_of_who_sleeps)
{
    struct task sleeper;
    start_told(4);
    watch_start();
    task_init(&sleeper, 1, sleep_body);
    submit(&sleeper);
    wait_asleep(&sleeper);
    ping();
    sem_post(&sleeper.go);
    sem_wait(&sleeper.settled);
    if (!get_stats().taken_computing)
        ck_assert_int_eq(tells, 0);
    finish();
}
END_TEST

static void sleep_with_one_thread(uint32_t key) {
    struct task sleeper;
    start_told(1);
    make_predicted(2);
    watch_start();
    task_init(&sleeper, key, sleep_body);
    for (int i = 1; i <= 2; i++) { /* the second time on an idle thread, which is the only veteran */
        submit(&sleeper);
        wait_asleep(&sleeper);
        wait_told(true);
        sem_post(&sleeper.go);
        sem_wait(&sleeper.settled);
        wait_told(false);
        ping();
        ck_assert_int_eq(tells, 2 * i);
    }
    finish();
}

START_TEST(test_told_when_no_thread_is_free)
{ sleep_with_one_thread(1); }
END_TEST

START_TEST(test_told_when_no_thread_is_free_as_was_foreseen)
{ sleep_with_one_thread(2); }
END_TEST

/* The watch. */

START_TEST(test_in_a_hurry_when_others_are_idle)
{
    struct task task;
    atomic_store(&idle, true);
    start_told(4);
    submit_computing(&task);
    ck_assert_int_eq(atomic_load(&asked), 0); /* of a call that has just begun */
    look(1);
    ck_assert_int_eq(atomic_load(&asked), 1);
    ck_assert_uint_eq(get_stats().taken_computing, 1);
    end(&task);
    finish();
}
END_TEST

START_TEST(test_no_hurry_when_nobody_is)
{
    struct task task;
    start_told(4);
    submit_computing(&task);
    look(3);
    ck_assert_int_eq(atomic_load(&asked), 3);
    ck_assert_uint_eq(get_stats().taken_computing, 0);
    look(1);
    ck_assert_uint_eq(get_stats().taken_computing, 1);
    end(&task);
    finish();
}
END_TEST

START_TEST(test_no_hurry_when_the_lock_is_free)
{
    struct task task;
    atomic_store(&idle, true);
    atomic_store(&released, true);
    start_told(4);
    submit_computing(&task);
    look(2);
    ck_assert_int_eq(atomic_load(&asked), 0);
    ck_assert_uint_eq(get_stats().taken_computing, 0);
    ck_assert_uint_eq(get_stats().taken_free, 1);
    end(&task);
    ck_assert_int_eq(tells, 0);
    finish();
}
END_TEST

START_TEST(test_alone_nobody_is_asked)
{
    struct task task;
    start(4);
    submit_computing(&task);
    look(3);
    ck_assert_uint_eq(get_stats().taken_computing, 0);
    look(1);
    ck_assert_uint_eq(get_stats().taken_computing, 1);
    ck_assert_uint_eq(atomic_load(&sched->followed), 0);
    end(&task);
    finish();
}
END_TEST

/* The order. */

static void submit_all(void *arg) {
    struct task *tasks = arg;
    for (int i = 0; i < 4; i++)
        REQUIRE(sched_submit(sched, &tasks[i].job));
}

/* Every other one of four is quick, the last one too. */
static void run_four(struct task *tasks) {
    make_quick(2);
    for (int i = 0; i < 4; i++)
        task_init(&tasks[i], i % 2 ? 2 : 1, NULL);
    on_owner(submit_all, tasks);
    for (int i = 0; i < 4; i++)
        sem_wait(&tasks[i].settled);
    ping();
}

START_TEST(test_quick_ones_go_first)
{
    struct task tasks[4];
    config.queue_limit = 4;
    start_told(2);
    run_four(tasks);
    ck_assert_ptr_eq(settled_order[0], &tasks[1]);
    ck_assert_ptr_eq(settled_order[1], &tasks[3]);
    ck_assert_ptr_eq(settled_order[2], &tasks[0]);
    ck_assert_ptr_eq(settled_order[3], &tasks[2]);
    finish();
}
END_TEST

START_TEST(test_alone_in_order)
{
    struct task tasks[4];
    config.queue_limit = 4;
    start(2);
    run_four(tasks);
    for (int i = 0; i < 4; i++)
        ck_assert_ptr_eq(settled_order[i], &tasks[i]);
    finish();
}
END_TEST

/* Jobs that run detached: the rest is asked of all jobs of all tests (sched_rig.h). */

START_TEST(test_who_keeps_the_loop_is_not_detached)
{
    struct task task;
    start(2);
    task_init(&task, 1, NULL);
    run_one(&task);
    ck_assert_int_eq(task.detached, 0);
    finish();
}
END_TEST

START_TEST(test_who_loses_the_loop_is_detached)
{
    struct task task;
    start(2);
    submit_computing(&task);
    look(4);
    ping();
    ck_assert_int_eq(task.detached, 1);
    ck_assert_int_eq(task.rejoined, 0);
    end(&task);
    ck_assert_int_eq(task.rejoined, 1);
    finish();
}
END_TEST

START_TEST(test_who_gives_the_loop_away_is_detached)
{
    struct task task;
    start(2);
    task_init(&task, 1, give_and_sleep_body);
    submit(&task);
    wait_asleep(&task);
    ping();
    ck_assert_int_eq(task.detached, 1);
    sem_post(&task.go);
    sem_wait(&task.settled);
    ck_assert_int_eq(task.rejoined, 1);
    finish();
}
END_TEST

START_TEST(test_who_begins_without_the_loop_is_detached)
{
    struct task task;
    start(2);
    make_predicted(1);
    task_init(&task, 1, sleep_body);
    submit(&task);
    wait_asleep(&task);
    ping();
    ck_assert_uint_eq(get_stats().handed_over, 1);
    ck_assert_int_eq(task.detached, 1);
    sem_post(&task.go);
    sem_wait(&task.settled);
    ck_assert_int_eq(task.rejoined, 1);
    finish();
}
END_TEST

int main(void) {
    Suite *suite = suite_create("sched_caught");
    TCase *c = tcase_create("sched_caught");
    suite_add_tcase(suite, c);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, test_told_until_the_job_ends);
    tcase_add_test(c, test_told_for_longer_than_the_hold);
    tcase_add_test(c, test_told_until_the_last_of_two_ends);
    tcase_add_test(c, test_told_when_it_lets_go_and_computes_again);
    tcase_add_test(c, test_known_to_compute);
    tcase_add_test(c, test_found_to_compute);
    tcase_add_test(c, test_who_may_wait_for_the_lock_has_not_let_go);
    tcase_add_test(c, test_few_are_looked_at);
    tcase_add_test(c, test_who_sleeps_is_looked_at_no_more);
    tcase_add_test(c, test_nobody_is_told_of_who_sleeps);
    tcase_add_test(c, test_told_when_no_thread_is_free);
    tcase_add_test(c, test_told_when_no_thread_is_free_as_was_foreseen);
    tcase_add_test(c, test_in_a_hurry_when_others_are_idle);
    tcase_add_test(c, test_no_hurry_when_nobody_is);
    tcase_add_test(c, test_no_hurry_when_the_lock_is_free);
    tcase_add_test(c, test_alone_nobody_is_asked);
    tcase_add_test(c, test_quick_ones_go_first);
    tcase_add_test(c, test_alone_in_order);
    tcase_add_test(c, test_who_keeps_the_loop_is_not_detached);
    tcase_add_test(c, test_who_loses_the_loop_is_detached);
    tcase_add_test(c, test_who_gives_the_loop_away_is_detached);
    tcase_add_test(c, test_who_begins_without_the_loop_is_detached);
    return unit_run(suite);
}
