#include "config.h"

#include "sched/sched.h"

#include "unit/no_threads.h"
#include "sched_rig.h"

#include <errno.h>
#include <sys/resource.h>

/* The queue. */

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

static struct task late;

static void submit_late(struct task *task) {
    (void)task;
    REQUIRE(sched_submit(sched, &late.job));
}

struct aged {
    struct task *task;
    uint64_t age;
};

static void submit_aged_cb(void *arg) {
    struct aged *aged = arg;
    submit_cb(aged->task);
    aged->task->job.queued_at = clock_ns() - aged->age;
}

START_TEST(test_queue_timeout)
{
    struct task sleeper, old, fresh;
    config.queue_limit = 10;
    config.queue_timeout = FOREVER_NS;
    start(1);
    task_init(&sleeper, 1, give_and_sleep_body);
    task_init(&old, 2, NULL);
    task_init(&fresh, 2, NULL);
    task_init(&late, 2, NULL);
    old.on_expire = submit_late;
    submit(&sleeper);
    sem_wait(&sleeper.started);
    /* Seen as too old when the queue is looked at, or 1 ms later by the timer, which goes on for the next. */
    struct aged aged = {.task = &old, .age = _i ? config.queue_timeout - 1000000 : config.queue_timeout + 1};
    on_owner(submit_aged_cb, &aged);
    if (_i)
        submit(&fresh);
    sem_wait(&old.expired);
    ping();
    ping(); /* in between the owner has looked at the queue */
    ck_assert_int_eq(old.expiries, 1);
    ck_assert_int_eq(atomic_load(&old.runs), 0);
    ck_assert_int_eq(late.expiries, 0);
    ck_assert(ev_is_active(&sched->queue.timer));
    sem_post(&sleeper.go);
    sem_wait(&sleeper.settled);
    if (_i)
        sem_wait(&fresh.settled);
    sem_wait(&late.settled);
    ping();
    ck_assert_int_eq(nexpired, 1);
    ck_assert(!cancel(&old));
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

static unsigned rounds; /* of the loop; the owner's, as is what follows */

static void count_round_cb(struct ev_loop *l, ev_prepare *w, int revents) {
    (void)l;
    (void)w;
    (void)revents;
    rounds++;
}

struct many {
    struct task tasks[TASKS_MAX];
    unsigned rounds;
    uint64_t end;
};

static struct many many;

static void last_of_many(struct task *task) {
    (void)task;
    many.rounds = rounds;
    many.end = clock_ns();
}

/* Short jobs that are ready together run one after the other: events are looked for once a millisecond, not between any
 * two jobs. */
START_TEST(test_no_events_between_short_jobs)
{
    ev_prepare prepare;
    config.queue_limit = TASKS_MAX;
    make(1);
    ev_prepare_init(&prepare, count_round_cb);
    ev_prepare_start(loop, &prepare);
    for (int i = 0; i < TASKS_MAX; i++) {
        task_init(&many.tasks[i], 1, NULL);
        ck_assert(sched_submit(sched, &many.tasks[i].job));
    }
    struct task *last = &many.tasks[TASKS_MAX - 1];
    last->on_settle = last_of_many;
    uint64_t begin = clock_ns();
    ck_assert_int_eq(sched_start(sched), 0);
    sem_wait(&last->settled);
    finish();
    ck_assert_uint_ge(many.rounds, 1);
    ck_assert_uint_le(many.rounds, 1 + (many.end - begin) / 1000000);
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

/* Notes. */

enum { POSTERS = 4, NOTES = 5000 };

struct numbered {
    struct sched_note note;
    int poster, number;
};

static struct numbered notes[POSTERS][NOTES];
static int nnotes, next_number[POSTERS];
static sem_t all_notes;

static void numbered_cb(struct sched_note *note) {
    struct numbered *n = (struct numbered *)note;
    check_owner();
    REQUIRE(n->number == next_number[n->poster]++);
    if (++nnotes == POSTERS * NOTES)
        sem_post(&all_notes);
}

static void *poster_main(void *arg) {
    struct numbered *mine = arg;
    for (int i = 0; i < NOTES; i++)
        sched_post(sched, &mine[i].note);
    return NULL;
}

START_TEST(test_post)
{
    pthread_t posters[POSTERS];
    struct task task;
    start_watched(2);
    sem_init(&all_notes, 0, 0);
    for (int i = 0; i < POSTERS; i++) {
        for (int k = 0; k < NOTES; k++)
            notes[i][k] = (struct numbered){.note.call = numbered_cb, .poster = i, .number = k};
        ck_assert_int_eq(pthread_create(&posters[i], NULL, poster_main, notes[i]), 0);
    }
    task_init(&task, 1, give_and_sleep_body);
    for (int i = 0; i < 100; i++) {
        sem_post(&task.go);
        run_one(&task);
    }
    sem_wait(&all_notes);
    for (int i = 0; i < POSTERS; i++)
        pthread_join(posters[i], NULL);
    finish();
}
END_TEST

/* The end. */

START_TEST(test_quit)
{
    struct task tasks[4];
    start_watched(4);
    make_predicted(1);
    for (int i = 0; i < 4; i++) {
        task_init(&tasks[i], 1 + (uint32_t)i % 2, give_and_sleep_body);
        submit(&tasks[i]);
    }
    for (int i = 0; i < 4; i++)
        sem_wait(&tasks[i].started);
    for (int i = 0; i < 2; i++) {
        sem_post(&tasks[i].go);
        sem_wait(&tasks[i].settled);
    }
    wait_parked();
    on_owner(quit_cb, NULL);
    pthread_join(watch, NULL);
    ck_assert_uint_ge(sched_join(sched, clock_ns()), 2);
    ck_assert_uint_ge(sched_join(sched, clock_ns() + 1000000), 2);
    for (int i = 2; i < 4; i++)
        sem_post(&tasks[i].go);
    ck_assert_uint_eq(sched_join(sched, clock_ns() + FOREVER_NS), 0);
    ck_assert_int_eq(stops, 5);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(tasks[i].settles, i < 2); /* without an owner nobody settles */
    sched_free(sched);
    ev_loop_destroy(loop);
}
END_TEST

START_TEST(test_quit_from_settle)
{
    struct task task;
    start(2);
    task_init(&task, 1, NULL);
    task.on_settle = quit_on_settle;
    submit(&task);
    sem_wait(&task.settled);
    join();
    ck_assert_int_eq(stops, 1);
}
END_TEST

START_TEST(test_never_started)
{
    make(1);
    sched_quit(sched);
    ck_assert_int_eq(sched_start(sched), -1);
    ck_assert_uint_eq(sched_join(sched, 0), 0);
    sched_free(sched);
    sched_free(NULL);
    ev_loop_destroy(loop);
}
END_TEST

/* The watch. */

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

/* A system that has no more threads. */

START_TEST(test_no_thread_at_all)
{
    struct rlimit limit, less;
    make(1);
    getrlimit(RLIMIT_AS, &limit);
    less = (struct rlimit){FORBIDDEN_STACK, limit.rlim_max};
    log_catch();
    forbid_threads(true);
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &less), 0);
    int result = sched_start(sched), error = errno;
    setrlimit(RLIMIT_AS, &limit);
    forbid_threads(false);
    ck_assert_int_eq(log_lines(), 1);
    ck_assert_ptr_nonnull(
        strstr(logged, "cannot start thread 1 of 2: the process has as much address space as it may: "));
    ck_assert_int_eq(result, -1);
    ck_assert_int_eq(error, EAGAIN);
    ck_assert_ptr_null(sched->pool.all[0]); /* where sched_pause looks for the owner */
    sched_pause(sched);
    ck_assert_int_eq(sched_start(sched), 0);
    finish();
}
END_TEST

START_TEST(test_no_second_thread)
{
    struct task sleeper, given, predicted;
    start(2);
    make_predicted(3);
    ping();
    log_catch();
    forbid_threads(true);
    /* Everything goes on inline. */
    task_init(&predicted, 3, NULL);
    run_one(&predicted);
    task_init(&given, 1, give_and_sleep_body);
    sem_post(&given.go);
    run_one(&given);
    ck_assert(!given.gave);
    /* A sleeper stops the loop until there is a thread again; the log says it once, however often the watch tries. */
    task_init(&sleeper, 2, sleep_body);
    submit(&sleeper);
    sem_wait(&sleeper.started);
    sched_watch(sched, wake[0], clock_ns() + 50000000, on_wake, &wakes);
    forbid_threads(false);
    ck_assert_int_eq(log_lines(), 1);
    ck_assert_uint_eq(get_stats().threads, 1);
    ck_assert_ptr_null(sched->pool.all[1]);
    watch_start();
    ping();
    ck_assert_uint_eq(get_stats().threads, 2);
    sem_post(&sleeper.go);
    sem_wait(&sleeper.settled);
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
    tcase_add_loop_test(c, test_queue_timeout, 0, 2);
    tcase_add_loop_test(c, test_stalled_callback, 0, 2);
    tcase_add_test(c, test_stalled_callback_of_many);
    tcase_add_test(c, test_behind_a_long_job);
    tcase_add_test(c, test_no_events_between_short_jobs);
    tcase_add_test(c, test_queue_timer);
    tcase_add_test(c, test_post);
    tcase_add_test(c, test_quit);
    tcase_add_test(c, test_quit_from_settle);
    tcase_add_test(c, test_never_started);
    tcase_add_test(c, test_watch_ends);
    tcase_add_test(c, test_watch_parks_and_wakes);
    tcase_add_test(c, test_no_thread_at_all);
    tcase_add_test(c, test_no_second_thread);
    return unit_run(suite);
}
