/* Jobs that compute without the jobs' lock: what the watch makes of them. It looks when a test says so, and each
 * thread's state of the lock is what a test has set. */
#include "config.h"

#include "sched/sched.h"

#include "sched_rig.h"

enum { THREADS = 4, FREE_KIND = 1, OTHER_KIND = 2 };

static struct watch seen;
static atomic_bool released[THREADS + 1]; /* of the thread with this index */
static atomic_int asked;

static bool released_cb(struct sched_thread *thread, void *user) {
    REQUIRE(user == &stops);
    atomic_fetch_add(&asked, 1);
    return atomic_load(&released[thread->index]);
}

static void make_free(void) {
    config.thread_released = released_cb;
    config.queue_limit = TASKS_MAX;
    make(THREADS);
}

static void start_free(void) {
    make_free();
    ck_assert_int_eq(sched_start(sched), 0);
}

static void release(const struct task *task, bool yes) {
    atomic_store(&released[task->thread->index], yes);
}

static void look(int times) {
    while (times-- > 0)
        look_at_busy(&seen);
}

static unsigned watched_now(void) {
    return atomic_load(&sched->watched);
}

static bool kind_is_free(void) {
    return predict_is_free(kind_of(FREE_KIND));
}

static void compute_body(struct task *task) {
    sem_post(&task->started);
    while (!atomic_load(&task->stop))
        ;
}

static void lock_wait_compute_body(struct task *task) {
    sched_lock_wait(task->thread);
    compute_body(task);
    sched_lock_taken(task->thread);
}

/* Begins a job of FREE_KIND, with the lock at first. */
static void begin(struct task *task, void (*body)(struct task *task)) {
    task_init(task, FREE_KIND, body);
    submit(task);
    sem_wait(&task->started);
    release(task, false);
}

static void end(struct task *task) {
    atomic_store(&task->stop, true);
    sem_post(&task->go);
    sem_wait(&task->settled);
    ping();
    release(task, false);
    ck_assert_uint_eq(watched_now(), 0);
    ck_assert_uint_eq(atomic_load(&sched->followed), 0);
}

static void run_other(void) {
    struct task other;
    task_init(&other, OTHER_KIND, NULL);
    run_one(&other);
}

static void begin_handed_over(struct task *task, void (*body)(struct task *task), bool free) {
    uint64_t before = get_stats().handed_over;
    make_predicted(FREE_KIND);
    predict_record_free(kind_of(FREE_KIND), free);
    begin(task, body);
    ck_assert_uint_eq(get_stats().handed_over, before + 1);
    ck_assert_uint_eq(watched_now(), free);
}

/* Begins a job of a kind that is known to be free: it is handed over, and watched from its beginning. */
static void begin_known(struct task *task, void (*body)(struct task *task)) {
    begin_handed_over(task, body, true);
}

/* A job of such a kind that is asleep without the lock. */
static void begin_asleep(struct task *task, void (*body)(struct task *task)) {
    begin_known(task, body);
    release(task, true);
    while (!threads_is_asleep(task->thread))
        sched_yield();
}

/* Taking the loop. */

START_TEST(test_two_looks)
{
    struct task task;
    start_free();
    begin(&task, compute_body);
    release(&task, true);
    look(2);
    ck_assert_uint_eq(get_stats().taken_free, 0);
    ck_assert_uint_eq(watched_now(), 0);
    look(1);
    ck_assert_uint_eq(get_stats().taken_free, 1);
    ck_assert_uint_eq(watched_now(), 1);
    /* Nothing is held back. */
    ck_assert_uint_eq(atomic_load(&sched->hold.computing), 0);
    run_other();
    ck_assert_int_eq(task.settles, 0);
    end(&task);
    ck_assert_uint_eq(get_stats().taken_asleep + get_stats().taken_computing, 0);
    finish();
}
END_TEST

/* Not in a row, and then as a job that computes with the lock. */
START_TEST(test_looks_that_differ)
{
    struct task task;
    start_free();
    predict_record_free(kind_of(FREE_KIND), true);
    begin(&task, compute_body);
    for (int i = 0; i < 5; i++) {
        ck_assert_uint_eq(get_stats().taken_computing, 0);
        release(&task, i % 2);
        look(1);
    }
    ck_assert_uint_eq(get_stats().taken_computing, 1);
    ck_assert_uint_eq(get_stats().taken_free, 0);
    ck_assert_uint_eq(watched_now(), 0);
    end(&task);
    ck_assert(!kind_is_free());
    finish();
}
END_TEST

/* Whoever waits for the lock has none, and does not compute without it either. */
START_TEST(test_lock_wait)
{
    struct task task;
    start_free();
    begin(&task, lock_wait_compute_body);
    release(&task, true);
    look(5);
    ck_assert_uint_eq(get_stats().taken_free, 0);
    ck_assert_uint_eq(get_stats().taken_computing, 1);
    look(3);
    ck_assert_uint_eq(atomic_load(&sched->hold.computing), task.thread->index + 1);
    end(&task);
    finish();
}
END_TEST

/* Of a job whose beginning nobody has timed, the wait is known from when the watch has seen it. */
START_TEST(test_lock_wait_is_seen)
{
    struct task task;
    start_free();
    atomic_store(&kind_of(FREE_KIND)->measure, 0);
    begin(&task, lock_wait_compute_body);
    ck_assert(sched_waits_for_lock(task.thread));
    ck_assert_uint_eq(sched_waits_for_lock_since(task.thread), 0);
    uint64_t before = clock_ns(), since;
    while (!(since = sched_waits_for_lock_since(task.thread)))
        look(1);
    ck_assert(since >= before && since <= clock_ns());
    end(&task);
    ck_assert(task.job.lock_waited > 0 && task.job.lock_waited <= task.job.ended_at - since);
    ck_assert_uint_eq(sched_waits_for_lock_since(task.thread), 0);
    finish();
}
END_TEST

static void short_lock_wait_body(struct task *task) {
    atomic_store(&task->thread->lock_seen, 1); /* the watch comes late with what it has seen of a wait long ago */
    sched_lock_wait(task->thread);
    sched_lock_taken(task->thread);
}

START_TEST(test_lock_wait_is_no_longer_than_its_job)
{
    struct task task;
    start_free();
    atomic_store(&kind_of(FREE_KIND)->measure, 0);
    task_init(&task, FREE_KIND, short_lock_wait_body);
    run_one(&task);
    ck_assert_uint_le(task.job.lock_waited, task.job.ended_at - task.job.begun_at);
    finish();
}
END_TEST

/* Where the state of the lock cannot be told, everything that computes has it. */
START_TEST(test_nobody_to_ask)
{
    struct task task;
    start(THREADS);
    begin(&task, compute_body);
    look(5);
    ck_assert_uint_eq(get_stats().taken_computing, 1);
    ck_assert_uint_eq(get_stats().taken_free, 0);
    end(&task);
    finish();
}
END_TEST

/* Learning. */

START_TEST(test_free_is_learnt)
{
    struct task task;
    start_free();
    begin(&task, compute_body);
    release(&task, true);
    look(3);
    for (uint64_t since = clock_ns(); clock_ns() - since < PREDICT_WATCH_NS;)
        ; /* as it would between real looks */
    end(&task);
    ck_assert(kind_is_free());
    ck_assert(predict_blocks(kind_of(FREE_KIND)));
    begin(&task, compute_body);
    ck_assert_uint_eq(get_stats().handed_over, 1);
    ck_assert_uint_eq(watched_now(), 1);
    run_other();
    end(&task);
    finish();
}
END_TEST

/* As many looks of either kind are not enough. */
START_TEST(test_most_looks_decide)
{
    struct task task;
    start_free();
    for (int held = 2; held <= 4; held++) {
        begin_known(&task, compute_body);
        unsigned before = kind_of(FREE_KIND)->blind_ns;
        release(&task, true);
        look(3);
        release(&task, false);
        look(held);
        end(&task);
        ck_assert_int_eq(kind_is_free(), held < 3);
        ck_assert_int_eq(kind_of(FREE_KIND)->blind_ns == before - before / PREDICT_WEIGHT, held >= 3);
    }
    finish();
}
END_TEST

/* The looks that took the loop count: with the lock at first, it must be free for longer than that. */
START_TEST(test_looks_before_it_was_taken)
{
    struct task task;
    start_free();
    begin(&task, compute_body);
    look(3);
    release(&task, true);
    look(2);
    ck_assert_uint_eq(get_stats().taken_free, 1);
    end(&task);
    ck_assert(!kind_is_free());
    finish();
}
END_TEST

START_TEST(test_one_look_tells_nothing)
{
    struct task task;
    start_free();
    begin_known(&task, compute_body);
    look(1);
    end(&task);
    ck_assert(kind_is_free());
    finish();
}
END_TEST

/* A job that waits does not compute: nobody has to wait for it, and the loop is still handed over before the next. */
START_TEST(test_asleep)
{
    struct task task;
    start_free();
    begin_asleep(&task, sleep_body);
    look(9);
    ck_assert_uint_eq(watched_now(), 1);
    look(1);
    ck_assert_uint_eq(watched_now(), 0);
    ck_assert_uint_eq(atomic_load(&sched->followed), 0);
    look(1);
    ck_assert_uint_eq(watched_now(), 0);
    end(&task);
    ck_assert(!kind_is_free());
    ck_assert(predict_blocks(kind_of(FREE_KIND)));
    finish();
}
END_TEST

static void sleep_and_compute_body(struct task *task) {
    sleep_body(task);
    compute_body(task);
}

/* One that waits at first, and then computes for longer. */
START_TEST(test_asleep_and_free)
{
    struct task task;
    start_free();
    begin_asleep(&task, sleep_and_compute_body);
    look(20);
    sem_post(&task.go);
    sem_wait(&task.started);
    look(1);
    ck_assert_uint_eq(watched_now(), 1);
    look(20);
    end(&task);
    ck_assert(kind_is_free());
    finish();
}
END_TEST

/* Nobody knows of a kind that blocks whether it computes as well. */
START_TEST(test_kinds_that_block)
{
    struct task task;
    start_free();
    task_init(&task, FREE_KIND, NULL);
    run_one(&task); /* so that the kind is judged by itself */
    for (int i = 0; i < 2 * PREDICT_LOOK_CALLS; i++) {
        begin_handed_over(&task, compute_body, false);
        ck_assert_uint_eq(atomic_load(&sched->followed), i % PREDICT_LOOK_CALLS == 0);
        release(&task, true);
        look(3);
        ck_assert_uint_eq(watched_now(), 0);
        end(&task);
        ck_assert_int_eq(kind_is_free(), i % PREDICT_LOOK_CALLS == 0);
    }
    /* It would be this one's turn, but enough are looked at already. */
    atomic_store(&sched->sampled, 8);
    begin_handed_over(&task, compute_body, false);
    ck_assert_uint_eq(atomic_load(&sched->followed), 0);
    release(&task, true);
    end(&task);
    atomic_store(&sched->sampled, 0);
    finish();
}
END_TEST

/* While a job has the lock, whoever sleeps may be waiting for that. */
START_TEST(test_asleep_while_the_lock_is_held)
{
    struct task task, holder;
    start_free();
    begin_asleep(&task, sleep_body);
    task_init(&holder, OTHER_KIND, compute_body);
    submit(&holder);
    sem_wait(&holder.started);
    look(4);
    ck_assert_uint_eq(watched_now(), 1);
    look(20);
    ck_assert_uint_eq(watched_now(), 1);
    ck_assert_uint_eq(atomic_load(&task.thread->seen_asleep), 0);
    atomic_store(&holder.stop, true);
    sem_wait(&holder.settled);
    end(&task);
    ck_assert(kind_is_free());
    finish();
}
END_TEST

/* Nor does anybody wait for a job that computes for ever. */
START_TEST(test_long)
{
    struct task task;
    start_free();
    begin_known(&task, compute_body);
    release(&task, true);
    look(3);
    ck_assert_uint_eq(watched_now(), 1);
    atomic_fetch_sub(&task.thread->followed_at, 500000000); /* half a second ago */
    look(1);
    ck_assert_uint_eq(watched_now(), 0);
    end(&task);
    ck_assert(kind_is_free());
    finish();
}
END_TEST

/* The owner, who may wait for it. */

static sem_t polled;

static void polled_cb(struct ev_loop *l, ev_check *w, int revents) {
    (void)l;
    (void)w;
    (void)revents;
    sem_post(&polled);
}

static void check_start(void *arg) {
    ev_check_start(loop, arg);
}

START_TEST(test_owner_is_woken)
{
    struct task task;
    ev_check check;
    start_free();
    sem_init(&polled, 0, 0);
    ev_check_init(&check, polled_cb);
    begin_asleep(&task, sleep_body);
    on_owner(check_start, &check);
    look(10);
    ck_assert_uint_eq(watched_now(), 0);
    sem_wait(&polled);
    end(&task);
    finish();
}
END_TEST

static void peer_wait_body(struct task *task) {
    sched_peer_wait_begins(task->thread);
    sleep_body(task);
    sched_peer_wait_ends(task->thread);
}

START_TEST(test_peer_wait)
{
    struct task task;
    config.peer_waits_max = 1;
    start_free();
    make_predicted(FREE_KIND);
    predict_record_free(kind_of(FREE_KIND), true);
    begin(&task, peer_wait_body);
    ck_assert_uint_eq(get_stats().peer_waits, 1);
    ck_assert_uint_eq(watched_now(), 0);
    end(&task);
    ck_assert(kind_is_free());
    finish();
}
END_TEST

/* A thread that ends. */

static sem_t in_look, look_on;

static bool slow_released_cb(struct sched_thread *thread, void *user) {
    bool result = released_cb(thread, user);
    sem_post(&in_look);
    sem_wait(&look_on);
    REQUIRE(!atomic_load(&stops));
    return result;
}

static void *look_main(void *arg) {
    (void)arg;
    look(2);
    return NULL;
}

START_TEST(test_thread_ends_during_a_look)
{
    struct task task;
    pthread_t looker;
    make_free();
    sched->config.thread_released = slow_released_cb;
    ck_assert_int_eq(sched_start(sched), 0);
    sem_init(&in_look, 0, 0);
    sem_init(&look_on, 0, 0);
    begin(&task, compute_body);
    task.on_settle = quit_on_settle;
    ck_assert_int_eq(pthread_create(&looker, NULL, look_main, NULL), 0);
    sem_wait(&in_look);
    atomic_store(&task.stop, true);
    sem_wait(&task.settled);
    while (!atomic_load(&stops) && !threads_is_asleep(task.thread))
        sched_yield();
    ck_assert_int_eq(atomic_load(&stops), 0);
    sem_post(&look_on);
    pthread_join(looker, NULL);
    ck_assert_uint_eq(sched_join(sched, clock_ns() + FOREVER_NS), 0);
    /* Nobody asks about it any more. */
    atomic_store(&sched->hold.computing, task.thread->index + 1);
    look(1);
    ck_assert_int_eq(atomic_load(&asked), 1);
    join();
}
END_TEST

/* The watch sleeps while nothing is followed but what sleeps itself. */
START_TEST(test_watch_parks_and_wakes)
{
    struct task task;
    start_free();
    watch_start();
    for (int i = 0; i < 3; i++) {
        wait_parked();
        make_predicted(FREE_KIND);
        predict_record_free(kind_of(FREE_KIND), true);
        begin(&task, compute_body);
        release(&task, true);
        while (!atomic_load(&task.thread->seen_free))
            sched_yield();
        end(&task);
    }
    wait_parked();
    begin_asleep(&task, sleep_body);
    wait_parked();
    end(&task);
    finish();
}
END_TEST

/* Ends against looks. */

static atomic_bool hammer_stop;

static void *hammer_main(void *arg) {
    (void)arg;
    while (!atomic_load(&hammer_stop))
        look(1);
    return NULL;
}

static void until_taken_body(struct task *task) {
    while (baton_is_lent(task->thread, atomic_load(&sched->word)))
        ;
}

static void short_body(struct task *task) {
    for (int i = 0; i < 200 * (task->left % 8); i++)
        atomic_store(&released[task->thread->index], i % 16 != 0);
}

START_TEST(test_ends_against_looks)
{
    enum { ROUNDS = 4000, TASKS = 3 };
    struct task tasks[TASKS];
    pthread_t hammer;
    start_free();
    ck_assert_int_eq(pthread_create(&hammer, NULL, hammer_main, NULL), 0);
    for (int i = 0; i <= THREADS; i++)
        atomic_store(&released[i], true);
    for (uint32_t key = OTHER_KIND; !get_stats().taken_free; key++) {
        task_init(&tasks[0], key, until_taken_body);
        run_one(&tasks[0]);
    }
    for (int i = 0; i < TASKS; i++) {
        task_init(&tasks[i], FREE_KIND, short_body);
        tasks[i].on_settle = submit_again;
        tasks[i].left = ROUNDS - 1;
        submit(&tasks[i]);
    }
    for (int i = 0; i < TASKS; i++)
        for (int k = 0; k < ROUNDS; k++)
            sem_wait(&tasks[i].settled);
    ping();
    atomic_store(&hammer_stop, true);
    pthread_join(hammer, NULL);
    ck_assert_uint_eq(watched_now(), 0);
    finish();
}
END_TEST

int main(void) {
    Suite *suite = suite_create("sched_free");
    TCase *c = tcase_create("sched_free");
    suite_add_tcase(suite, c);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, test_two_looks);
    tcase_add_test(c, test_looks_that_differ);
    tcase_add_test(c, test_lock_wait);
    tcase_add_test(c, test_lock_wait_is_seen);
    tcase_add_test(c, test_lock_wait_is_no_longer_than_its_job);
    tcase_add_test(c, test_nobody_to_ask);
    tcase_add_test(c, test_free_is_learnt);
    tcase_add_test(c, test_most_looks_decide);
    tcase_add_test(c, test_looks_before_it_was_taken);
    tcase_add_test(c, test_one_look_tells_nothing);
    tcase_add_test(c, test_asleep);
    tcase_add_test(c, test_asleep_and_free);
    tcase_add_test(c, test_kinds_that_block);
    tcase_add_test(c, test_asleep_while_the_lock_is_held);
    tcase_add_test(c, test_long);
    tcase_add_test(c, test_owner_is_woken);
    tcase_add_test(c, test_peer_wait);
    tcase_add_test(c, test_thread_ends_during_a_look);
    tcase_add_test(c, test_watch_parks_and_wakes);
    tcase_add_test(c, test_ends_against_looks);
    return unit_run(suite);
}
