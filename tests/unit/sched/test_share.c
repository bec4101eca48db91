/* How the owner shares its time between events and jobs, when there are more of both than it can do. By a clock that
 * moves only when one of them takes its time, so that each turn is the same. */
#include "config.h"

#include "sched/sched.h"

#include "fake_clock.h"
#include "sched_rig.h"

#include <sys/eventfd.h>

static const uint64_t US = 1000u;

enum { TURNS = 5, TASKS = 2 };

/* The owner's. */
static struct task tasks[TASKS];
static uint64_t event_takes, job_takes;
static int turns, jobs, jobs_before[TURNS + 1];
static bool enough;
static ev_io io;

static void job_body(struct task *task) {
    (void)task;
    clock_pass(job_takes);
}

static void submit_until_enough(struct task *task) {
    jobs++;
    if (!enough)
        REQUIRE(sched_submit(sched, &task->job));
}

static sem_t all_turns;

/* Always ready. */
static void io_cb(struct ev_loop *l, ev_io *w, int revents) {
    (void)revents;
    clock_pass(event_takes);
    if (turns <= TURNS)
        jobs_before[turns++] = jobs;
    if (turns <= TURNS)
        return;
    ev_io_stop(l, w);
    enough = true;
    sem_post(&all_turns);
}

/* So many jobs are never alone. */
static void begin(uint64_t events, uint64_t each, void (*body)(struct task *task)) {
    clock_stop();
    event_takes = events;
    job_takes = each;
    config.queue_limit = TASKS;
    make(1);
    sem_init(&all_turns, 0, 0);
    int fd = eventfd(1, EFD_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ev_io_init(&io, io_cb, fd, EV_READ);
    ev_io_start(loop, &io);
    for (int i = 0; i < TASKS; i++) {
        task_init(&tasks[i], 1, body);
        tasks[i].on_settle = submit_until_enough;
        ck_assert(sched_submit(sched, &tasks[i].job));
    }
    ck_assert_int_eq(sched_start(sched), 0);
}

static void end(void) {
    sem_wait(&all_turns);
    finish();
    close(io.fd);
}

/* Jobs run for three times as long as the events took, but for 1 ms at least and 0.3 s at most. The events come all the
 * same: the loop goes on, however many jobs there are. */
START_TEST(test_share)
{
    static const struct {
        uint64_t event, job;
        int jobs;
    } cases[] = {
        {0, 20000, 51},             /* 1 ms, and the one at its end */
        {333000, 20000, 51},        /* still */
        {400000, 20000, 61},        /* 1.2 ms */
        {10000000, 20000, 1501},    /* 30 ms */
        {100000000, 1000000, 301},  /* 0.3 s */
        {2000000000, 1000000, 301}, /* 2 s: a disk was slow, or the process was stopped */
        {0, 5000000, 1},
        {10000000, 50000000, 1},
    };
    begin(cases[_i].event, cases[_i].job, job_body);
    end();
    for (int i = 1; i < TURNS; i++)
        ck_assert_int_eq(jobs_before[i + 1] - jobs_before[i], cases[_i].jobs);
}
END_TEST

static int posted_at = -1, called_at = -1;
static struct sched_note note;

static void note_cb(struct sched_note *n) {
    REQUIRE(n == &note);
    called_at = jobs;
}

static void post_body(struct task *task) {
    job_body(task);
    if (turns == 2 && posted_at < 0) {
        posted_at = jobs;
        sched_post(sched, &note);
    }
}

/* What other threads post, such as a job that has ended there, is not kept waiting for longer than 1 ms. */
START_TEST(test_notes)
{
    note.call = note_cb;
    begin(100000 * US, 20 * US, post_body);
    end();
    ck_assert_int_ge(called_at, posted_at);
    ck_assert_int_le(called_at, posted_at + 1000 / 20 + 2);
    ck_assert_int_gt(jobs_before[3] - jobs_before[2], 15000);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("sched_share");
    TCase *c = tcase_create("sched_share");
    suite_add_tcase(suite, c);
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, test_share, 0, 8);
    tcase_add_test(c, test_notes);
    return unit_run(suite);
}
