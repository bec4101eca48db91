#include "config.h"

#include "status/snapshot.h"

#include "base/clock.h"
#include "base/descriptors.h"
#include "status/forms.h"

#include "unit/unit.h"

#include <stdio.h>

static struct scoreboard *board;
static struct inspect *inspect;
static struct inspect_answer *answer;
static struct status_source source;

static void setup(void) {
    int fd;
    board = scoreboard_new(&fd);
    descriptors_close(fd);
    inspect = inspect_new(&fd);
    descriptors_close(fd);
    answer = calloc(1, sizeof *answer);
    ck_assert(board && inspect && answer);
    source = (struct status_source){.board = board,
                                    .inspect = inspect,
                                    .application = "app:app",
                                    .pid = 1,
                                    .workers = 2,
                                    .threads_max = 8,
                                    .stacks = true};
}

static void teardown(void) {
    scoreboard_unmap(board);
    inspect_unmap(inspect);
    free(answer);
}

static void add_worker(unsigned slot, unsigned number, int pid, enum scoreboard_state state) {
    board->slots[slot].number = number;
    board->slots[slot].pid = pid;
    board->slots[slot].state = state;
}

static void add_told(unsigned slot, unsigned place, uint64_t ago, const char *text) {
    snprintf(board->calls[slot][place].text, SCOREBOARD_TEXT_SIZE, "%s", text);
    board->calls[slot][place].begun_at = clock_ns() - ago;
}

static struct inspect_call *add_call(uint64_t ago, const char *path) {
    struct inspect_call *c = &answer->calls[answer->count++];
    *c = (struct inspect_call){.begun_at = clock_ns() - ago,
                               .queued = 1000,
                               .processor = 2000,
                               .waited = INSPECT_NOT_KNOWN,
                               .tid = 100 + (int)answer->count,
                               .state = INSPECT_COMPUTES,
                               .method = "GET",
                               .file = "/srv/app.py",
                               .line = 12,
                               .function = "view"};
    snprintf(c->path, sizeof c->path, "%s", path);
    return c;
}

static void add_stack(struct inspect_call *c, const char *text) {
    c->frames = 1;
    c->stack = answer->stacks_len;
    c->stack_len = (uint32_t)strlen(text);
    memcpy(answer->stacks + c->stack, text, c->stack_len + 1);
    answer->stacks_len += c->stack_len + 1;
}

static void give_answer(unsigned slot, int pid, uint64_t ago) {
    answer->at = clock_ns() - ago;
    answer->pid = pid;
    answer->complete = 1;
    inspect_answer(inspect, slot, answer);
}

START_TEST(nothing)
{
    source.board = NULL;
    source.inspect = NULL;
    struct snapshot *s = snapshot_take(&source);
    ck_assert_ptr_nonnull(s);
    ck_assert_uint_eq(s->worker_count + s->call_count + s->calls_more, 0);
    ck_assert_uint_gt(s->now, UINT64_C(1600000000000000000));
    snapshot_free(s);
}
END_TEST

/* In the order of their numbers, also while a worker and its replacement have the same one. */
START_TEST(workers)
{
    add_worker(0, 1, 11, SCOREBOARD_SERVING);
    add_worker(1, 0, 12, SCOREBOARD_ENDING);
    add_worker(SCOREBOARD_SLOTS - 1, 0, (int)getpid(), SCOREBOARD_STARTING);
    add_worker(3, 5, 14, SCOREBOARD_FREE);
    board->slots[0].computing = 7;
    struct snapshot *s = snapshot_take(&source);
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
    add_worker(0, 0, 11, SCOREBOARD_SERVING);
    add_told(0, 3, 2 * SNAPSHOT_STUCK_NS, "GET /old");
    add_told(0, 9, 1000, "POST /new");
    add_told(0, 10, 3 * SNAPSHOT_STUCK_NS, "OPTIONS");
    struct snapshot *s = snapshot_take(&source);
    ck_assert_uint_eq(s->call_count, 3);
    ck_assert_str_eq(s->calls[0].call.method, "OPTIONS");
    ck_assert_str_eq(s->calls[0].call.path, "");
    ck_assert_str_eq(s->calls[1].call.path, "/old");
    ck_assert_str_eq(s->calls[2].call.path, "/new");
    ck_assert_uint_eq(s->workers[0].calls, 3);
    ck_assert_uint_eq(s->workers[0].stuck, 2);
    snapshot_free(s);
}
END_TEST

START_TEST(answered)
{
    add_worker(4, 0, 11, SCOREBOARD_SERVING);
    add_told(4, 0, 5, "GET /told");
    struct inspect_call *first = add_call(SNAPSHOT_STUCK_NS + 1, "/first");
    add_stack(first, "      File \"/srv/app.py\", line 12, in view\n");
    struct inspect_call *second = add_call(100, "/second");
    second->frames = first->frames;
    second->stack = first->stack;
    second->stack_len = first->stack_len;
    second->waited = 77;
    answer->more = 5;
    give_answer(4, 11, 0);
    struct snapshot *s = snapshot_take(&source);
    ck_assert_uint_eq(s->call_count, 2);
    ck_assert_uint_eq(s->calls_more, 5);
    ck_assert_str_eq(s->calls[0].call.path, "/first");
    ck_assert_str_eq(snapshot_stack(s, &s->calls[1]), "      File \"/srv/app.py\", line 12, in view\n");
    /* Once for both. */
    ck_assert_ptr_eq(snapshot_stack(s, &s->calls[0]), snapshot_stack(s, &s->calls[1]));
    ck_assert_uint_eq(s->workers[0].calls, 7);
    ck_assert_uint_eq(s->workers[0].stuck, 1);
    ck_assert_uint_eq(s->workers[0].lock_waited, 77);
    snapshot_free(s);
    source.stacks = false;
    s = snapshot_take(&source);
    ck_assert_str_eq(snapshot_stack(s, &s->calls[0]), "");
    ck_assert_str_eq(s->calls[0].call.file, "/srv/app.py");
    snapshot_free(s);
}
END_TEST

/* Of another process that has had the slot, or too long ago. */
START_TEST(answer_does_not_count)
{
    add_worker(0, 0, 11, SCOREBOARD_SERVING);
    add_told(0, 0, 5, "GET /told");
    add_call(1, "/answered");
    give_answer(0, _i ? 12 : 11, _i ? 0 : SNAPSHOT_ANSWER_NS + 1);
    struct snapshot *s = snapshot_take(&source);
    ck_assert_uint_eq(s->call_count, 1);
    ck_assert_str_eq(s->calls[0].call.path, "/told");
    snapshot_free(s);
}
END_TEST

/* Of more than there is room for, those that have run for longest are there, and the rest is counted. */
START_TEST(many)
{
    char text[40];
    for (unsigned slot = 0; slot < 4; slot++) {
        add_worker(slot, slot, 100 + (int)slot, SCOREBOARD_SERVING);
        for (unsigned i = 0; i < SCOREBOARD_CALLS; i++) {
            snprintf(text, sizeof text, "GET /%u/%u", slot, i);
            add_told(slot, i, UINT64_C(1000000000) * (1 + i * 4 + slot), text);
        }
    }
    struct snapshot *s = snapshot_take(&source);
    ck_assert_uint_eq(s->call_count, SNAPSHOT_CALLS);
    ck_assert_uint_eq(s->calls_more, 3 * SNAPSHOT_CALLS);
    ck_assert_str_eq(s->calls[0].call.path, "/3/63");
    for (unsigned i = 1; i < SNAPSHOT_CALLS; i++)
        ck_assert(s->calls[i - 1].elapsed >= s->calls[i].elapsed);
    ck_assert_str_eq(s->calls[SNAPSHOT_CALLS - 1].call.path, "/0/48");
    snapshot_free(s);
}
END_TEST

/* A process has written over all of it: whatever is there, forms are made of it, and it ends. */
START_TEST(garbage)
{
    static const int values[] = {0x01, 0x41, 0x7f, 0x80, 0xff};
    memset(board->slots, values[_i], sizeof board->slots);
    memset(board->calls, values[_i], sizeof board->calls);
    memset(inspect->slots, values[_i], 8 * sizeof inspect->slots[0]);
    for (unsigned slot = 0; slot < 8; slot++) {
        add_worker(slot, UINT32_MAX - slot, (int)(0x01010101u * (unsigned)values[_i]), SCOREBOARD_SERVING);
        inspect->slots[slot].sequence = 2;
        inspect->slots[slot].answer.at = clock_ns();
    }
    struct buf out = {0};
    for (enum status_form form = STATUS_TEXT; form <= STATUS_UNKNOWN; form++) {
        ck_assert_int_eq(status_render(form, &source, &out), 0);
        ck_assert_uint_gt(buf_len(&out), 10);
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
    tcase_add_test(tc, answered);
    tcase_add_loop_test(tc, answer_does_not_count, 0, 2);
    tcase_add_test(tc, many);
    tcase_add_loop_test(tc, garbage, 0, 5);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
