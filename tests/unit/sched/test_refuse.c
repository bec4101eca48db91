/* Who is refused, when, and in which order the others run. */
#include "config.h"

#include "sched/sched.h"

#include "queue_rig.h"

START_TEST(test_in_order)
{
    begin(T);
    struct task *a = add(), *b = add(), *c = add();
    pass(T1 / 2);
    next_is(a);
    next_is(b);
    next_is(c);
    end();
    ck_assert_int_eq(nrefused, 0);
}
END_TEST

/* Nobody is served: one that is alone is refused when it has waited for T, and no sooner. */
START_TEST(test_stuck)
{
    begin(T);
    struct task *a = add();
    pass(T);
    ck_assert_int_eq(nrefused, 0);
    pass(1);
    REFUSED(a);
    struct task *b = add();
    pass(T);
    ck_assert(waits(b));
    pass(1);
    REFUSED(a, b);
    end();
}
END_TEST

/* Of many, those who could not be served even if another job ended now, and then took no longer. */
START_TEST(test_many_stuck)
{
    struct task *many[8];
    begin(T);
    for (int i = 0; i < COUNT(many); i++)
        many[i] = add();
    pass(T1);
    ck_assert_int_eq(nrefused, 0);
    pass(1); /* one now, and then one each 1.5 s: six of them within the 8.5 s that are left */
    REFUSED(many[0], many[1]);
    end();
}
END_TEST

/* They are served, one in a second: those who can be served within T are kept, and the newest goes first. */
START_TEST(test_newest_first)
{
    begin(T);
    struct task *a = add(), *b = add(), *c = add();
    pass(T1 / 2);
    next_is(a);
    pass(T1 / 2 + 1);
    struct task *d = add();
    ck_assert_int_eq(nrefused, 0);
    next_is(d);
    next_is(c);
    next_is(b);
    end();
}
END_TEST

/* So it does before, when the queue is longer than T1. */
START_TEST(test_newest_first_of_many)
{
    begin(T);
    struct task *a = add(), *b = add(), *c = add(), *d = add();
    pass(T1 / 2);
    next_is(a); /* three wait, each takes T1 / 2: they wait for T1 */
    pass(0);
    next_is(b);
    struct task *e = add(), *f = add(), *g = add(), *h = add(), *i = add();
    pass(1); /* two were taken: seven wait, for more than T1 */
    next_is(i);
    (void)c, (void)d, (void)e, (void)f, (void)g, (void)h;
    end();
    ck_assert_int_eq(nrefused, 0);
}
END_TEST

/* Too many to be served within T: the oldest go, as many as it takes, but first the one whose client has left. */
START_TEST(test_too_many)
{
    struct task *many[15];
    begin(T);
    for (int i = 0; i < COUNT(many); i++)
        many[i] = add();
    pass(T1 / 2);
    next_is(many[0]);
    pass(T1 / 2);
    leave(many[7]);
    look();
    ck_assert_int_eq(nrefused, 0);
    /* 14 wait, one for each 0.751 s: 11 can be served in the 8.5 s that are left. */
    pass(MS);
    REFUSED(many[7], many[1], many[2]);
    end();
}
END_TEST

/* Whoever has waited for T goes, and before one whose client has left. */
START_TEST(test_for_too_long)
{
    const uint64_t step = T1 / 6;
    struct task *first[6];
    begin(T);
    for (int i = 0; i < COUNT(first); i++)
        first[i] = add();
    struct task *oldest = add();
    for (int i = 0; i < COUNT(first); i++) {
        pass(step);
        next_is(first[i]);
    }
    for (uint64_t waited = T1; waited < T - T1; waited += step) {
        pass(step);
        next_is(add());
    }
    struct task *left = add();
    leave(left);
    look();
    ck_assert_int_eq(nrefused, 0);
    pass(T1 + 1);
    REFUSED(oldest);
    ck_assert(waits(left));
    end();
}
END_TEST

/* Who has left runs like any other as long as nobody has to go, and in its turn. */
static void submit_and_leave_cb(void *arg) {
    submit_cb(arg);
    left_cb(arg);
}

START_TEST(test_left)
{
    begin(T);
    struct task *a = add(), *b = make_task(), *c = add();
    on_owner(submit_and_leave_cb, b); /* before the first look, and after it */
    leave(a);
    leave(a);
    leave(running); /* and without effect: it runs */
    next_is(a);
    next_is(c);
    next_is(b);
    ck_assert_int_eq(nrefused, 0);
    end();
}
END_TEST

static void submit_leave_and_cancel_cb(void *arg) {
    submit_and_leave_cb(arg);
    REQUIRE(sched_cancel(sched, &((struct task *)arg)->job));
}

static void cancel_cb(void *arg) {
    struct task *task = arg;
    REQUIRE(sched_cancel(sched, &task->job));
}

/* A job that has left may be cancelled, and then submitted again without having left. */
START_TEST(test_left_and_cancelled)
{
    begin(T);
    struct task *a = add(), *b = add(), *c = add();
    leave(b);
    look();
    leave(c);
    on_owner(cancel_cb, b);
    leave(b);
    ck_assert_uint_eq(get_stats().queued, 2);
    pass(MS);
    on_owner(submit_leave_and_cancel_cb, b); /* before it was looked at */
    submit(b);
    look();
    pass(T + 1 - MS);
    REFUSED(a, c);
    ck_assert(waits(b));
    end();
}
END_TEST

static struct task *late;

static void submit_late(struct task *task) {
    note_refused(task);
    submit_cb(late);
}

/* One that comes when the last one is refused runs. */
START_TEST(test_comes_meanwhile)
{
    begin(T);
    struct task *a = add();
    late = make_task();
    a->on_expire = submit_late;
    clock_pass(T + 1);
    next_is(late);
    REFUSED(a);
    end();
}
END_TEST

/* Memory. */

/* The new one is refused, unless the oldest has waited for half of T1. */
START_TEST(test_full)
{
    config.queue_limit = 2;
    begin(_i ? T : 0);
    struct task *a = add(), *b = add(), *c = make_task();
    look();
    pass(T1 / 2);
    ck_assert(!is_taken(c));
    pass(1);
    ck_assert_int_eq(is_taken(c), _i); /* never with a queue_timeout of 0 */
    if (_i) {
        REFUSED(a);
        ck_assert(waits(b) && waits(c));
    } else {
        ck_assert(!c->job.queued);
    }
    ck_assert_uint_eq(get_stats().queued, 2);
    end();
}
END_TEST

/* Or somebody's client has left, however young that one is. */
START_TEST(test_full_and_left)
{
    config.queue_limit = 2;
    begin(_i ? T : 0);
    struct task *a = add(), *b = make_task(), *c = make_task(), *d = make_task();
    if (_i) {
        submit(b);
        leave(b);
        ck_assert(is_taken(c));
    } else {
        on_owner(submit_and_leave_cb, b);
        on_owner(submit_cb, c);
    }
    REFUSED(b);
    ck_assert(waits(a) && waits(c));
    ck_assert(!is_taken(d));
    end();
}
END_TEST

static bool taken[TASKS_MAX];

static void submit_all_cb(void *arg) {
    int *count = arg;
    for (int i = 0; i < *count; i++) {
        taken[i] = sched_submit(sched, &tasks[ntasks - *count + i].job);
        REQUIRE(!nrefused); /* not from within */
    }
}

/* Several that come before the owner looks at the queue again. */
START_TEST(test_full_for_many)
{
    int count = 3;
    config.queue_limit = 2;
    begin(T);
    struct task *a = add(), *b = add();
    for (int i = 0; i < count; i++)
        make_task();
    struct task *c = &tasks[ntasks - 3];
    pass(T1 / 2 + 1);
    on_owner(submit_all_cb, &count);
    ck_assert(taken[0] && taken[1] && taken[2]);
    REFUSED(a, b, c);
    ck_assert_uint_eq(get_stats().queued, 2);
    end();
}
END_TEST

static struct task *goes;

static void submit_and_cancel_cb(void *arg) {
    submit_cb(arg);
    cancel_cb(goes);
}

/* Who was cancelled meanwhile has made room already. */
START_TEST(test_full_and_cancelled)
{
    config.queue_limit = 2;
    begin(T);
    struct task *a = add(), *b = add(), *c = make_task();
    look();
    pass(T1 / 2 + 1);
    goes = b;
    on_owner(submit_and_cancel_cb, c);
    ck_assert(c->accepted);
    look();
    ck_assert_int_eq(nrefused, 0);
    ck_assert(waits(a) && waits(c));
    end();
}
END_TEST

/* When the queue's timer is due, by the clock of the test. A libev that is loaded goes by the true one. */

void __real_ev_timer_start(struct ev_loop *l, ev_timer *w);
void __wrap_ev_timer_start(struct ev_loop *l, ev_timer *w);

static double due_at; /* seconds */

void __wrap_ev_timer_start(struct ev_loop *l, ev_timer *w) {
    if (sched && w == &sched->queue.timer)
        due_at = (double)clock_ns() / 1e9 + w->at;
    __real_ev_timer_start(l, w);
}

/* In seconds; 0: it does not run. */
static double due(void) {
    return ev_is_active(&sched->queue.timer) ? due_at - (double)clock_ns() / 1e9 : 0;
}

/* Each refusal is an answer to be sent: no more than 256 at a time, and the loop runs in between. */

enum { CROWD = 600, AT_ONCE = 256 };

static struct task crowd[CROWD];
static int in_this_round, in_a_round; /* of the loop; at most */
static double next_round = 1;         /* in how many seconds, behind one with as many as there can be */

static void round_cb(struct ev_loop *l, ev_prepare *w, int revents) {
    (void)l;
    (void)w;
    (void)revents;
    if (in_this_round == AT_ONCE)
        next_round = due();
    in_this_round = 0;
}

static void count_refusal(struct task *task) {
    (void)task;
    in_this_round++;
    in_a_round = in_this_round > in_a_round ? in_this_round : in_a_round;
}

static void prepare_start_cb(void *arg) {
    ev_prepare_start(loop, arg);
}

static void prepare_stop_cb(void *arg) {
    ev_prepare_stop(loop, arg);
}

START_TEST(test_at_once)
{
    ev_prepare prepare;
    config.queue_limit = CROWD;
    begin(T);
    ev_prepare_init(&prepare, round_cb);
    on_owner(prepare_start_cb, &prepare);
    for (int i = 0; i < CROWD; i++) {
        task_init(&crowd[i], KEY_ORDINARY, NULL);
        crowd[i].on_expire = count_refusal;
        submit(&crowd[i]);
    }
    look();
    clock_pass(T + 1);
    ping();
    for (int i = 0; i < CROWD; i++) /* nothing else happens in the loop */
        sem_wait(&crowd[i].expired);
    on_owner(prepare_stop_cb, &prepare);
    ck_assert_int_eq(in_a_round, AT_ONCE);
    ck_assert_double_le(next_round, 0);
    end();
}
END_TEST

/* The timer. */

static double due_now;

static void due_cb(void *arg) {
    (void)arg;
    due_now = due();
}

static double get_due(void) {
    on_owner(due_cb, NULL);
    return due_now;
}

static void stop_cb(void *arg) {
    (void)arg;
    ev_timer_stop(loop, &sched->queue.timer);
}

/* Its time comes. */
static void pass_timer(uint64_t ns) {
    pass(ns);
    on_owner(stop_cb, NULL);
    look();
}

/* Set for T1, then for each 20 ms, and not at all with a queue_timeout of 0. */
START_TEST(test_timer)
{
    begin(_i ? T : 0);
    struct task *first = add(), *second = add();
    ck_assert_double_eq_tol(get_due(), _i ? 1.501 : 0, 1e-6);
    if (_i) {
        pass(T1 / 2);
        next_is(first);
        pass(T1 / 2);
        ck_assert_double_eq_tol(get_due(), 0.001, 1e-6);
        pass_timer(2 * MS);
        ck_assert_double_eq_tol(get_due(), 0.021, 1e-6);
        pass_timer(22 * MS);
        ck_assert_double_eq_tol(get_due(), 0.021, 1e-6);
    }
    next_is(_i ? second : first);
    end();
}
END_TEST

/* What is said of it. */

static void note_retry(struct task *task) {
    (void)task;
    retry_after = sched_retry_after(sched);
}

/* From `expired`: nobody is served. */
START_TEST(test_retry_when_stuck)
{
    begin(T);
    struct task *a = add();
    a->on_expire = note_retry;
    look();
    pass(T + 1);
    ck_assert_int_eq(a->expiries, 1);
    ck_assert_uint_eq(retry_after, 30);
    end();
}
END_TEST

/* For one that was not taken: how long the queue is, if that is known. */
START_TEST(test_retry_when_full)
{
    config.queue_limit = 4;
    begin(T);
    struct task *waiting[4], *more = make_task();
    for (int i = 0; i < 3; i++)
        waiting[i] = add();
    waiting[3] = add();
    ck_assert(!is_taken(more));
    on_owner(tell_cb, NULL);
    ck_assert_uint_eq(retry_after, 1);
    pass(T1 / 2);
    next_is(waiting[0]);
    struct task *last = add();
    ck_assert(!is_taken(more));
    on_owner(tell_cb, NULL);
    ck_assert_uint_eq(retry_after, 3); /* one was taken in 0.75 s, and four wait */
    /* All of that is forgotten when nobody waits any more. */
    next_is(waiting[1]);
    next_is(waiting[2]);
    next_is(waiting[3]);
    next_is(last);
    pass(60 * 1000 * MS);
    for (int i = 0; i < 4; i++)
        add();
    ck_assert(!is_taken(more));
    on_owner(tell_cb, NULL);
    ck_assert_uint_eq(retry_after, 1);
    end();
}
END_TEST

static unsigned queued;
static uint64_t oldest;

static void count_cb(void *arg) {
    (void)arg;
    queued = sched_queued(sched, &oldest);
}

/* How many there are, and for how long the oldest has waited. */
START_TEST(test_queued)
{
    begin(T);
    on_owner(count_cb, NULL);
    ck_assert_uint_eq(queued, 0);
    ck_assert_uint_eq(oldest, 0);
    struct task *a = add();
    pass(5 * MS);
    struct task *b = add();
    pass(MS);
    on_owner(count_cb, NULL);
    ck_assert_uint_eq(queued, 2);
    ck_assert_uint_eq(oldest, 6 * MS);
    next_is(a);
    on_owner(count_cb, NULL);
    ck_assert_uint_eq(queued, 1);
    ck_assert_uint_eq(oldest, MS);
    (void)b;
    end();
}
END_TEST

int main(void) {
    Suite *suite = suite_create("sched_refuse");
    TCase *c = tcase_create("sched_refuse");
    suite_add_tcase(suite, c);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, test_in_order);
    tcase_add_test(c, test_stuck);
    tcase_add_test(c, test_many_stuck);
    tcase_add_test(c, test_newest_first);
    tcase_add_test(c, test_newest_first_of_many);
    tcase_add_test(c, test_too_many);
    tcase_add_test(c, test_for_too_long);
    tcase_add_test(c, test_left);
    tcase_add_test(c, test_left_and_cancelled);
    tcase_add_test(c, test_comes_meanwhile);
    tcase_add_loop_test(c, test_full, 0, 2);
    tcase_add_loop_test(c, test_full_and_left, 0, 2);
    tcase_add_test(c, test_full_for_many);
    tcase_add_test(c, test_full_and_cancelled);
    tcase_add_test(c, test_at_once);
    tcase_add_loop_test(c, test_timer, 0, 2);
    tcase_add_test(c, test_retry_when_stuck);
    tcase_add_test(c, test_retry_when_full);
    tcase_add_test(c, test_queued);
    return unit_run(suite);
}
