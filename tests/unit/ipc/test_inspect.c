#include "config.h"

#include "ipc/inspect.h"

#include "base/descriptors.h"

#include "unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>

enum { SLOT = 3 };

static struct inspect *inspect;
static int fd;
static struct inspect_answer answer, read_answer; /* too large for a stack */
static struct inspect_head head;

static void setup(void) {
    inspect = inspect_new(&fd);
    ck_assert_ptr_nonnull(inspect);
    memset(&answer, 0, sizeof answer);
}

static void teardown(void) {
    inspect_unmap(inspect);
    descriptors_close(fd);
}

/* An answer with `count` calls, each with a stack that names it. */
static void fill(unsigned count, uint32_t number) {
    answer = (struct inspect_answer){.at = 17, .pid = 42, .number = number, .complete = 1, .count = count};
    for (unsigned i = 0; i < count; i++) {
        struct inspect_call *c = &answer.calls[i];
        c->begun_at = 100 + i;
        c->state = INSPECT_BLOCKED;
        strcpy(c->method, "GET");
        snprintf(c->path, sizeof c->path, "/%u", i);
        c->stack = answer.stacks_len;
        c->stack_len = (uint32_t)snprintf(answer.stacks + answer.stacks_len, 64, "  File \"a.py\", line %u, in f\n", i);
        c->frames = 1;
        answer.stacks_len += c->stack_len + 1;
    }
}

static void check(unsigned count, uint32_t number) {
    REQUIRE(inspect_read(inspect, SLOT, &read_answer));
    REQUIRE(read_answer.at == 17 && read_answer.pid == 42 && read_answer.number == number);
    REQUIRE(read_answer.count == count);
    for (unsigned i = 0; i < count; i++) {
        const struct inspect_call *c = &read_answer.calls[i];
        char path[16], stack[64];
        snprintf(path, sizeof path, "/%u", i);
        snprintf(stack, sizeof stack, "  File \"a.py\", line %u, in f\n", i);
        REQUIRE(c->begun_at == 100 + i && c->frames == 1);
        REQUIRE(!strcmp(c->path, path) && !strcmp(inspect_stack(&read_answer, c), stack));
    }
}

START_TEST(nobody_has_answered_at_first)
{
    ck_assert(!inspect_read(inspect, SLOT, &read_answer));
    ck_assert(!inspect_peek(inspect, SLOT, &head));
}
END_TEST

START_TEST(what_is_answered_is_read)
{
    fill(INSPECT_CALLS, 5);
    inspect_answer(inspect, SLOT, &answer);
    check(INSPECT_CALLS, 5);
    ck_assert(inspect_peek(inspect, SLOT, &head));
    ck_assert(head.at == 17 && head.number == 5 && head.complete == 1 && head.pid == 42);
    fill(2, 6);
    inspect_answer(inspect, SLOT, &answer);
    check(2, 6);
    ck_assert(!inspect_read(inspect, SLOT + 1, &read_answer));
}
END_TEST

START_TEST(another_process_reads_it)
{
    int status;
    pid_t child = fork();
    if (!child) {
        struct inspect *mapped = inspect_map(fd);
        fill(3, 1);
        if (mapped)
            inspect_answer(mapped, SLOT, &answer);
        _exit(mapped ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    check(3, 1);
}
END_TEST

START_TEST(a_slot_that_is_taken_again_has_no_answer)
{
    fill(3, 1);
    inspect_answer(inspect, SLOT, &answer);
    uint32_t last = inspect_question(inspect, SLOT);
    ck_assert_uint_eq(inspect_begin(inspect, SLOT), last);
    ck_assert(!inspect_read(inspect, SLOT, &read_answer));
}
END_TEST

/* It was killed while it wrote. */
START_TEST(half_an_answer_is_none)
{
    fill(3, 1);
    inspect_answer(inspect, SLOT, &answer);
    inspect->slots[SLOT].sequence++;
    ck_assert(!inspect_read(inspect, SLOT, &read_answer));
    ck_assert(!inspect_peek(inspect, SLOT, &head));
    (void)inspect_begin(inspect, SLOT);
    inspect_answer(inspect, SLOT, &answer);
    check(3, 1);
}
END_TEST

/* Whatever a process has written over it: under a sanitizer, or at the end of the memory, this would show. */
START_TEST(rubbish_is_read_within_bounds)
{
    struct inspect_slot *slot = &inspect->slots[SCOREBOARD_SLOTS - 1];
    for (unsigned byte = 1; byte < 256; byte++) {
        memset(&slot->answer, (int)byte, sizeof slot->answer);
        ck_assert(inspect_read(inspect, SCOREBOARD_SLOTS - 1, &read_answer));
        REQUIRE(read_answer.count <= INSPECT_CALLS);
        for (unsigned i = 0; i < read_answer.count; i++) {
            const struct inspect_call *c = &read_answer.calls[i];
            REQUIRE(strlen(c->path) < sizeof c->path && strlen(c->thread) < sizeof c->thread);
            REQUIRE(strlen(c->request_id) < sizeof c->request_id && strlen(c->trace_id) < sizeof c->trace_id);
            REQUIRE(strlen(c->method) < sizeof c->method && strlen(c->file) < sizeof c->file);
            REQUIRE(strlen(c->function) < sizeof c->function);
            REQUIRE(strlen(inspect_stack(&read_answer, c)) < INSPECT_STACKS_SIZE);
            REQUIRE(inspect_state_text(c->state) && inspect_phase_text(c->phase));
        }
    }
}
END_TEST

START_TEST(places_out_of_bounds_are_no_stacks)
{
    static const uint32_t places[][2] = {{0, 1000}, {1000, 1}, {UINT32_MAX, 2}, {1, UINT32_MAX}, {27, 2}};
    for (int i = 0; i < COUNT(places); i++) {
        fill(1, 1);
        answer.calls[0].stack = places[i][0];
        answer.calls[0].stack_len = places[i][1];
        inspect_answer(inspect, SLOT, &answer);
        ck_assert(inspect_read(inspect, SLOT, &read_answer));
        ck_assert_str_eq(inspect_stack(&read_answer, &read_answer.calls[0]), "");
        ck_assert_uint_eq(read_answer.calls[0].frames, 0);
    }
}
END_TEST

static void *ask(void *seen) {
    inspect_question(inspect, SLOT);
    return seen;
}

START_TEST(a_question_wakes_who_answers)
{
    pthread_t thread;
    uint32_t seen = inspect_begin(inspect, SLOT), now = seen;
    ck_assert_int_eq(pthread_create(&thread, NULL, ask, NULL), 0);
    while (now == seen)
        now = inspect_wait(inspect, SLOT, seen);
    ck_assert_uint_eq(now, seen + 1);
    pthread_join(thread, NULL);
    ck_assert_uint_eq(inspect_wait(inspect, SLOT, seen), seen + 1); /* without waiting */
}
END_TEST

START_TEST(later_answers_answer_earlier_questions)
{
    ck_assert(inspect_is_answered(5, 5));
    ck_assert(inspect_is_answered(6, 5));
    ck_assert(!inspect_is_answered(4, 5));
    ck_assert(inspect_is_answered(1, UINT32_MAX));
    ck_assert(!inspect_is_answered(UINT32_MAX, 1));
}
END_TEST

static atomic_bool enough;

static void *write_all_the_time(void *unused) {
    static struct inspect_answer mine;
    for (uint32_t i = 1; !atomic_load(&enough); i++) {
        mine = (struct inspect_answer){.at = i, .number = i, .count = i % INSPECT_CALLS};
        for (uint32_t k = 0; k < mine.count; k++)
            mine.calls[k].begun_at = i;
        inspect_answer(inspect, SLOT, &mine);
    }
    return unused;
}

START_TEST(no_answer_is_put_together_from_two)
{
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, write_all_the_time, NULL), 0);
    for (int i = 0; i < 2000;) {
        if (!inspect_read(inspect, SLOT, &read_answer))
            continue;
        i++;
        REQUIRE(read_answer.at == read_answer.number && read_answer.count == read_answer.number % INSPECT_CALLS);
        for (uint32_t k = 0; k < read_answer.count; k++)
            REQUIRE(read_answer.calls[k].begun_at == read_answer.number);
    }
    atomic_store(&enough, true);
    pthread_join(thread, NULL);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("inspect");
    TCase *tc = tcase_create("inspect");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, nobody_has_answered_at_first);
    tcase_add_test(tc, what_is_answered_is_read);
    tcase_add_test(tc, another_process_reads_it);
    tcase_add_test(tc, a_slot_that_is_taken_again_has_no_answer);
    tcase_add_test(tc, half_an_answer_is_none);
    tcase_add_test(tc, rubbish_is_read_within_bounds);
    tcase_add_test(tc, places_out_of_bounds_are_no_stacks);
    tcase_add_test(tc, a_question_wakes_who_answers);
    tcase_add_test(tc, later_answers_answer_earlier_questions);
    tcase_add_test(tc, no_answer_is_put_together_from_two);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
