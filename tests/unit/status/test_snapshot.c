#include "config.h"

#include "status/snapshot.h"

#include "unit/status/scene.h"
#include "unit/unit.h"

static struct scene scene;

static void setup(void) {
    scene_init(&scene);
}

static void teardown(void) {
    scene_fini(&scene);
}

START_TEST(nothing)
{
    scene.source.board = NULL;
    scene.source.inspect = NULL;
    scene.source.metrics = NULL;
    scene.source.log = NULL;
    struct snapshot *s = snapshot_take(&scene.source);
    ck_assert_ptr_nonnull(s);
    ck_assert_uint_eq(s->worker_count + s->call_count + s->calls_more, 0);
    ck_assert_uint_eq(s->note_count + s->step_count + s->line_count + s->end_count + s->slowest_count, 0);
    ck_assert_uint_gt(s->now, UINT64_C(1600000000000000000));
    snapshot_free(s);
}
END_TEST

/* In the order of their numbers, also while a worker and its replacement have the same one. */
START_TEST(workers)
{
    scene_add_worker(&scene, 0, 1, 11, SCOREBOARD_SERVING);
    scene_add_worker(&scene, 1, 0, 12, SCOREBOARD_ENDING);
    scene_add_worker(&scene, SCOREBOARD_SLOTS - 1, 0, (int)getpid(), SCOREBOARD_STARTING);
    scene_add_worker(&scene, 3, 5, 14, SCOREBOARD_FREE);
    scene.board->slots[0].computing = 7;
    struct snapshot *s = snapshot_take(&scene.source);
    ck_assert_uint_eq(s->worker_count, 3);
    ck_assert_int_eq(s->workers[0].pid, 12);
    ck_assert_int_eq(s->workers[1].pid, (int)getpid());
    ck_assert_uint_gt(s->workers[1].memory, 100000);
    ck_assert_int_eq(s->workers[2].pid, 11);
    ck_assert(s->workers[2].caught && !s->workers[0].caught);
    snapshot_free(s);
}
END_TEST

/* A worker that does not answer: what it has told before. */
START_TEST(told)
{
    scene_add_worker(&scene, 0, 0, 11, SCOREBOARD_SERVING);
    scene_add_told(&scene, 0, 3, 2 * SNAPSHOT_STUCK_NS, "GET /old");
    scene_add_told(&scene, 0, 9, 1000, "POST /new");
    scene_add_told(&scene, 0, 10, 3 * SNAPSHOT_STUCK_NS, "OPTIONS");
    struct snapshot *s = snapshot_take(&scene.source);
    ck_assert_uint_eq(s->call_count, 3);
    ck_assert_str_eq(s->calls[0]->call.method, "OPTIONS");
    ck_assert_str_eq(s->calls[0]->call.path, "");
    ck_assert_str_eq(s->calls[1]->call.path, "/old");
    ck_assert_str_eq(s->calls[2]->call.path, "/new");
    ck_assert_uint_eq(s->workers[0].calls, 3);
    ck_assert_uint_eq(s->workers[0].stuck, 2);
    snapshot_free(s);
}
END_TEST

START_TEST(answered)
{
    scene_add_worker(&scene, 4, 0, 11, SCOREBOARD_SERVING);
    scene_add_told(&scene, 4, 0, 5, "GET /told");
    struct inspect_call *first = scene_add_call(&scene, SNAPSHOT_STUCK_NS + 1, "/first");
    scene_add_stack(&scene, first, 1, "      File \"/srv/app.py\", line 12, in view\n");
    struct inspect_call *second = scene_add_call(&scene, 100, "/second");
    second->frames = first->frames;
    second->stack = first->stack;
    second->stack_len = first->stack_len;
    second->waited = 77;
    scene.answer->more = 5;
    scene_answer(&scene, 4, 11, 0);
    struct snapshot *s = snapshot_take(&scene.source);
    ck_assert_uint_eq(s->call_count, 2);
    ck_assert_uint_eq(s->calls_more, 5);
    ck_assert_str_eq(s->calls[0]->call.path, "/first");
    ck_assert_str_eq(snapshot_stack(s, s->calls[1]), "      File \"/srv/app.py\", line 12, in view\n");
    /* Once for both. */
    ck_assert_ptr_eq(snapshot_stack(s, s->calls[0]), snapshot_stack(s, s->calls[1]));
    ck_assert_uint_eq(s->workers[0].calls, 7);
    ck_assert_uint_eq(s->workers[0].stuck, 1);
    ck_assert_uint_eq(s->workers[0].lock_waited, 77);
    snapshot_free(s);
    scene.source.stacks = false;
    s = snapshot_take(&scene.source);
    ck_assert_str_eq(snapshot_stack(s, s->calls[0]), "");
    ck_assert_str_eq(s->calls[0]->call.file, "/srv/app.py");
    snapshot_free(s);
}
END_TEST

/* Of another process that has had the slot, or too long ago. */
START_TEST(answer_does_not_count)
{
    scene_add_worker(&scene, 0, 0, 11, SCOREBOARD_SERVING);
    scene_add_told(&scene, 0, 0, 5, "GET /told");
    scene_add_call(&scene, 1, "/answered");
    scene_answer(&scene, 0, _i ? 12 : 11, _i ? 0 : SNAPSHOT_ANSWER_NS + 1);
    struct snapshot *s = snapshot_take(&scene.source);
    ck_assert_uint_eq(s->call_count, 1);
    ck_assert_str_eq(s->calls[0]->call.path, "/told");
    snapshot_free(s);
}
END_TEST

/* Of more than there is room for, those that have run for longest are there, and the rest is counted. */
START_TEST(many)
{
    char text[40];
    for (unsigned slot = 0; slot < 4; slot++) {
        scene_add_worker(&scene, slot, slot, 100 + (int)slot, SCOREBOARD_SERVING);
        for (unsigned i = 0; i < SCOREBOARD_CALLS; i++) {
            snprintf(text, sizeof text, "GET /%u/%u", slot, i);
            scene_add_told(&scene, slot, i, UINT64_C(1000000000) * (1 + i * 4 + slot), text);
        }
    }
    struct snapshot *s = snapshot_take(&scene.source);
    ck_assert_uint_eq(s->call_count, SNAPSHOT_CALLS);
    ck_assert_uint_eq(s->calls_more, 3 * SNAPSHOT_CALLS);
    ck_assert_str_eq(s->calls[0]->call.path, "/3/63");
    for (unsigned i = 1; i < SNAPSHOT_CALLS; i++)
        ck_assert(s->calls[i - 1]->elapsed >= s->calls[i]->elapsed);
    ck_assert_str_eq(s->calls[SNAPSHOT_CALLS - 1]->call.path, "/0/48");
    snapshot_free(s);
}
END_TEST

/* What is wrong is said in words, and only then. */
START_TEST(notes)
{
    scene_add_worker(&scene, 0, 3, 11, SCOREBOARD_SERVING);
    struct snapshot *s = snapshot_take(&scene.source);
    ck_assert_uint_eq(s->note_count, 0);
    snapshot_free(s);

    metrics_set(&scene.metrics->slots[0].slot, METRICS_THREADS, 2);
    metrics_set(&scene.metrics->slots[0].slot, METRICS_THREADS_RUNNING, 2);
    metrics_set(&scene.metrics->slots[0].slot, METRICS_REQUESTS_QUEUED, 5);
    metrics_add(&scene.metrics->slots[0].slot, METRICS_SPOOL_FAILURES, 1);
    scene_add_call(&scene, SNAPSHOT_STUCK_NS, "/holds")->has_lock = 1;
    scene_add_call(&scene, 5 * SCENE_SECOND, "/waits")->waited = 4 * SCENE_SECOND;
    scene_answer(&scene, 0, 11, 0);
    s = snapshot_take(&scene.source);
    ck_assert_uint_eq(s->note_count, 4);
    ck_assert_str_eq(s->notes[0],
                     "worker 3: thread 101 has the interpreter lock, for which others have been waiting for 4 s: "
                     "see its line");
    ck_assert_str_eq(s->notes[1], "worker 3: all 2 threads are busy, and 5 requests wait");
    ck_assert_str_eq(s->notes[2], "worker 3: 1 call has run for more than 10 s: see where under \"Running\"");
    ck_assert_str_eq(s->notes[3], "1 request body has found no room in the spool directory since the start");
    uint64_t threads[SNAPSHOT_THREADS];
    snapshot_threads(&s->workers[0], threads);
    ck_assert_uint_eq(threads[SNAPSHOT_RUNNING], 1);
    ck_assert_uint_eq(threads[SNAPSHOT_STUCK], 1);
    ck_assert_uint_eq(threads[SNAPSHOT_IDLE], 0);
    snapshot_free(s);

    scene.board->slots[0].state = SCOREBOARD_STARTING;
    s = snapshot_take(&scene.source);
    ck_assert_str_eq(s->notes[0], "no worker serves: the log says why");
    snapshot_free(s);
}
END_TEST

START_TEST(counted)
{
    scene_add_worker(&scene, 0, 0, 11, SCOREBOARD_SERVING);
    const uint64_t now = clock_ns();
    scene_count(&scene.metrics->slots[0].slot, now, 5000000, "GET /often", false);
    scene_count(&scene.metrics->slots[0].slot, now, 5000000, "GET /often", true);
    scene_count(&scene.metrics->slots[0].slot, now, 2 * SCENE_SECOND, "GET /slow", false);
    metrics_worker_ended(scene.metrics, 7 * SCENE_SECOND, 1, 12, METRICS_REASON_CRASH, "was killed by SIGSEGV");
    log_ring_put(scene.log, 0, LOG_LEVEL_WARNING, "careful", 7);
    struct snapshot *s = snapshot_take(&scene.source);
    ck_assert_uint_eq(s->sums.durations[METRICS_REQUEST].count, 3);
    ck_assert_uint_eq(s->steps[s->step_count - 1].requests + s->steps[s->step_count - 2].requests, 3);
    ck_assert_uint_eq(s->steps[s->step_count - 1].errors + s->steps[s->step_count - 2].errors, 1);
    ck_assert_uint_ge(s->now - s->steps_at, (SNAPSHOT_STEPS - 1) * METRICS_STEP_NS);
    ck_assert_str_eq(s->slowest[0]->text, "GET /slow");
    ck_assert_str_eq(s->frequent[0]->text, "GET /often");
    ck_assert_uint_eq(s->end_count, 1);
    ck_assert_uint_eq(s->workers_ended[METRICS_REASON_CRASH], 1);
    ck_assert_uint_eq(s->line_count, 1);
    ck_assert_str_eq(s->lines[0].text, "careful");
    snapshot_free(s);
}
END_TEST

/* Queries may hold secrets, in whatever way the page comes to them. */
START_TEST(queries)
{
    static const char line[] = "GET /x?secret=1&b=? [id-1]: 413 refused?";
    scene_add_worker(&scene, 0, 0, 11, SCOREBOARD_SERVING);
    scene_add_told(&scene, 0, 0, 3000, "GET /a/b?secret=[1] [id-1]");
    scene_add_told(&scene, 0, 1, 2000, "GET /a?secret=1");
    scene_add_told(&scene, 0, 2, 1000, "GET /a [id-2]");
    scene_add_told(&scene, 0, 3, 1, "GET ?]");
    log_ring_put(scene.log, 0, LOG_LEVEL_INFO, line, sizeof line - 1);
    log_ring_put(scene.log, 0, LOG_LEVEL_INFO, "(GET http://h/x?secret): why? /a?", 33);
    struct snapshot *s = snapshot_take(&scene.source);
    ck_assert_uint_eq(s->call_count, 4);
    ck_assert_str_eq(s->calls[0]->call.path, "/a/b");
    ck_assert_str_eq(s->calls[0]->call.request_id, "id-1");
    ck_assert_str_eq(s->calls[1]->call.path, "/a");
    ck_assert_str_eq(s->calls[1]->call.request_id, "");
    ck_assert_str_eq(s->calls[2]->call.path, "/a");
    ck_assert_str_eq(s->calls[2]->call.request_id, "id-2");
    ck_assert_str_eq(s->calls[3]->call.path, "");
    ck_assert_uint_eq(s->line_count, 2);
    ck_assert_str_eq(s->lines[0].text, "GET /x? [id-1]: 413 refused?");
    ck_assert_uint_eq(s->lines[0].len, strlen(s->lines[0].text));
    ck_assert_str_eq(s->lines[1].text, "(GET http://h/x?: why? /a?");
    snapshot_free(s);
}
END_TEST

/* A process has written over all of it: whatever is there, forms are made of it, and it ends. */
START_TEST(garbage)
{
    static const int values[] = {0x01, 0x41, 0x7f, 0x80, 0xff};
    memset(scene.board->slots, values[_i], sizeof scene.board->slots);
    memset(scene.board->calls, values[_i], sizeof scene.board->calls);
    memset(&scene.metrics->supervisor, values[_i], sizeof scene.metrics->supervisor);
    memset(scene.metrics->slots, values[_i], 8 * sizeof scene.metrics->slots[0]);
    memset(scene.log->next, values[_i], sizeof scene.log->next);
    memset(scene.log->places, values[_i], sizeof scene.log->places);
    memset(scene.inspect->slots, values[_i], 8 * sizeof scene.inspect->slots[0]);
    for (unsigned slot = 0; slot < 8; slot++) {
        scene_add_worker(&scene, slot, UINT32_MAX - slot, (int)(0x01010101u * (unsigned)values[_i]),
                         SCOREBOARD_SERVING);
        scene.inspect->slots[slot].sequence = 2;
        scene.inspect->slots[slot].answer.at = clock_ns();
    }
    struct buf out = {0};
    for (enum status_form form = STATUS_TEXT; form <= STATUS_UNKNOWN; form++) {
        ck_assert_int_ge(status_render(form, &scene.source, &out), 200);
        ck_assert_uint_gt(buf_len(&out), 2);
        ck_assert_uint_lt(buf_len(&out), 10000000);
        buf_reset(&out, 0);
    }
    buf_fini(&out);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("snapshot");
    TCase *tc = tcase_create("snapshot");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, nothing);
    tcase_add_test(tc, workers);
    tcase_add_test(tc, told);
    tcase_add_test(tc, queries);
    tcase_add_test(tc, answered);
    tcase_add_loop_test(tc, answer_does_not_count, 0, 2);
    tcase_add_test(tc, many);
    tcase_add_test(tc, notes);
    tcase_add_test(tc, counted);
    tcase_add_loop_test(tc, garbage, 0, 5);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
