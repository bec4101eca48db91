/* What the tests of the queue share: jobs that wait behind one that sleeps, by a clock that the test moves. One thread:
 * when the one that runs is let go, one of those that wait runs. Linked with -Wl,--wrap=clock_gettime. */
#ifndef WSGI_FCGI_TESTS_QUEUE_RIG_H
#define WSGI_FCGI_TESTS_QUEUE_RIG_H

#include "fake_clock.h"
#include "sched_rig.h"

static const uint64_t MS = 1000000u, T1 = 1500000000u, T = 10000000000u;

enum { KEY_ORDINARY = 1, KEY_FREE = 2 };

static struct task tasks[TASKS_MAX];
static int ntasks, nrefused;
static struct task *refused_order[TASKS_MAX];
static struct task *running;

static inline void note_refused(struct task *task) {
    refused_order[nrefused++] = task;
}

/* Before it returns the owner has looked at the queue. */
static inline void look(void) {
    ping();
    ping();
}

static inline void pass(uint64_t ns) {
    clock_pass(ns);
    look();
}

static inline struct task *make_task_of(uint32_t key) {
    struct task *task = &tasks[ntasks++];
    task_init(task, key, give_and_sleep_body);
    task->on_expire = note_refused;
    return task;
}

static inline struct task *make_task(void) {
    return make_task_of(KEY_ORDINARY);
}

static inline bool is_taken(struct task *task) {
    on_owner(submit_cb, task);
    return task->accepted;
}

/* Its time has begun when this returns. */
static inline struct task *add_of(uint32_t key) {
    struct task *task = make_task_of(key);
    submit(task);
    look();
    return task;
}

static inline struct task *add(void) {
    return add_of(KEY_ORDINARY);
}

static bool is_queued_somewhere;

static inline void look_up_cb(void *arg) {
    struct task *task = arg;
    is_queued_somewhere = task->job.queued;
}

static inline bool waits(struct task *task) {
    on_owner(look_up_cb, task);
    return is_queued_somewhere;
}

static inline void left_cb(void *arg) {
    struct task *task = arg;
    sched_job_left(sched, &task->job);
}

static inline void leave(struct task *task) {
    on_owner(left_cb, task);
}

/* One that runs while others wait. */
static inline void begin(uint64_t timeout) {
    clock_stop();
    if (!config.queue_limit)
        config.queue_limit = TASKS_MAX;
    config.queue_timeout = timeout;
    start(1);
    running = add();
    sem_wait(&running->started);
}

/* The one that runs ends, and the expected one begins. */
static inline void next_is(struct task *expected) {
    sem_post(&running->go);
    sem_wait(&running->settled);
    sem_wait(&expected->started);
    running = expected;
}

static inline void refused_are(int count, struct task *const *expected) {
    look();
    ck_assert_int_eq(nrefused, count);
    for (int i = 0; i < count; i++) {
        ck_assert_ptr_eq(refused_order[i], expected[i]);
        ck_assert_int_eq(expected[i]->expiries, 1);
        ck_assert_int_eq(atomic_load(&expected[i]->runs), 0);
        ck_assert(!waits(expected[i]));
    }
}

#define REFUSED(...)                                                                                                   \
    do {                                                                                                               \
        struct task *const expected[] = {__VA_ARGS__};                                                                 \
        refused_are(COUNT(expected), expected);                                                                        \
    } while (0)

/* All others run, in any order. */
static inline void end(void) {
    for (int i = 0; i < ntasks; i++)
        sem_post(&tasks[i].go);
    for (int i = 0; i < ntasks; i++) {
        if (&tasks[i] == running || waits(&tasks[i]))
            sem_wait(&tasks[i].settled);
    }
    finish();
}

static unsigned retry_after;
static uint64_t last_end, stuck_since, usual;

static inline void tell_cb(void *arg) {
    (void)arg;
    retry_after = sched_retry_after(sched);
    last_end = sched_last_end(sched);
    stuck_since = sched_stuck_since(sched);
    usual = sched_usual(sched);
}

#endif
