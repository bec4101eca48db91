#include "config.h"

#include "sched/sched.h"

#include "unit/no_threads.h"
#include "sched_rig.h"

/* Jobs that take too long: others run in their places. */

enum { MANY = 6 };

static void start_lost(unsigned threads, unsigned lost_max) {
    config.lost_max = lost_max;
    config.queue_limit = TASKS_MAX;
    start(threads);
}

static void begin(struct task *task, void (*body)(struct task *task)) {
    task_init(task, 1, body);
    submit(task);
    sem_wait(&task->started);
    ping();
}

static void begin_all(struct task *tasks, int count) {
    for (int i = 0; i < count; i++)
        begin(&tasks[i], give_and_sleep_body);
}

static void end(struct task *task) {
    atomic_store(&task->stop, true);
    sem_post(&task->go);
    sem_wait(&task->settled);
    ping();
}

static void end_all(struct task *tasks, int count) {
    for (int i = 0; i < count; i++)
        end(&tasks[i]);
}

static void lose_cb(void *arg) {
    struct task *task = arg;
    sched_lose(sched, &task->job);
}

static void lose(struct task *task) {
    on_owner(lose_cb, task);
}

/* How many are busy, lost, and made up for. */
static void check(unsigned busy, unsigned lost, unsigned made_up) {
    ck_assert_uint_eq(get_stats().busy, busy);
    ck_assert_uint_eq(get_stats().lost, lost);
    ck_assert_uint_eq(sched_lost(sched), lost);
    ck_assert_uint_eq(atomic_load(&sched->lost.made_up), made_up);
}

static void check_none_begins(struct task *queued) {
    task_init(queued, 2, NULL);
    submit(queued);
    ping();
    ping();
    ck_assert_int_eq(atomic_load(&queued->runs), 0);
}

START_TEST(test_another_runs)
{
    struct task sleepers[2], queued;
    start_lost(2, 2);
    begin_all(sleepers, 2);
    check_none_begins(&queued);
    lose(&sleepers[0]);
    sem_wait(&queued.settled);
    check(1, 1, 1);
    end(&sleepers[0]);
    check(1, 0, 0);
    end(&sleepers[1]);
    check(0, 0, 0);
    ck_assert_int_eq(sleepers[0].settles, 1);
    ck_assert_int_eq(sleepers[0].rejoined, 1);
    finish();
}
END_TEST

/* As many as are lost, and not only one. */
START_TEST(test_others_run)
{
    struct task lost[MANY], others[2], queued;
    start_lost(2, MANY);
    for (int i = 0; i < MANY; i++) {
        begin(&lost[i], give_and_sleep_body);
        lose(&lost[i]);
    }
    check(0, MANY, MANY);
    begin_all(others, 2);
    check(2, MANY, MANY);
    check_none_begins(&queued);
    ck_assert_uint_eq(get_stats().threads, MANY + 2 + 1);
    end_all(others, 2);
    sem_wait(&queued.settled);
    end_all(lost, MANY);
    check(0, 0, 0);
    finish();
}
END_TEST

/* Their memory is as new for the next job. */
START_TEST(test_again_and_again)
{
    struct task sleepers[2];
    start_lost(2, 2);
    for (int round = 0; round < 5; round++) {
        begin_all(sleepers, 2);
        check(2, 0, 0);
        lose(&sleepers[round % 2]);
        check(1, 1, 1);
        end_all(sleepers, 2);
        check(0, 0, 0);
    }
    ck_assert_uint_le(get_stats().threads, 3);
    finish();
}
END_TEST

/* Those beyond the bound keep their places. */
START_TEST(test_bound)
{
    struct task sleepers[3], queued;
    start_lost(3, 1);
    begin_all(sleepers, 3);
    for (int i = 0; i < 3; i++)
        lose(&sleepers[i]);
    check(2, 3, 1);
    task_init(&queued, 2, NULL);
    run_one(&queued);
    begin(&queued, give_and_sleep_body);
    check(3, 3, 1);
    end(&queued);
    end_all(sleepers, 3);
    check(0, 0, 0);
    finish();
}
END_TEST

static bool is_made_up_for(const struct task *task) {
    return atomic_load(&task->thread->fate) & FATE_MADE_UP;
}

/* When one of those made up for ends, the next follows, and a job begins in its place. */
START_TEST(test_the_next_follows)
{
    struct task sleepers[4], queued;
    start_lost(4, 1);
    begin_all(sleepers, 4);
    for (int i = 0; i < 4; i++)
        lose(&sleepers[i]);
    check(3, 4, 1);
    begin(&queued, give_and_sleep_body);
    check(4, 4, 1);
    end(&sleepers[0]);
    check(3, 3, 1);
    ck_assert(is_made_up_for(&sleepers[1]) && !is_made_up_for(&sleepers[2]) && !is_made_up_for(&sleepers[3]));
    /* The end of one that is not lets nobody follow. */
    end(&sleepers[2]);
    check(2, 2, 1);
    ck_assert(!is_made_up_for(&sleepers[3]));
    end(&sleepers[1]);
    check(1, 1, 1);
    ck_assert(is_made_up_for(&sleepers[3]));
    end(&sleepers[3]);
    check(1, 0, 0);
    end(&queued);
    finish();
}
END_TEST

static void let_both_end_cb(void *arg) {
    struct task *tasks = arg;
    for (int i = 0; i < 2; i++)
        sem_post(&tasks[i].go);
    while (atomic_load(&sched->lost.count) > 1)
        sched_yield();
}

/* Nor does one follow that has ended, but the one behind it. */
START_TEST(test_the_next_has_ended)
{
    struct task sleepers[3];
    start_lost(3, 1);
    begin_all(sleepers, 3);
    for (int i = 0; i < 3; i++)
        lose(&sleepers[i]);
    check(2, 3, 1);
    on_owner(let_both_end_cb, sleepers);
    for (int i = 0; i < 2; i++)
        sem_wait(&sleepers[i].settled);
    ping();
    check(0, 1, 1);
    ck_assert(is_made_up_for(&sleepers[2]));
    end(&sleepers[2]);
    check(0, 0, 0);
    finish();
}
END_TEST

START_TEST(test_none_is_made_up_for)
{
    struct task sleepers[2], queued;
    start_lost(2, 0);
    begin_all(sleepers, 2);
    lose(&sleepers[0]);
    check(2, 1, 0);
    check_none_begins(&queued);
    end(&sleepers[0]);
    sem_wait(&queued.settled);
    end(&sleepers[1]);
    check(0, 0, 0);
    finish();
}
END_TEST

/* With one thread one job runs at a time, from its beginning to its end. */
START_TEST(test_single_thread)
{
    struct task sleeper, queued;
    start_lost(1, MANY);
    begin(&sleeper, give_and_sleep_body);
    lose(&sleeper);
    check(1, 1, 0);
    check_none_begins(&queued);
    ck_assert_uint_eq(get_stats().threads, 2);
    end(&sleeper);
    sem_wait(&queued.settled);
    check(0, 0, 0);
    finish();
}
END_TEST

/* Jobs that cannot be lost. */

START_TEST(test_twice)
{
    struct task sleepers[2];
    start_lost(2, 2);
    begin_all(sleepers, 2);
    lose(&sleepers[0]);
    lose(&sleepers[0]);
    check(1, 1, 1);
    end_all(sleepers, 2);
    check(0, 0, 0);
    finish();
}
END_TEST

START_TEST(test_twice_beyond_the_bound)
{
    struct task sleepers[2];
    start_lost(2, 0);
    begin_all(sleepers, 2);
    lose(&sleepers[0]);
    lose(&sleepers[0]);
    check(2, 1, 0);
    end_all(sleepers, 2);
    check(0, 0, 0);
    finish();
}
END_TEST

START_TEST(test_queued)
{
    struct task sleepers[2], queued;
    start_lost(2, 2);
    begin_all(sleepers, 2);
    check_none_begins(&queued);
    lose(&queued);
    check(2, 0, 0);
    end_all(sleepers, 2);
    sem_wait(&queued.settled);
    finish();
}
END_TEST

static void end_and_lose_cb(void *arg) {
    struct task *task = arg;
    sem_post(&task->go);
    while (get_stats().busy)
        sched_yield();
    REQUIRE(task->job.thread && !sched_thread_of(sched, &task->job));
    sched_lose(sched, &task->job);
    REQUIRE(!sched_lost(sched));
}

START_TEST(test_ended)
{
    struct task sleeper;
    start_lost(2, 2);
    begin(&sleeper, give_and_sleep_body);
    on_owner(end_and_lose_cb, &sleeper);
    sem_wait(&sleeper.settled);
    check(0, 0, 0);
    ck_assert_int_eq(sleeper.settles, 1);
    finish();
}
END_TEST

/* Runs on the thread that has just ended another job, which is lost when this one is about to begin. */
static struct task *victim;

static void detached_then_lose(struct sched_job *job) {
    task_detached(job);
    if (victim->settles)
        return;
    REQUIRE(job->thread == victim->job.thread && job->thread->detached_job == job);
    REQUIRE(!sched_thread_of(sched, &victim->job) && sched_thread_of(sched, job) == job->thread);
    sched_lose(sched, &victim->job);
    REQUIRE(!sched_lost(sched));
}

static struct sched_job_ops next_ops;

static void end_before_next_cb(void *arg) {
    sem_post(&victim->go);
    while (get_stats().busy)
        sched_yield();
    submit_cb(arg);
}

START_TEST(test_ended_and_another_runs)
{
    struct task sleeper, next;
    start_lost(2, 2);
    next_ops = task_ops;
    next_ops.detached = detached_then_lose;
    make_predicted(2);
    victim = &sleeper;
    begin(&sleeper, give_and_sleep_body);
    task_init(&next, 2, give_and_sleep_body);
    next.job.ops = &next_ops;
    on_owner(end_before_next_cb, &next);
    sem_wait(&next.started);
    sem_wait(&sleeper.settled);
    check(1, 0, 0);
    end(&next);
    check(0, 0, 0);
    finish();
}
END_TEST

/* As soon as it runs detached, before it has begun there. */

static void detached_and_lost(struct sched_job *job) {
    task_detached(job);
    sched_lose(sched, job);
}

START_TEST(test_before_it_begins)
{
    struct task sleeper, others[2];
    start_lost(2, 2);
    next_ops = task_ops;
    next_ops.detached = detached_and_lost;
    make_predicted(1);
    task_init(&sleeper, 1, give_and_sleep_body);
    sleeper.job.ops = &next_ops;
    submit(&sleeper);
    sem_wait(&sleeper.started);
    check(0, 1, 1);
    begin_all(others, 2);
    check(2, 1, 1);
    end(&sleeper);
    end_all(others, 2);
    check(0, 0, 0);
    finish();
}
END_TEST

/* Peer waits. */

static void start_peers(unsigned threads, unsigned lost_max) {
    config.peer_waits_max = MANY;
    start_lost(threads, lost_max);
}

/* Waits for its peer, and then is at work. */
static void peer_body(struct task *task) {
    task->gave = sched_will_block(task->thread);
    sched_peer_wait_begins(task->thread);
    sleep_body(task);
    sched_peer_wait_ends(task->thread);
    sleep_body(task);
}

/* The same the other way round. */
static void work_and_peer_body(struct task *task) {
    give_and_sleep_body(task);
    peer_body(task);
}

static void step(struct task *task) {
    sem_post(&task->go);
    sem_wait(&task->started);
}

START_TEST(test_lost_in_a_peer_wait)
{
    struct task waiting, sleeper;
    start_peers(2, 1);
    begin(&sleeper, give_and_sleep_body);
    begin(&waiting, peer_body);
    check(1, 0, 0);
    lose(&waiting);
    check(1, 1, 1);
    step(&waiting);
    check(1, 1, 1);
    ck_assert_uint_eq(get_stats().peer_waits, 0);
    end(&waiting);
    check(1, 0, 0);
    end(&sleeper);
    finish();
}
END_TEST

START_TEST(test_waits_when_lost)
{
    struct task waiting, sleeper;
    start_peers(2, 1);
    begin(&sleeper, give_and_sleep_body);
    begin(&waiting, work_and_peer_body);
    lose(&waiting);
    check(1, 1, 1);
    step(&waiting);
    check(1, 1, 1);
    ck_assert_uint_eq(get_stats().peer_waits, 1);
    step(&waiting);
    check(1, 1, 1);
    ck_assert_uint_eq(get_stats().peer_waits, 0);
    end(&waiting);
    check(1, 0, 0);
    end(&sleeper);
    finish();
}
END_TEST

/* One that is not made up for counts in the wait as all others do. */
START_TEST(test_waits_beyond_the_bound)
{
    struct task waiting, sleeper;
    start_peers(2, 0);
    begin(&sleeper, give_and_sleep_body);
    begin(&waiting, work_and_peer_body);
    lose(&waiting);
    check(2, 1, 0);
    step(&waiting);
    check(1, 1, 0);
    step(&waiting);
    check(2, 1, 0);
    end(&waiting);
    check(1, 0, 0);
    end(&sleeper);
    finish();
}
END_TEST

/* One follows that is in a wait, and takes nobody off the count for that. */
START_TEST(test_follows_in_a_peer_wait)
{
    struct task waiting, sleeper;
    start_peers(2, 1);
    begin(&sleeper, give_and_sleep_body);
    begin(&waiting, peer_body);
    lose(&sleeper);
    lose(&waiting);
    check(0, 2, 1);
    end(&sleeper);
    check(0, 1, 1);
    ck_assert(is_made_up_for(&waiting));
    step(&waiting);
    check(0, 1, 1);
    end(&waiting);
    check(0, 0, 0);
    finish();
}
END_TEST

/* Who has lost it ends the wait, and nobody else has to. */
START_TEST(test_does_not_give_way)
{
    struct task waiting[3], lost[2];
    config.peer_waits_max = 2;
    start_lost(2, 2);
    sched->peer_waits.patience = 0;
    begin(&lost[0], peer_body);
    lose(&lost[0]);
    begin(&lost[1], work_and_peer_body);
    lose(&lost[1]);
    step(&lost[1]);
    ck_assert_uint_eq(get_stats().peer_waits, 2);
    log_catch();
    for (int i = 0; i < 3; i++)
        begin(&waiting[i], peer_body);
    sem_wait(&waiting[0].started); /* it is at work again */
    ck_assert_int_ge(log_lines(), 1);
    ck_assert_int_eq(atomic_load(&waiting[0].told), 1);
    ck_assert_int_eq(atomic_load(&waiting[1].told), 0);
    ck_assert_int_eq(atomic_load(&lost[0].told) + atomic_load(&lost[1].told), 0);
    end(&waiting[0]);
    for (int i = 1; i < 3; i++) {
        step(&waiting[i]);
        end(&waiting[i]);
    }
    for (int i = 0; i < 2; i++) {
        step(&lost[i]);
        end(&lost[i]);
    }
    check(0, 0, 0);
    ck_assert_uint_eq(sched->peer_waits.told, 0);
    finish();
}
END_TEST

static void stubborn_body(struct task *task) {
    task->gave = sched_will_block(task->thread);
    sched_peer_wait_begins(task->thread);
    sem_post(&task->started);
    sem_wait(&task->go);
    sleep_body(task);
    sched_peer_wait_ends(task->thread);
}

/* One that was told to give way, and has not yet. */
START_TEST(test_was_told)
{
    struct task stubborn, waiting;
    config.peer_waits_max = 1;
    start_lost(2, 2);
    sched->peer_waits.patience = 0;
    log_catch();
    begin(&stubborn, stubborn_body);
    begin(&waiting, peer_body);
    sem_wait(&stubborn.started);
    (void)log_lines();
    ck_assert_int_eq(atomic_load(&stubborn.told), 1);
    lose(&stubborn);
    ck_assert_uint_eq(sched->peer_waits.told, 1);
    check(0, 1, 1);
    end(&stubborn);
    ck_assert_uint_eq(sched->peer_waits.told, 0);
    step(&waiting);
    end(&waiting);
    check(0, 0, 0);
    finish();
}
END_TEST

/* What the watch does about a job ends with it. */

static void compute_body(struct task *task) {
    sem_post(&task->started);
    while (!atomic_load(&task->stop))
        sched_yield();
}

static struct watch eyes;

static void look(int times) {
    while (times-- > 0)
        look_at_busy(&eyes);
}

static atomic_bool released;

static bool released_cb(struct sched_thread *thread, void *user) {
    (void)thread;
    (void)user;
    return atomic_load(&released);
}

static void hold_is_on_cb(void *arg) {
    *(bool *)arg = sched->hold.job && atomic_load(&sched->hold.computing);
}

static void stop_hold_timer_cb(struct ev_loop *l, ev_prepare *w, int revents) {
    (void)w;
    (void)revents;
    ev_timer_stop(l, &sched->hold.timer);
}

/* The queue waits for it no more. The hold would not end by itself. */
START_TEST(test_hold_ends)
{
    struct task computing, queued;
    ev_prepare prepare;
    bool held = false;
    config.lost_max = 2;
    config.queue_limit = TASKS_MAX;
    make(4);
    ev_prepare_init(&prepare, stop_hold_timer_cb);
    ev_prepare_start(loop, &prepare);
    ck_assert_int_eq(sched_start(sched), 0);
    task_init(&computing, 1, compute_body);
    submit(&computing);
    sem_wait(&computing.started);
    look(5);
    on_owner(hold_is_on_cb, &held);
    ck_assert(held);
    check_none_begins(&queued);
    lose(&computing);
    sem_wait(&queued.settled);
    on_owner(hold_is_on_cb, &held);
    ck_assert(!held);
    check(0, 1, 1);
    end(&computing);
    check(0, 0, 0);
    finish();
}
END_TEST

/* A hold for another job goes on. */
START_TEST(test_hold_for_another)
{
    struct task computing, sleeper;
    ev_prepare prepare;
    bool held = false;
    config.lost_max = 2;
    config.queue_limit = TASKS_MAX;
    make(4);
    ev_prepare_init(&prepare, stop_hold_timer_cb);
    ev_prepare_start(loop, &prepare);
    ck_assert_int_eq(sched_start(sched), 0);
    begin(&sleeper, give_and_sleep_body);
    task_init(&computing, 1, compute_body);
    submit(&computing);
    sem_wait(&computing.started);
    look(5);
    lose(&sleeper);
    on_owner(hold_is_on_cb, &held);
    ck_assert(held);
    end(&computing);
    end(&sleeper);
    finish();
}
END_TEST

START_TEST(test_not_followed)
{
    struct task task;
    config.thread_released = released_cb;
    config.cpus = 1;
    start_lost(4, 2);
    atomic_store(&released, true);
    task_init(&task, 1, compute_body);
    submit(&task);
    sem_wait(&task.started);
    look(4);
    ping();
    ck_assert_uint_eq(get_stats().taken_free, 1);
    ck_assert_uint_eq(atomic_load(&sched->watched), 1);
    lose(&task);
    look(4);
    ck_assert_uint_eq(atomic_load(&sched->watched), 0);
    ck_assert_uint_eq(atomic_load(&sched->followed), 0);
    end(&task);
    ck_assert_uint_eq(atomic_load(&sched->watched), 0);
    ck_assert(predict_is_free(kind_of(1))); /* what was seen of it counts */
    finish();
}
END_TEST

static atomic_bool told;

static void caught_cb(bool caught, void *arg) {
    (void)arg;
    check_owner();
    atomic_store(&told, caught);
}

static bool hurries_cb(void *arg) {
    (void)arg;
    return false;
}

static void start_told(unsigned threads) {
    config.caught = caught_cb;
    config.hurries = hurries_cb;
    config.thread_released = released_cb;
    start_lost(threads, 2);
}

static void lose_timer_cb(struct ev_loop *l, ev_timer *w, int revents) {
    (void)l;
    (void)revents;
    lose_cb(w->data);
}

/* A process is not full when others run in the places of its jobs. Nothing else happens that would tell it. */
START_TEST(test_others_are_told)
{
    struct task sleepers[2];
    ev_timer timer;
    start_told(2);
    begin_all(sleepers, 2);
    ck_assert(atomic_load(&told));
    ev_timer_init(&timer, lose_timer_cb, 0.001, 0.);
    timer.data = &sleepers[0];
    on_owner(timer_start, &timer);
    while (atomic_load(&told))
        sched_yield();
    end_all(sleepers, 2);
    finish();
}
END_TEST

/* It is caught while one computes with the jobs' lock, lost or not. */
START_TEST(test_caught)
{
    struct task computing;
    start_told(4);
    task_init(&computing, 1, compute_body);
    submit(&computing);
    sem_wait(&computing.started);
    look(5);
    ping();
    ck_assert(atomic_load(&told));
    lose(&computing);
    look(5);
    ping();
    ck_assert(atomic_load(&told));
    ck_assert_uint_eq(atomic_load(&sched->caught.count), 1);
    end(&computing);
    ck_assert(!atomic_load(&told));
    ck_assert_uint_eq(atomic_load(&sched->caught.count), 0);
    finish();
}
END_TEST

/* What is known of jobs. */

struct known {
    unsigned ended;
    uint64_t usual, last_end, stuck_since;
};

static void known_cb(void *arg) {
    *(struct known *)arg = (struct known){.ended = sched->queue.lines[LINE_ORDINARY].backlog.ended,
                                          .usual = sched_usual(sched),
                                          .last_end = sched_last_end(sched),
                                          .stuck_since = sched_stuck_since(sched)};
}

static struct known known(void) {
    struct known known;
    on_owner(known_cb, &known);
    return known;
}

/* How long it took is not how long jobs take. Its end frees no place, if that was free before. */
START_TEST(test_is_no_measure)
{
    struct task sleepers[4];
    start_lost(2, 1);
    begin_all(sleepers, 2);
    for (int i = 0; i < 2; i++)
        lose(&sleepers[i]);
    ck_assert_uint_eq(known().stuck_since, 0);
    begin(&sleepers[2], give_and_sleep_body);
    check(2, 2, 1);
    struct known before = known(), after;
    ck_assert_uint_gt(before.stuck_since, 0);
    sleepers[0].job.begun_at -= FOREVER_NS;
    sleepers[1].job.begun_at -= FOREVER_NS;
    end(&sleepers[0]);
    check(1, 1, 1);
    begin(&sleepers[3], give_and_sleep_body);
    end(&sleepers[1]);
    check(2, 0, 0);
    after = known();
    ck_assert_uint_eq(after.ended, before.ended);
    ck_assert_uint_eq(after.usual, before.usual);
    ck_assert_uint_eq(after.last_end, before.last_end);
    ck_assert_uint_ge(after.stuck_since, before.stuck_since);
    end_all(&sleepers[2], 2);
    ck_assert_uint_eq(known().ended, before.ended + 2);
    ck_assert_uint_gt(known().last_end, before.last_end);
    finish();
}
END_TEST

/* One that kept its place frees it at its end. */
START_TEST(test_end_beyond_the_bound)
{
    struct task sleeper;
    start_lost(2, 0);
    begin(&sleeper, give_and_sleep_body);
    struct known before = known();
    lose(&sleeper);
    end(&sleeper);
    ck_assert_uint_gt(known().last_end, before.last_end);
    ck_assert_uint_eq(known().ended, before.ended);
    finish();
}
END_TEST

/* The next of its kind is handed over in advance all the same. A busy machine may keep one awake. */
START_TEST(test_kind_is_known)
{
    struct task sleeper;
    uint32_t key = 1;
    start_lost(2, 1);
    watch_start();
    for (; key < 50 && !get_stats().taken_asleep; key++) {
        task_init(&sleeper, key, sleep_body);
        submit(&sleeper);
        sem_wait(&sleeper.started);
        ping();
        lose(&sleeper);
        check(0, 1, 1);
        end(&sleeper);
    }
    ck_assert(predict_blocks(kind_of(key - 1)));
    finish();
}
END_TEST

/* Threads. */

static unsigned with_stat(void) {
    unsigned count = 0;
    for (unsigned i = 0; i < atomic_load(&sched->pool.started); i++)
        count += atomic_load(&sched->pool.all[i]->stat_fd) >= 0;
    return count;
}

static void owner_has_stat_cb(void *arg) {
    *(bool *)arg = atomic_load(&sched->pool.all[word_owner(atomic_load(&sched->word))]->stat_fd) >= 0;
}

/* Whoever makes up for one is seen asleep as soon as others are, even a thread that had no descriptor before. */
START_TEST(test_descriptors)
{
    struct task waiting[MANY], lost[2], others[2];
    bool has_stat;
    start_peers(2, 2);
    for (int i = 0; i < MANY; i++)
        begin(&waiting[i], peer_body);
    ck_assert_uint_eq(with_stat(), 3);
    for (int i = 0; i < MANY; i++) {
        step(&waiting[i]);
        end(&waiting[i]);
    }
    ck_assert_uint_eq(with_stat(), 3);
    on_owner(owner_has_stat_cb, &has_stat);
    ck_assert(!has_stat);
    for (int i = 0; i < 2; i++) {
        begin(&lost[i], give_and_sleep_body);
        lose(&lost[i]);
        on_owner(owner_has_stat_cb, &has_stat);
        ck_assert(has_stat);
    }
    begin_all(others, 2);
    ck_assert_uint_gt(with_stat(), 3);
    ck_assert_uint_le(with_stat(), 5);
    ck_assert_uint_eq(with_stat(), atomic_load(&sched->pool.stats));
    end_all(others, 2);
    end_all(lost, 2);
    finish();
}
END_TEST

/* The owner has one when it loses them, but not the next one. */
START_TEST(test_descriptor_of_the_next_owner)
{
    struct task waiting[MANY], lost[2], given;
    bool has_stat;
    start_peers(2, 2);
    for (int i = 0; i < MANY; i++)
        begin(&waiting[i], peer_body);
    for (int i = 0; i < MANY; i++) {
        step(&waiting[i]);
        end(&waiting[i]);
    }
    make_predicted(1);
    for (int i = 0; i < 2; i++) { /* on other threads, while the owner stays */
        begin(&lost[i], give_and_sleep_body);
        ck_assert_int_lt(atomic_load(&lost[i].thread->stat_fd), 0);
        lose(&lost[i]);
    }
    ck_assert_uint_eq(with_stat(), 4);
    task_init(&given, 2, give_and_sleep_body); /* on a veteran, which gets the baton for it */
    submit(&given);
    sem_wait(&given.started);
    ck_assert_int_ge(atomic_load(&given.thread->stat_fd), 0);
    ck_assert_uint_eq(with_stat(), 5);
    end(&given);
    on_owner(owner_has_stat_cb, &has_stat);
    ck_assert(has_stat);
    end_all(lost, 2);
    finish();
}
END_TEST

START_TEST(test_descriptors_of_new_threads)
{
    struct task lost[2], others[2];
    start_lost(2, 2);
    for (int i = 0; i < 2; i++) {
        begin(&lost[i], give_and_sleep_body);
        lose(&lost[i]);
    }
    begin_all(others, 2);
    ping();
    ck_assert_uint_eq(get_stats().threads, 5);
    ck_assert_uint_eq(with_stat(), 5);
    end_all(others, 2);
    end_all(lost, 2);
    finish();
}
END_TEST

static void set_idle_cb(void *arg) {
    sched->retire.idle_ns = *(uint64_t *)arg;
}

/* They end like those that were there for peer waits, and their descriptors with them; again and again. */
START_TEST(test_threads_end)
{
    struct task lost[MANY];
    uint64_t idle_ns = 0;
    start_lost(2, MANY);
    on_owner(set_idle_cb, &idle_ns);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < MANY; i++) {
            begin(&lost[i], give_and_sleep_body);
            lose(&lost[i]);
        }
        ck_assert_uint_eq(get_stats().threads, MANY + 1);
        ck_assert_uint_eq(with_stat(), MANY + 1);
        end_all(lost, MANY);
        while (get_stats().threads > 3) /* one that is ending still counts, and would beside those of the next round */
            sched_yield();
        ck_assert_uint_eq(with_stat(), atomic_load(&sched->pool.stats));
        ck_assert_uint_le(with_stat(), 3);
    }
    finish();
}
END_TEST

/* The loop has a thread even when the system has no more: the job waits, and not the loop. */
START_TEST(test_no_thread)
{
    struct task sleepers[2], queued;
    start_lost(2, 2);
    begin_all(sleepers, 2);
    ping();
    log_catch();
    forbid_threads(true);
    lose(&sleepers[0]);
    check_none_begins(&queued);
    lose(&sleepers[1]);
    ping();
    ck_assert_int_eq(atomic_load(&queued.runs), 0);
    end(&sleepers[1]);
    sem_wait(&queued.settled);
    forbid_threads(false);
    ck_assert_int_eq(log_lines(), 1);
    end(&sleepers[0]);
    check(0, 0, 0);
    finish();
}
END_TEST

/* At the end they are waited for like others. */
START_TEST(test_quit)
{
    struct task sleepers[3];
    start_lost(3, 1);
    watch_start();
    begin_all(sleepers, 3);
    lose(&sleepers[0]);
    lose(&sleepers[1]);
    on_owner(quit_cb, NULL);
    while (sched_join(sched, clock_ns()) > 3) /* the owner ends */
        sched_yield();
    ck_assert_uint_eq(sched_join(sched, clock_ns()), 3);
    ck_assert_uint_eq(sched_lost(sched), 2);
    for (int i = 0; i < 3; i++)
        sem_post(&sleepers[i].go);
    join();
}
END_TEST

/* Which thread runs which job. */

static struct sched_job *looping;
static struct sched_thread *runs_on;

static void who_cb(void *arg) {
    struct task *task = arg;
    looping = sched_looping(sched);
    runs_on = sched_thread_of(sched, &task->job);
    sched_lose(sched, &task->job); /* no effect while it runs the loop */
    task->left--;
}

static void loop_body(struct task *task) {
    sem_post(&task->started);
    while (task->left > 0)
        REQUIRE(sched_run_loop(task->thread));
}

START_TEST(test_looping)
{
    struct task task;
    start_lost(2, 2);
    task_init(&task, 1, loop_body);
    task.left = 1;
    submit(&task);
    sem_wait(&task.started);
    on_owner(who_cb, &task);
    ck_assert_ptr_eq(looping, &task.job);
    ck_assert_ptr_eq(runs_on, task.thread);
    sem_wait(&task.settled);
    on_owner(who_cb, &task);
    ck_assert_ptr_null(looping);
    ck_assert_ptr_null(runs_on);
    check(0, 0, 0);
    finish();
}
END_TEST

static int tid_seen;

static void tid_body(struct task *task) {
    tid_seen = (int)gettid();
    give_and_sleep_body(task);
}

START_TEST(test_thread_of)
{
    struct task task;
    start_lost(2, 2);
    begin(&task, tid_body);
    on_owner(who_cb, &task);
    ck_assert_ptr_null(looping);
    ck_assert_ptr_eq(runs_on, task.thread);
    ck_assert_int_eq(sched_thread_tid(task.thread), tid_seen);
    end(&task);
    on_owner(who_cb, &task);
    ck_assert_ptr_null(runs_on);
    finish();
}
END_TEST

/* Everything at a time: jobs that block, wait for peers and end, and an owner that loses some at any moment. */

enum { CROWD = 12, RUNS = 400 };

static struct task crowd[CROWD];
static unsigned dice_of[CROWD];
static unsigned losses; /* the owner's */

static unsigned dice(unsigned *state, unsigned sides) {
    *state = *state * 1103515245u + 12345u;
    return (*state >> 16) % sides;
}

static void yield(unsigned times) {
    while (times--)
        sched_yield();
}

static void any_body(struct task *task) {
    unsigned *state = &dice_of[task - crowd];
    if (dice(state, 4))
        task->gave = sched_will_block(task->thread);
    for (unsigned rounds = dice(state, 4); rounds--;) {
        yield(dice(state, 10));
        sched_peer_wait_begins(task->thread);
        yield(dice(state, 10));
        sched_peer_wait_ends(task->thread);
    }
    yield(dice(state, 10));
}

static void lose_any_cb(struct ev_loop *l, ev_prepare *w, int revents) {
    static unsigned state = 1; /* Mutable state: the owner's */
    unsigned made_up = 0, rest = 0;
    (void)l;
    (void)w;
    (void)revents;
    if (dice(&state, 2)) {
        struct sched_job *job = &crowd[dice(&state, CROWD)].job;
        bool before = job->lost;
        sched_lose(sched, job);
        losses += job->lost && !before;
    }
    for (int i = 0; i < CROWD; i++) {
        REQUIRE(!crowd[i].job.lost || crowd[i].job.thread);
        made_up += crowd[i].job.made_up_for;
        rest += crowd[i].job.lost && !crowd[i].job.made_up_for;
    }
    REQUIRE(made_up == atomic_load(&sched->lost.made_up) && made_up <= sched->lost.max);
    REQUIRE(atomic_load(&sched->lost.count) <= made_up + rest);
    struct sched_job *job;
    TAILQ_FOREACH(job, &sched->lost.rest, link)
    rest--;
    REQUIRE(!rest);
}

START_TEST(test_torture)
{
    ev_prepare prepare;
    config.lost_max = 3;
    config.peer_waits_max = 4;
    config.queue_limit = TASKS_MAX;
    make(4);
    sched->retire.idle_ns = 0;
    for (int i = 0; i < CROWD; i++) {
        dice_of[i] = (unsigned)i + 1;
        task_init(&crowd[i], (uint32_t)i, any_body);
        crowd[i].left = RUNS;
        crowd[i].on_settle = submit_again;
    }
    ev_prepare_init(&prepare, lose_any_cb);
    ev_prepare_start(loop, &prepare);
    ck_assert_int_eq(sched_start(sched), 0);
    watch_start();
    for (int i = 0; i < CROWD; i++)
        submit(&crowd[i]);
    for (int i = 0; i < CROWD; i++) {
        for (int n = 0; n <= RUNS; n++)
            sem_wait(&crowd[i].settled);
    }
    ping();
    check(0, 0, 0);
    ck_assert_uint_eq(get_stats().peer_waits, 0);
    finish();
    ck_assert_uint_gt(losses, 0);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("sched_lost");
    TCase *c = tcase_create("sched_lost");
    suite_add_tcase(suite, c);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, test_another_runs);
    tcase_add_test(c, test_others_run);
    tcase_add_test(c, test_again_and_again);
    tcase_add_test(c, test_bound);
    tcase_add_test(c, test_the_next_follows);
    tcase_add_test(c, test_the_next_has_ended);
    tcase_add_test(c, test_none_is_made_up_for);
    tcase_add_test(c, test_single_thread);
    tcase_add_test(c, test_twice);
    tcase_add_test(c, test_twice_beyond_the_bound);
    tcase_add_test(c, test_queued);
    tcase_add_test(c, test_ended);
    tcase_add_test(c, test_ended_and_another_runs);
    tcase_add_test(c, test_before_it_begins);
    tcase_add_test(c, test_lost_in_a_peer_wait);
    tcase_add_test(c, test_waits_when_lost);
    tcase_add_test(c, test_waits_beyond_the_bound);
    tcase_add_test(c, test_follows_in_a_peer_wait);
    tcase_add_test(c, test_does_not_give_way);
    tcase_add_test(c, test_was_told);
    tcase_add_test(c, test_hold_ends);
    tcase_add_test(c, test_hold_for_another);
    tcase_add_test(c, test_not_followed);
    tcase_add_test(c, test_others_are_told);
    tcase_add_test(c, test_caught);
    tcase_add_test(c, test_is_no_measure);
    tcase_add_test(c, test_end_beyond_the_bound);
    tcase_add_test(c, test_kind_is_known);
    tcase_add_test(c, test_descriptors);
    tcase_add_test(c, test_descriptor_of_the_next_owner);
    tcase_add_test(c, test_descriptors_of_new_threads);
    tcase_add_test(c, test_threads_end);
    tcase_add_test(c, test_no_thread);
    tcase_add_test(c, test_quit);
    tcase_add_test(c, test_looping);
    tcase_add_test(c, test_thread_of);
    tcase_add_test(c, test_torture);
    return unit_run(suite);
}
