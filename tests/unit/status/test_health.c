/* What health checks are told: ok, unless nobody serves, all that serve are stuck, or the server is about to stop. */
#include "config.h"

#include "scene.h"

#include <check.h>

enum { THREADS = 3 };

static struct scene scene;

static void setup(void) {
    scene_init(&scene);
    for (unsigned slot = 0; slot < 2; slot++) {
        scene_add_worker(&scene, slot, slot, 41 + (int)slot, SCOREBOARD_SERVING);
        metrics_set(&scene.metrics->slots[slot].slot, METRICS_THREADS_MAX, THREADS);
    }
}

static void teardown(void) {
    scene_fini(&scene);
}

/* The answer, whose text begins with `text`. */
static void expect(int code, const char *text) {
    struct buf out = {0};
    ck_assert_int_eq(status_render(STATUS_HEALTH, &scene.source, &out), code);
    ck_assert_uint_ge(buf_len(&out), strlen(text));
    ck_assert_mem_eq(buf_head(&out), text, strlen(text));
    ck_assert_int_eq(buf_tail(&out)[-1], '\n');
    ck_assert_ptr_eq(memchr(buf_head(&out), '\n', buf_len(&out)), buf_tail(&out) - 1);
    buf_fini(&out);
}

static void run(unsigned slot, unsigned calls, unsigned running, unsigned lost, uint64_t ago) {
    for (unsigned i = 0; i < calls; i++)
        scene_add_told(&scene, slot, i, ago, "GET /slow");
    metrics_set(&scene.metrics->slots[slot].slot, METRICS_THREADS_RUNNING, running);
    metrics_set(&scene.metrics->slots[slot].slot, METRICS_THREADS_LOST, lost);
}

START_TEST(serves)
{
    expect(200, "ok\n");
    scene.board->slots[0].state = SCOREBOARD_STARTING;
    expect(200, "ok\n");
}
END_TEST

START_TEST(nobody_serves)
{
    scene.board->slots[0].state = SCOREBOARD_STARTING;
    scene.board->slots[1].state = SCOREBOARD_ENDING;
    expect(503, "not fit: no worker serves\n");
}
END_TEST

START_TEST(one_that_serves_is_enough)
{
    run(0, THREADS, THREADS, 0, 11 * SCENE_SECOND);
    expect(200, "ok\n");
    run(1, THREADS, THREADS, 0, 11 * SCENE_SECOND);
    expect(503, "not fit: worker 0: all threads (3) are in calls that have run for more than 10 s\n");
}
END_TEST

/* A thread that is busy is free again in a moment. */
START_TEST(busy_is_not_stuck)
{
    for (unsigned slot = 0; slot < 2; slot++) {
        run(slot, THREADS - 1, THREADS, 0, 11 * SCENE_SECOND);
        scene_add_told(&scene, slot, THREADS - 1, 9 * SCENE_SECOND, "GET /new");
    }
    expect(200, "ok\n");
}
END_TEST

/* Those beyond --request-timeout have others in their places, up to as many as there are threads. */
START_TEST(lost_calls)
{
    for (unsigned slot = 0; slot < 2; slot++)
        run(slot, THREADS, 0, THREADS, 60 * SCENE_SECOND);
    expect(200, "ok\n");
    for (unsigned slot = 0; slot < 2; slot++)
        run(slot, THREADS + 2, 2, THREADS, 60 * SCENE_SECOND);
    expect(200, "ok\n");
    for (unsigned slot = 0; slot < 2; slot++)
        run(slot, 2 * THREADS, THREADS, THREADS, 60 * SCENE_SECOND);
    expect(503, "not fit: worker 0: all threads (3)");
    for (unsigned slot = 0; slot < 2; slot++)
        run(slot, 2 * THREADS, 0, 2 * THREADS, 60 * SCENE_SECOND);
    expect(503, "not fit: worker 0: all threads (3)");
}
END_TEST

/* The scoreboard tells of some calls only. */
START_TEST(many_threads)
{
    for (unsigned slot = 0; slot < 2; slot++) {
        metrics_set(&scene.metrics->slots[slot].slot, METRICS_THREADS_MAX, 2 * SCOREBOARD_CALLS);
        run(slot, SCOREBOARD_CALLS, 2 * SCOREBOARD_CALLS - 1, 0, 11 * SCENE_SECOND);
    }
    expect(200, "ok\n");
    for (unsigned slot = 0; slot < 2; slot++)
        run(slot, SCOREBOARD_CALLS, 2 * SCOREBOARD_CALLS, 0, 11 * SCENE_SECOND);
    expect(503, "not fit: worker 0: all threads (128)");
}
END_TEST

START_TEST(the_lock_is_kept)
{
    scene.board->slots[1].state = SCOREBOARD_STARTING;
    scene_add_call(&scene, 12 * SCENE_SECOND, "/waits")->waited = 9 * SCENE_SECOND;
    scene_answer(&scene, 0, 41, 0);
    expect(200, "ok\n");
    scene_add_call(&scene, 12 * SCENE_SECOND, "/waits")->waited = 11 * SCENE_SECOND;
    scene_answer(&scene, 0, 41, 0);
    expect(503, "not fit: worker 0: the interpreter lock has been waited for during 11 s\n");
}
END_TEST

START_TEST(about_to_stop)
{
    scene.board->leaving = 1;
    expect(503, "not fit: the server is about to stop (--stop-delay)\n");
}
END_TEST

/* Nothing is known of any process: somebody answers, and that is all. */
START_TEST(nothing_is_known)
{
    scene.source = (struct status_source){.pid = 1};
    expect(503, "not fit: no process serves\n");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("health");
    TCase *tc = tcase_create("health");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, serves);
    tcase_add_test(tc, nobody_serves);
    tcase_add_test(tc, one_that_serves_is_enough);
    tcase_add_test(tc, busy_is_not_stuck);
    tcase_add_test(tc, lost_calls);
    tcase_add_test(tc, many_threads);
    tcase_add_test(tc, the_lock_is_kept);
    tcase_add_test(tc, about_to_stop);
    tcase_add_test(tc, nothing_is_known);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
