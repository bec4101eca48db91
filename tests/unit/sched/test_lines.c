/* Two kinds of jobs that wait: those that compute without the jobs' lock, of which as many run as there are CPUs, and
 * all others. And what is said of those that run. */
#include "config.h"

#include "sched/sched.h"

#include "queue_rig.h"

enum { CPUS = 2 };

/* As who watches them says. */
static void set_watched(unsigned count) {
    atomic_store(&sched->watched, count);
    post_wake_owner(sched);
    look();
}

static void begin_lines(uint64_t timeout) {
    config.cpus = CPUS;
    begin(timeout);
    atomic_store(&kind_of(KEY_FREE)->free, 1);
}

/* Nobody is watched in truth. */
static void end_lines(void) {
    atomic_store(&sched->watched, 0);
    end();
}

static struct task *add_free(void) {
    return add_of(KEY_FREE);
}

/* One queue, as long as there are CPUs. */
START_TEST(test_in_order)
{
    begin_lines(_i ? T : 0);
    struct task *a = add(), *b, *c, *d;
    pass(MS);
    b = add_free();
    pass(MS);
    c = add();
    pass(MS);
    d = add_free();
    ck_assert_uint_eq(get_stats().queued, 4);
    next_is(a);
    next_is(b);
    next_is(c);
    next_is(d);
    end_lines();
}
END_TEST

/* With all CPUs taken the others overtake, and those that wait begin when there is one again. */
START_TEST(test_overtaking)
{
    begin_lines(_i ? T : 0);
    struct task *a = add_free(), *b = add_free(), *c = add();
    pass(MS);
    set_watched(CPUS);
    next_is(c);
    struct task *d = add();
    pass(MS);
    next_is(d);
    sem_post(&running->go);
    sem_wait(&running->settled);
    look();
    ck_assert_int_eq(atomic_load(&a->runs), 0);
    ck_assert(waits(a) && waits(b));
    set_watched(CPUS - 1);
    sem_wait(&a->started);
    running = a;
    next_is(b);
    end_lines();
}
END_TEST

/* One that is alone and comes to an idle server waits as well. */
START_TEST(test_alone)
{
    begin_lines(T);
    sem_post(&running->go);
    sem_wait(&running->settled);
    set_watched(CPUS);
    struct task *a = add_free();
    ck_assert_int_eq(atomic_load(&a->runs), 0);
    ck_assert(ev_is_active(&sched->queue.timer));
    set_watched(0);
    sem_wait(&a->started);
    running = a;
    end_lines();
}
END_TEST

/* Without a number of CPUs there is no bound. */
START_TEST(test_no_cpus)
{
    begin_lines(T);
    sched->config.cpus = 0;
    atomic_store(&sched->watched, 100);
    next_is(add_free());
    end_lines();
}
END_TEST

static bool has_threads;

static void has_threads_cb(void *arg) {
    (void)arg;
    has_threads = sched_has_threads(sched);
}

/* Those that may not begin have no thread. */
START_TEST(test_has_threads)
{
    begin_lines(T);
    sem_post(&running->go);
    sem_wait(&running->settled);
    on_owner(has_threads_cb, NULL);
    ck_assert(has_threads);
    set_watched(CPUS);
    struct task *a = add_free();
    on_owner(has_threads_cb, NULL);
    ck_assert(!has_threads);
    set_watched(0);
    sem_wait(&a->started);
    running = a;
    end_lines();
}
END_TEST

/* Each kind has a backlog of its own: that nobody of the one is served says nothing about the other. */
START_TEST(test_backlogs)
{
    begin_lines(T);
    struct task *many[8], *b = add(), *c = add(), *d = add();
    for (int i = 0; i < COUNT(many); i++)
        many[i] = add_free();
    set_watched(CPUS);
    pass(T1 / 2);
    next_is(b);
    pass(T1 / 2 + 1);
    REFUSED(many[0], many[1]);
    ck_assert(waits(c) && waits(d));
    end_lines();
}
END_TEST

/* Where memory is short the oldest of both goes, and who has left of either. */
START_TEST(test_full)
{
    config.queue_limit = 3;
    begin_lines(T);
    struct task *a, *b, *c, *d = make_task(), *e = make_task(), *f = make_task();
    a = _i ? add() : add_free();
    pass(MS);
    b = _i ? add_free() : add();
    c = _i ? add_free() : add();
    pass(T1 / 2 + 1 - MS);
    ck_assert(is_taken(d));
    look();
    leave(c);
    ck_assert(is_taken(e));
    look();
    ck_assert(!is_taken(f));
    REFUSED(a, c);
    ck_assert(waits(b) && waits(d) && waits(e));
    end_lines();
}
END_TEST

/* A kind that is found out while its jobs wait: the next ones wait in the other line, and all are served. */
START_TEST(test_change)
{
    begin_lines(T);
    struct task *a = add_free();
    atomic_store(&kind_of(KEY_FREE)->free, 0);
    struct task *b = add_free();
    pass(MS);
    set_watched(CPUS);
    next_is(b);
    set_watched(0);
    next_is(a);
    end_lines();
}
END_TEST

/* Since when nothing has ended. */
START_TEST(test_stuck_since)
{
    clock_stop();
    config.queue_limit = TASKS_MAX;
    config.queue_timeout = T;
    start(2);
    on_owner(tell_cb, NULL);
    ck_assert_uint_eq(last_end, 0);
    ck_assert_uint_eq(stuck_since, 0);
    clock_pass(MS);
    struct task *inline_one = make_task();
    inline_one->body = NULL;
    run_one(inline_one);
    on_owner(tell_cb, NULL);
    ck_assert_uint_eq(last_end, clock_ns());
    clock_pass(MS);
    struct task *first = add();
    sem_wait(&first->started);
    on_owner(tell_cb, NULL);
    ck_assert_uint_eq(stuck_since, 0); /* a thread is free */
    clock_pass(MS);
    uint64_t full_since = clock_ns();
    if (_i)
        make_predicted(KEY_ORDINARY); /* it begins detached */
    struct task *second = add();
    sem_wait(&second->started);
    pass(T1);
    on_owner(tell_cb, NULL);
    ck_assert_uint_eq(stuck_since, full_since);
    ck_assert_uint_eq(usual, 0); /* the quick one was not told of */
    struct task *third = add();
    running = second;
    next_is(third);
    on_owner(tell_cb, NULL);
    ck_assert_uint_eq(last_end, clock_ns());
    ck_assert_uint_eq(stuck_since, clock_ns());
    ck_assert_uint_eq(usual, T1);
    clock_pass(MS);
    sem_post(&first->go);
    sem_wait(&first->settled);
    on_owner(tell_cb, NULL);
    ck_assert_uint_eq(last_end, clock_ns());
    ck_assert_uint_eq(stuck_since, 0);
    sem_post(&third->go);
    sem_wait(&third->settled);
    finish();
}
END_TEST

int main(void) {
    Suite *suite = suite_create("sched_lines");
    TCase *c = tcase_create("sched_lines");
    suite_add_tcase(suite, c);
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, test_in_order, 0, 2);
    tcase_add_loop_test(c, test_overtaking, 0, 2);
    tcase_add_test(c, test_alone);
    tcase_add_test(c, test_no_cpus);
    tcase_add_test(c, test_has_threads);
    tcase_add_test(c, test_backlogs);
    tcase_add_loop_test(c, test_full, 0, 2);
    tcase_add_test(c, test_change);
    tcase_add_loop_test(c, test_stuck_since, 0, 2);
    return unit_run(suite);
}
