#include "config.h"

#include "sched/sched.h"

#include "sched_rig.h"

/* All at once. */

enum { STRESS_JOBS = 20000, STRESS_TASKS = 100 };

static unsigned stress_submitted;
static sem_t stress_done;
static struct task stress_tasks[STRESS_TASKS];

static void compute_shortly(void) {
    for (uint64_t until = clock_ns() + 300000; clock_ns() < until;)
        ;
}

static void stress_body(struct task *task) {
    unsigned kind = (unsigned)task->left % 40;
    if (kind == 0)
        usleep(1000 + (unsigned)task->left % 2000);
    else if (kind == 1)
        compute_shortly();
    else if (kind == 2) {
        sched_will_block(task->thread);
        usleep(100);
    } else if (kind == 3) {
        sched_lock_wait(task->thread);
        usleep(100);
        sched_lock_taken(task->thread);
    } else if (kind == 4)
        sched_run_loop(task->thread);
    else if (kind == 5 && sched_will_block(task->thread)) {
        sched_peer_wait_begins(task->thread);
        usleep(100);
        sched_peer_wait_ends(task->thread);
    }
}

static void stress_submit(struct task *task) {
    if (stress_submitted == STRESS_JOBS)
        return;
    task->left = (int)stress_submitted++;
    task->job.key = (uint32_t)task->left % 120;
    REQUIRE(sched_submit(sched, &task->job));
}

static void stress_settle(struct task *task) {
    if (nsettled == STRESS_JOBS)
        sem_post(&stress_done);
    else if (task->left % 3)
        stress_submit(task);
    else
        task->accepted = false; /* the timer's */
}

static void stress_timer_cb(struct ev_loop *l, ev_timer *w, int revents) {
    (void)revents;
    for (int i = 0; i < STRESS_TASKS; i++) {
        if (!stress_tasks[i].accepted) {
            stress_tasks[i].accepted = true;
            stress_submit(&stress_tasks[i]);
        }
    }
    if (nsettled == STRESS_JOBS)
        ev_timer_stop(l, w);
}

START_TEST(test_stress)
{
    ev_timer timer;
    config.queue_limit = STRESS_TASKS;
    config.peer_waits_max = 4;
    start_watched(8);
    sem_init(&stress_done, 0, 0);
    for (int i = 0; i < STRESS_TASKS; i++) {
        task_init(&stress_tasks[i], 0, stress_body);
        stress_tasks[i].on_settle = stress_settle;
    }
    ev_timer_init(&timer, stress_timer_cb, 0., 0.001);
    on_owner(timer_start, &timer);
    sem_wait(&stress_done);
    ping();
    ck_assert_int_eq(nsettled, STRESS_JOBS);
    ck_assert_uint_eq(get_stats().queued, 0);
    ck_assert_uint_eq(get_stats().busy, 0);
    finish();
}
END_TEST

int main(void) {
    Suite *suite = suite_create("sched");
    TCase *c = tcase_create("sched");
    suite_add_tcase(suite, c);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, test_stress);
    return unit_run(suite);
}
