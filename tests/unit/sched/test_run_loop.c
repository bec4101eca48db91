#include "config.h"

#include "sched/sched.h"

#include "sched_rig.h"

/* Jobs that run the loop themselves while they wait for what it brings. */

static pthread_t errand_thread;
static bool ran_loop;

/* What a waiting job waits for. */
static void bring(void *arg) {
    struct task *task = arg;
    errand_thread = pthread_self();
    task->left--;
}

static void wait_body(struct task *task) {
    sem_post(&task->started);
    while (task->left > 0)
        REQUIRE(sched_run_loop(task->thread));
}

static void wait_and_sleep_body(struct task *task) {
    wait_body(task);
    sem_wait(&task->go);
}

static void begin(struct task *task, void (*body)(struct task *task), int left) {
    task_init(task, 1, body);
    task->left = left;
    submit(task);
    sem_wait(&task->started);
}

/* Both are ready before the loop runs for the first time, and the second one is known to be quick. */
static void run_both(struct task *first, struct task *second) {
    make_quick(second->job.key);
    ck_assert(sched_submit(sched, &first->job));
    ck_assert(sched_submit(sched, &second->job));
    ck_assert_int_eq(sched_start(sched), 0);
    sem_wait(&first->settled);
}

/* No other thread is needed. */
START_TEST(test_runs_the_loop)
{
    struct task task;
    start(2);
    begin(&task, wait_body, 2);
    on_owner(bring, &task);
    on_owner(bring, &task);
    sem_wait(&task.settled);
    ck_assert(pthread_equal(errand_thread, task.ran_on));
    ck_assert_uint_eq(get_stats().threads, 1);
    ck_assert_uint_eq(get_stats().busy, 0);
    finish();
}
END_TEST

/* The loop is not unattended meanwhile, and is afterwards. */
START_TEST(test_watched)
{
    struct task task;
    start_watched(2);
    begin(&task, wait_and_sleep_body, 1);
    wait_parked();
    ping();
    ck_assert_uint_eq(get_stats().threads, 1);
    on_owner(bring, &task);
    ping(); /* the watch took the loop from the sleeper */
    ck_assert_uint_eq(get_stats().threads, 2);
    ck_assert_uint_eq(get_stats().busy, 1);
    sem_post(&task.go);
    sem_wait(&task.settled);
    finish();
}
END_TEST

static void wait_or_give_body(struct task *task) {
    sem_post(&task->started);
    while (sched_run_loop(task->thread))
        ;
    REQUIRE(!task->left);
    task->gave = sched_will_block(task->thread);
    sem_wait(&task->go);
}

static void bring_job(void *arg) {
    struct task **tasks = arg;
    tasks[0]->left--;
    submit_cb(tasks[1]);
}

/* Another job is not held up by one that waits. */
START_TEST(test_another_job_comes)
{
    struct task task, other, *both[] = {&task, &other};
    start(2);
    begin(&task, wait_or_give_body, 1);
    task_init(&other, 2, NULL);
    on_owner(bring_job, both);
    ck_assert(other.accepted);
    sem_wait(&other.settled);
    ck_assert_uint_eq(get_stats().busy, 1);
    sem_post(&task.go);
    sem_wait(&task.settled);
    ck_assert(task.gave);
    finish();
}
END_TEST

static void try_body(struct task *task) {
    ran_loop = sched_run_loop(task->thread);
    task->gave = sched_will_block(task->thread);
}

START_TEST(test_another_job_is_there)
{
    struct task task, other;
    config.queue_limit = 2;
    make(2);
    task_init(&task, 1, try_body);
    task_init(&other, 2, NULL);
    run_both(&task, &other);
    sem_wait(&other.settled);
    ck_assert(!ran_loop);
    ck_assert(task.gave);
    finish();
}
END_TEST

static void *other_thread_main(void *arg) {
    REQUIRE(!sched_run_loop(arg));
    return NULL;
}

static void not_its_own_body(struct task *task) {
    pthread_t helper;
    REQUIRE(!pthread_create(&helper, NULL, other_thread_main, task->thread));
    pthread_join(helper, NULL);
    REQUIRE(sched_will_block(task->thread));
    REQUIRE(!sched_run_loop(task->thread));
}

/* Neither without the baton nor on a thread of the application. */
START_TEST(test_not_the_owner)
{
    struct task task;
    start(2);
    task_init(&task, 1, not_its_own_body);
    run_one(&task);
    make_predicted(1);
    run_one(&task); /* never had it */
    ck_assert_uint_eq(get_stats().handed_over, 1);
    finish();
}
END_TEST

static void keep_body(struct task *task) {
    kept = sched_goes_on(task->thread);
    no_events_before_the_next();
}

/* As Python does: what the job before has left is given back before the wait, and is no business of the loop. */
static void let_go_body(struct task *task) {
    REQUIRE(kept);
    kept = false;
    while (task->left > 0)
        REQUIRE(sched_run_loop(task->thread));
    kept = true;
    kept = sched_goes_on(task->thread);
}

static void settled_and_paused(void *arg) {
    REQUIRE(nsettled == 1);
    sched_pause(sched);
    REQUIRE(!atomic_load(&pauses));
    bring(arg);
}

/* Answers that were to leave with that of the next job do not wait with it. */
START_TEST(test_settles_what_has_ended)
{
    struct task quick, waiting;
    config.queue_limit = 2;
    make(2);
    task_init(&quick, 1, keep_body);
    task_init(&waiting, 2, let_go_body);
    waiting.left = 1;
    run_both(&quick, &waiting);
    on_owner(settled_and_paused, &waiting);
    sem_wait(&waiting.settled);
    finish();
    ck_assert_int_eq(atomic_load(&pauses), 1);
}
END_TEST

static void note_body(struct task *task) {
    (void)task;
    no_events_before_the_next();
}

static void try_loop_body(struct task *task) {
    ran_loop = sched_run_loop(task->thread);
}

static void submit_on_settle(struct task *task) {
    submit_cb(task + 1);
}

/* The one that waits has to make room for a job that settling brings. */
START_TEST(test_settling_brings_another_job)
{
    struct task tasks[3];
    config.queue_limit = 2;
    make(2);
    task_init(&tasks[0], 1, note_body);
    task_init(&tasks[1], 2, NULL);
    task_init(&tasks[2], 3, try_loop_body);
    tasks[0].on_settle = submit_on_settle;
    run_both(&tasks[0], &tasks[2]);
    for (int i = 1; i < COUNT(tasks); i++)
        sem_wait(&tasks[i].settled);
    ck_assert(!ran_loop);
    finish();
}
END_TEST

static void bring_to_next(struct task *task) {
    bring(task + 1);
}

static void wait_without_events_body(struct task *task) {
    uint64_t polled = sched->owner.polled;
    wait_body(task);
    REQUIRE(sched->owner.polled == polled);
}

/* What is waited for may come in that way, and nothing else may come any more: nobody waits for events then. */
START_TEST(test_settling_brings_it)
{
    struct task tasks[2];
    config.queue_limit = 2;
    make(2);
    task_init(&tasks[0], 1, note_body);
    task_init(&tasks[1], 2, wait_without_events_body);
    tasks[0].on_settle = bring_to_next;
    tasks[1].left = 1;
    run_both(&tasks[0], &tasks[1]);
    sem_wait(&tasks[1].settled);
    finish();
}
END_TEST

/* A job that waits has a thread as any other: no more may wait in the queue than without it. */
static void submit_two(void *arg) {
    submit_cb(arg);
    submit_cb((struct task *)arg + 1);
}

START_TEST(test_queue_limit)
{
    struct task task, others[2];
    config.queue_limit = 1;
    start(1);
    begin(&task, wait_or_give_body, 0);
    for (int i = 0; i < 2; i++)
        task_init(&others[i], 2, NULL);
    on_owner(submit_two, others);
    ck_assert(others[0].accepted);
    ck_assert(!others[1].accepted);
    sem_post(&task.go);
    sem_wait(&task.settled);
    sem_wait(&others[0].settled);
    finish();
}
END_TEST

static void *give_main(void *arg) {
    struct task *task = arg;
    sem_wait(&task->go);
    task->gave = sched_will_block(task->thread);
    atomic_store(&task->stop, true);
    return NULL;
}

static struct sched_note event;
static atomic_bool event_posted;

static void event_came(struct sched_note *note) {
    (void)note;
    atomic_store(&event_posted, false);
}

static void run_loop_often_body(struct task *task) {
    pthread_t helper;
    REQUIRE(!pthread_create(&helper, NULL, give_main, task));
    sem_post(&task->go);
    while (!atomic_load(&task->stop)) {
        if (!atomic_exchange(&event_posted, true))
            sched_post(sched, &event);
        if (!sched_run_loop(task->thread))
            break;
    }
    pthread_join(helper, NULL);
}

/* A thread of the application, which gives the baton away for the job while that comes and goes: there is always a thread
 * to be had, or the job runs the loop. */
START_TEST(test_given_by_another_thread)
{
    enum { ROUNDS = 2000 };
    struct task task;
    event.call = event_came;
    start(2);
    for (int i = 0; i < ROUNDS; i++) {
        task_init(&task, (uint32_t)i, run_loop_often_body);
        run_one(&task);
        ck_assert(task.gave);
        ping();
    }
    finish();
}
END_TEST

/* To wait in this way leaves the loop no moment alone: the next call of the kind is not handed over for it. */
START_TEST(test_no_sign_of_blocking)
{
    struct task task;
    struct predict_kind *kind;
    start(2);
    kind = kind_of(1);
    atomic_store(&kind->measure, PREDICT_MEASURE_CALLS);
    begin(&task, wait_body, 1);
    while (!threads_is_asleep(task.thread))
        sched_yield();
    on_owner(bring, &task);
    sem_wait(&task.settled);
    ping();
    ck_assert_uint_eq(atomic_load(&kind->blind_ns), 0);
    ck_assert_uint_eq(atomic_load(&kind->measure), PREDICT_MEASURE_CALLS - 1);
    finish();
}
END_TEST

static void sleep_and_wait_body(struct task *task) {
    sleep_body(task);
    while (task->left > 0)
        sched_run_loop(task->thread);
}

static void sleep_and_give_body(struct task *task) {
    sleep_body(task);
    task->gave = sched_will_block(task->thread);
}

/* What it did before still is one. */
START_TEST(test_blocks_before_it_waits)
{
    struct task task;
    struct predict_kind *kind;
    start(2);
    kind = kind_of(1);
    atomic_store(&kind->measure, 1);
    task_init(&task, 1, _i ? sleep_and_give_body : sleep_and_wait_body);
    task.left = !_i;
    ck_assert(!atomic_load(&kind->blind_ns));
    submit(&task);
    wait_asleep(&task);
    for (uint64_t since = clock_ns(); clock_ns() - since < PREDICT_WATCH_NS;)
        ;
    sem_post(&task.go);
    if (!_i)
        on_owner(bring, &task);
    sem_wait(&task.settled);
    ping();
    ck_assert_uint_eq(atomic_load(&kind->blind_ns), PREDICT_WATCH_NS / PREDICT_WEIGHT);
    finish();
}
END_TEST

/* Nor is it one to give the baton away in time. */
START_TEST(test_given_is_no_sign_of_blocking)
{
    struct task task;
    struct predict_kind *kind;
    start(2);
    kind = kind_of(1);
    atomic_store(&kind->measure, 1);
    task_init(&task, 1, give_and_sleep_body);
    submit(&task);
    wait_asleep(&task);
    sem_post(&task.go);
    sem_wait(&task.settled);
    ck_assert(task.gave);
    ck_assert_uint_eq(atomic_load(&kind->blind_ns), 0);
    finish();
}
END_TEST

static void quit_in_loop_body(struct task *task) {
    sem_post(&task->started);
    ran_loop = sched_run_loop(task->thread);
    task->gave = sched_will_block(task->thread);
}

START_TEST(test_quit)
{
    struct task task;
    start(2);
    begin(&task, quit_in_loop_body, 0);
    on_owner(quit_cb, NULL);
    join();
    ck_assert(!ran_loop);
    ck_assert(!task.gave);
    ck_assert_int_eq(task.settles, 1);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("sched_run_loop");
    TCase *c = tcase_create("sched_run_loop");
    suite_add_tcase(suite, c);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, test_runs_the_loop);
    tcase_add_test(c, test_watched);
    tcase_add_test(c, test_another_job_comes);
    tcase_add_test(c, test_another_job_is_there);
    tcase_add_test(c, test_not_the_owner);
    tcase_add_test(c, test_settles_what_has_ended);
    tcase_add_test(c, test_settling_brings_another_job);
    tcase_add_test(c, test_settling_brings_it);
    tcase_add_test(c, test_queue_limit);
    tcase_add_test(c, test_given_by_another_thread);
    tcase_add_loop_test(c, test_blocks_before_it_waits, 0, 2);
    tcase_add_test(c, test_no_sign_of_blocking);
    tcase_add_test(c, test_given_is_no_sign_of_blocking);
    tcase_add_test(c, test_quit);
    return unit_run(suite);
}
