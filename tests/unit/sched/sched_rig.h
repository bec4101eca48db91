/* What the tests of the scheduler share: one scheduler, its loop and its watch, and jobs that do what a test says.
 *
 * Nothing here measures time or waits for it to pass: a job that is stuck is let go by what must happen meanwhile, so
 * that a scheduler which does not bring it about hangs the test. */
#ifndef WSGI_FCGI_TESTS_SCHED_RIG_H
#define WSGI_FCGI_TESTS_SCHED_RIG_H

#include "base/clock.h"
#include "sched/sched.h"
#include "sched/sched_impl.h"
#include "sched/taskstat.h"
#include "unit/unit.h"

#include <fcntl.h>
#include <sched.h>

enum { TASKS_MAX = 128 };
static const uint64_t FOREVER_NS = 60000000000u;

static struct ev_loop *loop;
static struct sched *sched;
static struct sched_config config;
static int wake[2];
static pthread_t watch;
static bool watched;
static atomic_bool watch_stop;
static atomic_int wakes, stops, pauses;
static _Thread_local bool kept; /* what a job leaves for the next one on its thread */

/* The owner's, and not atomic on purpose: ThreadSanitizer finds a second owner. */
static int nsettled, nexpired;
static struct task *settled_order[TASKS_MAX];

struct task {
    struct sched_job job;
    void (*body)(struct task *task); /* NULL: nothing to do */
    void (*on_settle)(struct task *task);
    void (*on_expire)(struct task *task);
    struct sched_thread *thread;
    pthread_t ran_on;
    atomic_int runs;
    int settles, expiries, left;
    int detached, rejoined;
    bool accepted, cancelled, gave, goes_on;
    atomic_int told;   /* to give way */
    int pauses_before; /* it began */
    atomic_bool stop;
    sem_t started, go, settled, expired;
};

static inline void check_owner(void) {
    uint64_t word = atomic_load(&sched->word);
    REQUIRE(word_phase(word) == SCHED_LOOP);
    REQUIRE(pthread_equal(sched->pool.all[word_owner(word)]->id, pthread_self()));
}

static inline void task_run(struct sched_job *job, struct sched_thread *thread) {
    struct task *task = (struct task *)job;
    task->thread = thread;
    task->ran_on = pthread_self();
    atomic_fetch_add(&task->runs, 1);
    if (task->body)
        task->body(task);
}

static inline void task_detached(struct sched_job *job) {
    struct task *task = (struct task *)job;
    check_owner();
    task->detached++;
    REQUIRE(task->detached == task->rejoined + 1);
}

static inline void task_rejoined(struct sched_job *job) {
    struct task *task = (struct task *)job;
    check_owner();
    task->rejoined++;
    REQUIRE(task->settles == atomic_load(&task->runs) - 1);
}

static inline void task_settle(struct sched_job *job) {
    struct task *task = (struct task *)job;
    check_owner();
    REQUIRE(task->detached == task->rejoined);
    settled_order[nsettled++ % TASKS_MAX] = task;
    task->settles++;
    REQUIRE(task->settles == atomic_load(&task->runs));
    if (task->on_settle)
        task->on_settle(task);
    sem_post(&task->settled);
}

static inline void task_expired(struct sched_job *job) {
    struct task *task = (struct task *)job;
    check_owner();
    nexpired++;
    task->expiries++;
    if (task->on_expire)
        task->on_expire(task);
    sem_post(&task->expired);
}

static inline void task_gives_way(struct sched_job *job) {
    struct task *task = (struct task *)job;
    check_owner();
    atomic_fetch_add(&task->told, 1);
    atomic_store(&task->stop, true);
    sem_post(&task->go);
}

static const struct sched_job_ops task_ops = {.run = task_run,
                                              .detached = task_detached,
                                              .rejoined = task_rejoined,
                                              .settle = task_settle,
                                              .expired = task_expired,
                                              .gives_way = task_gives_way};

/* One look, at a job that had a processor since the last one for as long as anybody asks. */
static inline void look_at_busy(struct watch *w) {
    w->used -= 1000000000;
    watch_look(sched, w);
}

static inline void task_init(struct task *task, uint32_t key, void (*body)(struct task *task)) {
    *task = (struct task){.job = {.ops = &task_ops, .key = key}, .body = body};
    sem_init(&task->started, 0, 0);
    sem_init(&task->go, 0, 0);
    sem_init(&task->settled, 0, 0);
    sem_init(&task->expired, 0, 0);
}

/* Called by a job: however slow the machine is, nobody looks for events before the next one. */
static inline void no_events_before_the_next(void) {
    sched->owner.polled = sched->owner.runs_since + 1; /* so the next is the first one behind a look */
}

/* On the owner. */

static inline void submit_again(struct task *task) {
    if (task->left && task->left--)
        REQUIRE(sched_submit(sched, &task->job));
}

static inline void timer_start(void *arg) {
    ev_timer_start(loop, arg);
}

/* Bodies. */

static inline void sleep_body(struct task *task) {
    sem_post(&task->started);
    sem_wait(&task->go);
}

static inline void give_and_sleep_body(struct task *task) {
    task->gave = sched_will_block(task->thread);
    sleep_body(task);
}

/* Until its thread sleeps in the body. */
static inline void wait_asleep(struct task *task) {
    sem_wait(&task->started);
    while (!threads_is_asleep(task->thread))
        sched_yield();
}

static inline void lock_wait_body(struct task *task) {
    sched_lock_wait(task->thread);
    sleep_body(task);
    sched_lock_taken(task->thread);
}

/* On the owner, from the test's thread. */

struct errand {
    struct sched_note note;
    void (*call)(void *arg);
    void *arg;
    sem_t done;
};

static inline void errand_cb(struct sched_note *note) {
    struct errand *errand = (struct errand *)note;
    check_owner();
    if (errand->call)
        errand->call(errand->arg);
    sem_post(&errand->done);
}

static inline void on_owner(void (*call)(void *arg), void *arg) {
    struct errand errand = {.note.call = errand_cb, .call = call, .arg = arg};
    sem_init(&errand.done, 0, 0);
    sched_post(sched, &errand.note);
    sem_wait(&errand.done);
    sem_destroy(&errand.done);
}

/* Returns when the loop runs. */
static inline void ping(void) {
    on_owner(NULL, NULL);
}

static inline void submit_cb(void *arg) {
    struct task *task = arg;
    task->accepted = sched_submit(sched, &task->job);
}

static inline void submit(struct task *task) {
    on_owner(submit_cb, task);
    ck_assert(task->accepted);
}

static inline void run_one(struct task *task) {
    submit(task);
    sem_wait(&task->settled);
}

/* Runs it once, asleep while the loop goes on. */
static inline void sleep_once(struct task *sleeper) {
    submit(sleeper);
    wait_asleep(sleeper);
    ping();
    sem_post(&sleeper->go);
    sem_wait(&sleeper->settled);
}

static inline struct sched_stats get_stats(void) {
    struct sched_stats stats;
    sched_get_stats(sched, &stats);
    return stats;
}

static inline void quit_cb(void *arg) {
    (void)arg;
    sched_quit(sched);
}

static inline void quit_on_settle(struct task *task) {
    quit_cb(task);
}

static inline void thread_stop(struct sched_thread *thread, void *user) {
    REQUIRE(user == &stops);
    REQUIRE(!sched_thread_user(thread) && !kept);
    sched_thread_set_user(thread, &stops);
    atomic_fetch_add(&stops, 1);
}

static inline void thread_pause(struct sched_thread *thread, void *user) {
    REQUIRE(user == &stops);
    REQUIRE(pthread_equal(thread->id, pthread_self()));
    REQUIRE(kept);
    kept = false;
    atomic_fetch_add(&pauses, 1);
}

static inline bool on_wake(void *arg) {
    char bytes[16];
    REQUIRE(arg == &wakes);
    while (read(wake[0], bytes, sizeof bytes) > 0)
        ;
    atomic_fetch_add(&wakes, 1);
    return atomic_load(&watch_stop);
}

static inline void *watch_main(void *arg) {
    (void)arg;
    sched_watch(sched, wake[0], 0, on_wake, &wakes);
    return NULL;
}

static inline void watch_start(void) {
    watched = true;
    ck_assert_int_eq(pthread_create(&watch, NULL, watch_main, NULL), 0);
}

static inline void watch_end(void) {
    atomic_store(&watch_stop, true);
    ck_assert_int_eq(write(wake[1], "", 1), 1);
    pthread_join(watch, NULL);
    watched = false;
}

/* Until the watch sleeps until something happens. */
static inline void wait_parked(void) {
    while (!atomic_load(&sched->watch_parked))
        sched_yield();
}

static inline struct predict_kind *kind_of(uint32_t key) {
    return predict_kind(predict_slot(&sched->predict, key), key);
}

static inline void make_predicted(uint32_t key) {
    for (int i = 0; i < 100; i++)
        predict_record(kind_of(key), FOREVER_NS, true);
}

static inline void make_quick(uint32_t key) {
    for (int calls = 0; calls < PREDICT_QUICK_CALLS; calls++)
        predict_record_duration(kind_of(key), 0);
}

static inline void make(unsigned threads) {
    ck_assert_int_eq(pipe2(wake, O_NONBLOCK | O_CLOEXEC), 0);
    loop = ev_loop_new(EVFLAG_AUTO);
    ck_assert_ptr_ne(loop, NULL);
    config.loop = loop;
    config.threads = threads;
    config.thread_stop = thread_stop;
    config.thread_pause = thread_pause;
    config.user = &stops;
    config.wake_fd = wake[1];
    sched = sched_new(&config);
    ck_assert_ptr_ne(sched, NULL);
}

/* Without the watch only what jobs and owners do themselves happens, each time in the same way. */
static inline void start(unsigned threads) {
    make(threads);
    ck_assert_int_eq(sched_start(sched), 0);
}

static inline void start_watched(unsigned threads) {
    start(threads);
    watch_start();
}

/* After sched_quit. */
static inline void join(void) {
    ck_assert_uint_eq(sched_join(sched, clock_ns() + FOREVER_NS), 0);
    if (watched)
        pthread_join(watch, NULL);
    struct sched_stats stats = get_stats();
    ck_assert_uint_eq(stats.threads, 0);
    ck_assert_uint_eq(stats.busy, 0);
    ck_assert_uint_eq(stats.peer_waits, 0);
    ck_assert_uint_eq(stats.lost, 0);
    ck_assert_uint_eq(atomic_load(&sched->pool.stats), 0);
    ck_assert_uint_eq(atomic_load(&sched->followed), 0);
    ck_assert_uint_eq(atomic_load(&sched->sampled), 0);
    ck_assert_uint_le(stats.veterans, config.threads + config.peer_waits_max + config.lost_max + sched->pool.again);
    ck_assert_uint_le(sched->pool.started, config.threads + config.peer_waits_max + config.lost_max + 1);
    ck_assert_uint_eq(stops, sched->pool.started + sched->pool.again);
    sched_free(sched);
    ev_loop_destroy(loop);
    close(wake[0]);
    close(wake[1]);
}

static inline void finish(void) {
    on_owner(quit_cb, NULL);
    join();
}

/* The log, read while it is not written to standard error. */

static int log_fd, stderr_fd;
static char logged[4096];

static inline void log_catch(void) {
    log_fd = memfd_create("log", MFD_CLOEXEC);
    stderr_fd = dup(STDERR_FILENO);
    ck_assert_int_ge(log_fd, 0);
    ck_assert_int_ge(dup2(log_fd, STDERR_FILENO), 0);
}

/* How many lines there were since log_catch; `logged` has them. */
static inline int log_lines(void) {
    int lines = 0;
    dup2(stderr_fd, STDERR_FILENO);
    close(stderr_fd);
    ssize_t n = pread(log_fd, logged, sizeof logged - 1, 0);
    logged[n > 0 ? n : 0] = '\0';
    for (ssize_t i = 0; i < n; i++)
        lines += logged[i] == '\n';
    close(log_fd);
    return lines;
}

#endif
