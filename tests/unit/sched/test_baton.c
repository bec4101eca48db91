#include "config.h"

#include "sched/sched.h"

#include "sched_rig.h"

#include <sys/resource.h>

/* Jobs that do not block. */

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

static void submit_again(struct task *task) {
    if (task->left && task->left--)
        REQUIRE(sched_submit(sched, &task->job));
}

START_TEST(test_submit_from_settle)
{
    enum { ROUNDS = 5000 };
    struct task task;
    start_watched(2);
    task_init(&task, 1, NULL);
    task.on_settle = submit_again;
    task.left = ROUNDS - 1;
    submit(&task);
    for (int i = 0; i < ROUNDS; i++)
        sem_wait(&task.settled);
    ping();
    ck_assert_int_eq(task.settles, ROUNDS);
    finish();
}
END_TEST

static bool enough; /* the owner's */

static void submit_until_enough(struct task *task) {
    if (!enough)
        REQUIRE(sched_submit(sched, &task->job));
}

static void set_enough(void *arg) {
    (void)arg;
    enough = true;
}

/* A queue that is never empty does not keep the loop from events. */
START_TEST(test_events_between_jobs)
{
    struct task tasks[2];
    start(2);
    for (int i = 0; i < 2; i++) {
        task_init(&tasks[i], 1, NULL);
        tasks[i].on_settle = submit_until_enough;
        submit(&tasks[i]);
    }
    ping();
    on_owner(set_enough, NULL);
    finish();
    ck_assert_int_eq(tasks[0].settles + tasks[1].settles, nsettled);
}
END_TEST

/* Jobs that sleep. */

START_TEST(test_one_sleeper_stops_nobody)
{
    struct task sleeper, task;
    start_watched(4);
    task_init(&sleeper, 1, sleep_body);
    task_init(&task, 2, NULL);
    submit(&sleeper);
    sem_wait(&sleeper.started);
    for (int i = 0; i < 1000; i++)
        run_one(&task);
    ck_assert_uint_ge(get_stats().taken_asleep + get_stats().taken_computing, 1);
    ck_assert_int_eq(atomic_load(&sleeper.runs), 1);
    sem_post(&sleeper.go);
    sem_wait(&sleeper.settled);
    ping();
    ck_assert_int_eq(sleeper.settles, 1);
    finish();
}
END_TEST

static void timer_cb(struct ev_loop *l, ev_timer *w, int revents) {
    (void)l;
    (void)revents;
    sem_post((sem_t *)w->data);
}

static void timer_start(void *arg) {
    ev_timer_start(loop, arg);
}

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

START_TEST(test_all_threads_asleep)
{
    enum { THREADS = 4, MORE = 3 };
    struct task sleepers[THREADS], more[MORE];
    ev_timer timer;
    sem_t fired;
    config.queue_limit = MORE;
    start_watched(THREADS);
    for (int i = 0; i < THREADS; i++) {
        task_init(&sleepers[i], 1, sleep_body);
        submit(&sleepers[i]);
    }
    for (int i = 0; i < THREADS; i++)
        sem_wait(&sleepers[i].started);
    for (int i = 0; i < MORE; i++) {
        task_init(&more[i], 2, NULL);
        submit(&more[i]);
    }
    sem_init(&fired, 0, 0);
    ev_timer_init(&timer, timer_cb, 0.001, 0.);
    timer.data = &fired;
    on_owner(timer_start, &timer);
    sem_wait(&fired);
    struct sched_stats stats = get_stats();
    ck_assert_uint_eq(stats.busy, THREADS);
    ck_assert_uint_eq(stats.queued, MORE);
    ck_assert_uint_eq(stats.threads, THREADS + 1);
    ck_assert_uint_eq(stats.veterans, THREADS);
    for (int i = 0; i < MORE; i++)
        ck_assert_int_eq(atomic_load(&more[i].runs), 0);
    sem_post(&sleepers[THREADS - 1].go);
    for (int i = 0; i < MORE; i++)
        sem_wait(&more[i].settled);
    for (int i = 0; i < THREADS; i++)
        sem_post(&sleepers[i].go);
    for (int i = 0; i < THREADS; i++)
        sem_wait(&sleepers[i].settled);
    finish();
}
END_TEST

/* Also without a /proc to look at: later, and for another reason. */
START_TEST(test_sleepers_without_proc)
{
    struct rlimit old, none = {0};
    struct task sleeper;
    make(2);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
    none.rlim_max = old.rlim_max;
    log_catch();
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    int result = sched_start(sched);
    ping();
    ck_assert_int_eq(log_lines(), 1);
    ck_assert_int_eq(result, 0);
    watch_start();
    task_init(&sleeper, 1, sleep_body);
    submit(&sleeper);
    sem_wait(&sleeper.started);
    ping();
    ck_assert_uint_eq(get_stats().taken_asleep, 0);
    ck_assert_uint_eq(get_stats().taken_computing, 1);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
    sem_post(&sleeper.go);
    sem_wait(&sleeper.settled);
    finish();
}
END_TEST

/* Prediction. */

/* Runs it once, asleep while the loop goes on. */
static void sleep_once(struct task *sleeper) {
    submit(sleeper);
    wait_asleep(sleeper);
    ping();
    sem_post(&sleeper->go);
    sem_wait(&sleeper->settled);
}

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

/* Jobs that compute. */

static void compute_body(struct task *task) {
    sem_post(&task->started);
    while (!atomic_load(&task->stop))
        ;
}

static void compute_and_sleep_body(struct task *task) {
    compute_body(task);
    sem_wait(&task->go);
}

static void lock_wait_body(struct task *task) {
    sched_lock_wait(task->thread);
    sleep_body(task);
    sched_lock_taken(task->thread);
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

/* All at once. */

enum { STRESS_JOBS = 20000, STRESS_TASKS = 100 };

static unsigned stress_submitted;
static sem_t stress_done;
static struct task stress_tasks[STRESS_TASKS];

static void compute_shortly(void) {
    for (uint64_t until = clock_ns() + 300000; clock_ns() < until;)
        ;
}

static void stress_body(struct task *task) {
    unsigned kind = (unsigned)task->left % 40;
    if (kind == 0)
        usleep(1000 + (unsigned)task->left % 2000);
    else if (kind == 1)
        compute_shortly();
    else if (kind == 2) {
        sched_will_block(task->thread);
        usleep(100);
    } else if (kind == 3) {
        sched_lock_wait(task->thread);
        usleep(100);
        sched_lock_taken(task->thread);
    } else if (kind == 4)
        sched_run_loop(task->thread);
    else if (kind == 5 && sched_will_block(task->thread)) {
        sched_peer_wait_begins(task->thread);
        usleep(100);
        sched_peer_wait_ends(task->thread);
    }
}

static void stress_submit(struct task *task) {
    if (stress_submitted == STRESS_JOBS)
        return;
    task->left = (int)stress_submitted++;
    task->job.key = (uint32_t)task->left % 120;
    REQUIRE(sched_submit(sched, &task->job));
}

static void stress_settle(struct task *task) {
    if (nsettled == STRESS_JOBS)
        sem_post(&stress_done);
    else if (task->left % 3)
        stress_submit(task);
    else
        task->accepted = false; /* the timer's */
}

static void stress_timer_cb(struct ev_loop *l, ev_timer *w, int revents) {
    (void)revents;
    for (int i = 0; i < STRESS_TASKS; i++) {
        if (!stress_tasks[i].accepted) {
            stress_tasks[i].accepted = true;
            stress_submit(&stress_tasks[i]);
        }
    }
    if (nsettled == STRESS_JOBS)
        ev_timer_stop(l, w);
}

START_TEST(test_stress)
{
    ev_timer timer;
    config.queue_limit = STRESS_TASKS;
    config.peer_waits_max = 4;
    start_watched(8);
    sem_init(&stress_done, 0, 0);
    for (int i = 0; i < STRESS_TASKS; i++) {
        task_init(&stress_tasks[i], 0, stress_body);
        stress_tasks[i].on_settle = stress_settle;
    }
    ev_timer_init(&timer, stress_timer_cb, 0., 0.001);
    on_owner(timer_start, &timer);
    sem_wait(&stress_done);
    ping();
    ck_assert_int_eq(nsettled, STRESS_JOBS);
    ck_assert_uint_eq(get_stats().queued, 0);
    ck_assert_uint_eq(get_stats().busy, 0);
    finish();
}
END_TEST

int main(void) {
    Suite *suite = suite_create("sched");
    TCase *c = tcase_create("sched");
    suite_add_tcase(suite, c);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, test_going_on);
    tcase_add_test(c, test_quit_behind_a_job);
    tcase_add_test(c, test_pause_in_settle);
    tcase_add_test(c, test_going_on_without_the_baton);
    tcase_add_test(c, test_not_alone);
    tcase_add_test(c, test_pause_before_handing_over);
    tcase_add_test(c, test_inline);
    tcase_add_test(c, test_submit_from_settle);
    tcase_add_test(c, test_events_between_jobs);
    tcase_add_test(c, test_one_sleeper_stops_nobody);
    tcase_add_test(c, test_look);
    tcase_add_test(c, test_all_threads_asleep);
    tcase_add_test(c, test_sleepers_without_proc);
    tcase_add_test(c, test_blocking_keys_are_handed_over);
    tcase_add_test(c, test_few_veterans);
    tcase_add_test(c, test_queue_waits_for_a_computing_job);
    tcase_add_test(c, test_queue_does_not_wait_when_the_computing_job_sleeps);
    tcase_add_test(c, test_lock_wait_is_not_sleep);
    tcase_add_test(c, test_lock_wait_predicts_nothing);
    tcase_add_test(c, test_endless_computation_does_not_stop_the_queue);
    tcase_add_test(c, test_will_block);
    tcase_add_test(c, test_will_block_from_another_thread);
    tcase_add_test(c, test_takers_against_ends);
    tcase_add_test(c, test_stress);
    return unit_run(suite);
}
