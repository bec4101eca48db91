#include "config.h"

#include "sched/sched.h"

#include "sched_rig.h"

#include <sys/resource.h>

/* The watch sleeps, wakes, ends, and sees jobs that sleep. */

START_TEST(test_watch_ends)
{
    start(1);
    sched_watch(sched, wake[0], clock_ns(), on_wake, &wakes);
    /* Long enough for it to go to sleep on the way. */
    sched_watch(sched, wake[0], clock_ns() + 50000000, on_wake, &wakes);
    ck_assert_int_eq(wakes, 0);
    atomic_store(&watch_stop, true);
    ck_assert_int_eq(write(wake[1], "", 1), 1);
    sched_watch(sched, wake[0], 0, on_wake, &wakes);
    ck_assert_int_eq(wakes, 1);
    atomic_store(&watch_stop, false);
    watch_start();
    finish();
}
END_TEST

START_TEST(test_watch_parks_and_wakes)
{
    struct task task;
    start_watched(2);
    task_init(&task, 1, sleep_body);
    for (int i = 0; i < 3; i++) {
        wait_parked();
        atomic_store(&kind_of(1)->blind_ns, 0);
        submit(&task);
        sem_wait(&task.started);
        ping(); /* the watch woke, and took the loop over */
        sem_post(&task.go);
        sem_wait(&task.settled);
    }
    ck_assert_int_ge(atomic_load(&wakes), 3);
    finish();
}
END_TEST

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

/* Looks at a job that is awake, as far as is known, and uses no processor: the number of those after which it loses the
 * loop. */
static unsigned looks_until_taken(void (*look)(struct watch *w)) {
    struct watch eyes = {0};
    struct task task;
    unsigned looks = 0;
    make(2);
    ck_assert_int_eq(sched_start(sched), 0);
    task_init(&task, 1, sleep_body);
    submit(&task);
    sem_wait(&task.started);
    int fd = atomic_exchange(&task.thread->stat_fd, -1), tid = atomic_exchange(&task.thread->tid, 0);
    for (; !get_stats().taken_computing; looks++)
        look(&eyes);
    atomic_store(&task.thread->stat_fd, fd);
    atomic_store(&task.thread->tid, tid);
    sem_post(&task.go);
    sem_wait(&task.settled);
    finish();
    return looks;
}

static void look_at_idle(struct watch *w) {
    watch_look(sched, w);
}

START_TEST(test_put_off)
{ ck_assert_uint_eq(looks_until_taken(look_at_idle), 1 + 20); }
END_TEST

START_TEST(test_had_a_processor)
{ ck_assert_uint_eq(looks_until_taken(look_at_busy), 1 + 4); }
END_TEST

int main(void) {
    Suite *suite = suite_create("sched_watch");
    TCase *c = tcase_create("sched_watch");
    suite_add_tcase(suite, c);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, test_watch_ends);
    tcase_add_test(c, test_put_off);
    tcase_add_test(c, test_had_a_processor);
    tcase_add_test(c, test_watch_parks_and_wakes);
    tcase_add_test(c, test_one_sleeper_stops_nobody);
    tcase_add_test(c, test_all_threads_asleep);
    tcase_add_test(c, test_sleepers_without_proc);
    return unit_run(suite);
}
