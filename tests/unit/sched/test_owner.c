#include "config.h"

#include "sched/sched.h"

#include "sched_rig.h"

/* When jobs that ran inline are settled: with the next ones while those are quick. */

enum { SLOW_NS = 5 * PREDICT_QUICK_NS };

static struct task tasks[3];
static int settled_before[3]; /* how many had been settled when this one began */

static void look(struct task *task) {
    settled_before[task - tasks] = nsettled;
    no_events_before_the_next();
}

static void look_slowly(struct task *task) {
    look(task);
    for (uint64_t start = clock_ns(); clock_ns() - start < SLOW_NS;)
        ;
}

/* Jobs that are ready together, before the loop runs for the first time. Each has a key of its own: one that takes its
 * time, on a busy machine, does not make the next one slow. */
static void make_ready(int count) {
    config.queue_limit = COUNT(tasks);
    make(2);
    for (int i = 0; i < count; i++) {
        task_init(&tasks[i], (uint32_t)i, look);
        ck_assert(sched_submit(sched, &tasks[i].job));
    }
}

static void run_all(int count) {
    ck_assert_int_eq(sched_start(sched), 0);
    for (int i = 0; i < count; i++)
        sem_wait(&tasks[i].settled);
    for (int i = 0; i < count; i++)
        ck_assert_ptr_eq(settled_order[i], &tasks[i]);
}

START_TEST(test_together)
{
    make_ready(2);
    make_quick(1);
    run_all(2);
    ck_assert_int_eq(settled_before[1], 0);
    finish();
}
END_TEST

START_TEST(test_not_behind_what_is_not_known)
{
    make_ready(2);
    make_quick(0);
    run_all(2);
    ck_assert_int_eq(settled_before[1], 1);
    finish();
}
END_TEST

START_TEST(test_not_for_long)
{
    make_ready(3);
    make_quick(1);
    make_quick(2);
    tasks[1].body = look_slowly;
    run_all(3);
    ck_assert_int_eq(settled_before[1], 0);
    ck_assert_int_eq(settled_before[2], 2);
    finish();
}
END_TEST

/* It was quick many times, and now it is not: the one before does not wait for it. */
START_TEST(test_not_behind_what_blocks)
{
    make_ready(2);
    make_quick(1);
    tasks[1].body = sleep_body;
    ck_assert_int_eq(sched_start(sched), 0);
    watch_start();
    sem_wait(&tasks[1].started);
    sem_wait(&tasks[0].settled);
    ck_assert_int_eq(tasks[1].settles, 0);
    sem_post(&tasks[1].go);
    sem_wait(&tasks[1].settled);
    finish();
}
END_TEST

static void cancel_next(struct task *task) {
    (void)task;
    REQUIRE(sched_cancel(sched, &tasks[2].job));
}

static void cancel_body(struct task *task) {
    look(task);
    task->on_settle = cancel_next;
}

/* To settle one may take the next one off the queue, which is not run then. */
START_TEST(test_settling_cancels_the_next)
{
    make_ready(3);
    make_quick(1);
    tasks[1].body = cancel_body;
    run_all(2);
    ping();
    ck_assert_int_eq(settled_before[1], 0);
    ck_assert_int_eq(atomic_load(&tasks[2].runs), 0);
    finish();
}
END_TEST

static void quit_behind(struct task *task) {
    look(task);
    quit_cb(NULL);
}

static bool more[2];

static void ask_for_more(struct task *task) {
    more[task - tasks] = sched_settles_more(sched, &task->job);
}

/* Who settles is told whether another of the same group comes right behind. */
START_TEST(test_groups)
{
    static const char group[2];
    static const struct {
        const char *groups[2];
        bool more;
    } cases[] = {{{&group[0], &group[0]}, true}, {{&group[0], &group[1]}, false}, {{NULL, NULL}, false}};
    make_ready(2);
    make_quick(1);
    for (int i = 0; i < 2; i++) {
        tasks[i].job.group = cases[_i].groups[i];
        tasks[i].on_settle = ask_for_more;
    }
    run_all(2);
    ck_assert_int_eq(settled_before[1], 0);
    ck_assert_int_eq(more[0], cases[_i].more);
    ck_assert_int_eq(more[1], false);
    finish();
}
END_TEST

/* All that ran is settled when the scheduler quits. */
START_TEST(test_quit)
{
    make_ready(3);
    make_quick(1);
    tasks[1].body = quit_behind;
    run_all(2);
    join();
    ck_assert_int_eq(settled_before[1], 0);
    ck_assert_int_eq(nsettled, 2);
}
END_TEST

/* The queue is never empty. */

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
    struct task endless[2];
    start(2);
    for (int i = 0; i < 2; i++) {
        task_init(&endless[i], 1, NULL);
        endless[i].on_settle = submit_until_enough;
        submit(&endless[i]);
    }
    ping();
    on_owner(set_enough, NULL);
    finish();
    ck_assert_int_eq(endless[0].settles + endless[1].settles, nsettled);
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

int main(void) {
    Suite *suite = suite_create("sched_owner");
    TCase *c = tcase_create("sched_owner");
    suite_add_tcase(suite, c);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, test_together);
    tcase_add_test(c, test_not_behind_what_is_not_known);
    tcase_add_test(c, test_not_for_long);
    tcase_add_test(c, test_not_behind_what_blocks);
    tcase_add_test(c, test_settling_cancels_the_next);
    tcase_add_loop_test(c, test_groups, 0, 3);
    tcase_add_test(c, test_quit);
    tcase_add_test(c, test_submit_from_settle);
    tcase_add_test(c, test_events_between_jobs);
    tcase_add_test(c, test_no_events_between_short_jobs);
    return unit_run(suite);
}
