#include "config.h"

#include "sched/sched.h"

#include "unit/no_threads.h"
#include "sched_rig.h"

/* Threads beyond `threads` + 1 end when nobody needs them any more. */

enum { MANY = 8, KEPT = 2 + 1 };

static void peer_body(struct task *task) {
    task->gave = sched_will_block(task->thread);
    sched_peer_wait_begins(task->thread);
    sem_post(&task->started);
    sem_wait(&task->go);
    sched_peer_wait_ends(task->thread);
}

static void begin_all(struct task *tasks) {
    for (int i = 0; i < MANY; i++) {
        task_init(&tasks[i], 1, peer_body);
        submit(&tasks[i]);
        sem_wait(&tasks[i].started);
    }
    ping(); /* on the thread that will be left for the loop */
    ck_assert_uint_eq(get_stats().threads, MANY + 1);
}

static void end_all(struct task *tasks) {
    for (int i = 0; i < MANY; i++) {
        sem_post(&tasks[i].go);
        sem_wait(&tasks[i].settled);
    }
}

static void set_idle_cb(void *arg) {
    sched->retire.idle_ns = *(uint64_t *)arg;
}

static void start_idle(uint64_t idle_ns) {
    config.peer_waits_max = MANY;
    config.queue_limit = 1;
    start(2);
    sched->retire.idle_ns = idle_ns;
}

/* Though the owner, which is not idle, was the last one that was started. */
static void wait_few(void) {
    while (get_stats().threads > KEPT)
        sched_yield();
}

static void is_active_cb(void *arg) {
    *(bool *)arg = ev_is_active(&sched->retire.timer) || ev_is_pending(&sched->retire.timer);
}

static bool timer_is_active(void) {
    bool is_active;
    on_owner(is_active_cb, &is_active);
    return is_active;
}

/* Again and again, in the same places. What they keep goes with them (thread_stop of the rig). */
START_TEST(test_they_end)
{
    struct task tasks[MANY], quick;
    start_idle(0);
    for (int round = 0; round < 3; round++) {
        begin_all(tasks);
        end_all(tasks);
        wait_few();
        task_init(&quick, 2, NULL);
        run_one(&quick);
    }
    ck_assert_uint_ge(sched->pool.again, 1);
    finish();
}
END_TEST

/* From now on they end as soon as they are idle. */
static void hurry_cb(void *arg) {
    (void)arg;
    sched->retire.idle_ns = 0;
    ev_timer_stop(config.loop, &sched->retire.timer);
    ev_timer_set(&sched->retire.timer, 0., 0.);
    ev_timer_start(config.loop, &sched->retire.timer);
}

/* Some jobs go on and on, on threads that were started last and so are never idle for long: others end instead. */
START_TEST(test_the_busy_stay)
{
    struct task tasks[MANY], again;
    start_idle(FOREVER_NS);
    begin_all(tasks);
    end_all(tasks);
    task_init(&again, 1, peer_body);
    submit(&again);
    sem_wait(&again.started);
    on_owner(hurry_cb, NULL);
    while (get_stats().threads > KEPT + 1) /* and the one that waits */
        sched_yield();
    sem_post(&again.go);
    sem_wait(&again.settled);
    wait_few();
    finish();
}
END_TEST

/* An idle server has no wake-ups: the timer ends with them. */
START_TEST(test_the_timer_ends)
{
    struct task tasks[MANY];
    start_idle(0);
    begin_all(tasks);
    end_all(tasks);
    wait_few();
    while (timer_is_active())
        sched_yield();
    ck_assert(LIST_EMPTY(&sched->pool.ended));
    finish();
}
END_TEST

START_TEST(test_the_young_stay)
{
    struct task tasks[MANY];
    start_idle(FOREVER_NS);
    begin_all(tasks);
    end_all(tasks);
    ck_assert(timer_is_active());
    ck_assert_uint_eq(get_stats().threads, MANY + 1);
    finish();
}
END_TEST

/* Those of `threads` and the one for the loop stay for ever. */
START_TEST(test_no_more_than_usual)
{
    struct task sleepers[2];
    start_idle(0);
    for (int i = 0; i < 2; i++) {
        task_init(&sleepers[i], 1, give_and_sleep_body);
        submit(&sleepers[i]);
        sem_wait(&sleepers[i].started);
    }
    for (int i = 0; i < 2; i++) {
        sem_post(&sleepers[i].go);
        sem_wait(&sleepers[i].settled);
    }
    ck_assert(!timer_is_active());
    ck_assert_uint_eq(get_stats().threads, KEPT);
    finish();
}
END_TEST

/* No thread can be started in the place of one that has ended: the place stays. */
START_TEST(test_no_thread)
{
    struct task tasks[MANY], sleeper;
    uint64_t idle_ns = 0;
    start_idle(idle_ns);
    begin_all(tasks);
    end_all(tasks);
    wait_few();
    idle_ns = FOREVER_NS;
    on_owner(set_idle_cb, &idle_ns);
    log_catch();
    forbid_threads(true);
    for (int i = 0; i < 2; i++) {
        task_init(&tasks[i], 1, peer_body);
        submit(&tasks[i]);
        sem_wait(&tasks[i].started);
    }
    task_init(&sleeper, 2, NULL);
    submit(&sleeper);
    ping();
    forbid_threads(false);
    (void)log_lines();
    for (int i = 0; i < 2; i++) {
        sem_post(&tasks[i].go);
        sem_wait(&tasks[i].settled);
    }
    sem_wait(&sleeper.settled);
    begin_all(tasks);
    end_all(tasks);
    finish();
}
END_TEST

/* At the stop some have just ended, and nobody has joined them. */
START_TEST(test_quit)
{
    struct task tasks[MANY];
    start_idle(0);
    begin_all(tasks);
    end_all(tasks);
    while (get_stats().threads == MANY + 1)
        sched_yield();
    finish();
}
END_TEST

int main(void) {
    Suite *suite = suite_create("sched_retire");
    TCase *c = tcase_create("sched_retire");
    suite_add_tcase(suite, c);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, test_they_end);
    tcase_add_test(c, test_the_busy_stay);
    tcase_add_test(c, test_the_timer_ends);
    tcase_add_test(c, test_the_young_stay);
    tcase_add_test(c, test_no_more_than_usual);
    tcase_add_test(c, test_no_thread);
    tcase_add_test(c, test_quit);
    return unit_run(suite);
}
