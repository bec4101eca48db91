#include "config.h"

#include "sched/predict.h"

#include "unit/unit.h"

enum { MS = 1000000 };

START_TEST(test_nothing_blocks_at_first)
{
    struct predict p = {0};
    for (uint32_t key = 0; key < 2 * PREDICT_SLOTS; key++) {
        struct predict_kind *kind = predict_kind(predict_slot(&p, key), key);
        REQUIRE(!predict_blocks(kind));
        REQUIRE(!predict_wants_measure(kind));
    }
}
END_TEST

START_TEST(test_keys_share_a_slot_modulo_the_size)
{
    struct predict p = {0};
    ck_assert_ptr_eq(predict_slot(&p, 3), predict_slot(&p, 3 + PREDICT_SLOTS));
    ck_assert_ptr_ne(predict_slot(&p, 3), predict_slot(&p, 4));
    ck_assert_ptr_eq(predict_slot(&p, UINT32_MAX), &p.slots[PREDICT_SLOTS - 1]);
}
END_TEST

START_TEST(test_one_long_wait_is_enough)
{
    struct predict_kind kind = {0};
    predict_record(&kind, 10 * MS, true);
    ck_assert(predict_blocks(&kind));
    ck_assert_uint_eq(kind.blind_ns, PREDICT_WATCH_NS / PREDICT_WEIGHT);
}
END_TEST

START_TEST(test_a_wait_counts_until_the_watch_would_end_it)
{
    struct predict_kind kind = {0};
    for (int i = 0; i < 200; i++)
        predict_record(&kind, UINT64_MAX, true);
    ck_assert_uint_le(kind.blind_ns, PREDICT_WATCH_NS);
    ck_assert_uint_gt(kind.blind_ns, PREDICT_WATCH_NS - PREDICT_WEIGHT);
}
END_TEST

/* A hand-over costs more than such waits. */
START_TEST(test_short_waits_are_not_worth_it)
{
    struct predict_kind kind = {0};
    for (int i = 0; i < 200; i++)
        predict_record(&kind, PREDICT_HAND_OVER_NS, true);
    ck_assert(!predict_blocks(&kind));
    ck_assert(predict_wants_measure(&kind));
    for (int i = 0; i < 200; i++)
        predict_record(&kind, PREDICT_HAND_OVER_NS + 1000, true);
    ck_assert(predict_blocks(&kind));
}
END_TEST

START_TEST(test_rare_waits_average_out)
{
    struct predict_kind kind = {0};
    for (int i = 0; i < 1000; i++)
        predict_record(&kind, 100000, i % 10 == 0);
    ck_assert(!predict_blocks(&kind));
}
END_TEST

START_TEST(test_long_without_blocking)
{
    struct predict_kind kind = {0};
    for (int i = 0; i < 200; i++)
        predict_record(&kind, 100 * MS, false);
    ck_assert_uint_eq(kind.blind_ns, 0);
}
END_TEST

/* From any average: to exactly 0, where measuring ends, in a bounded number of calls. */
START_TEST(test_falls_back_to_nothing)
{
    for (unsigned start = 0; start <= PREDICT_WATCH_NS; start = 2 * start + 1) {
        struct predict_kind kind = {.blind_ns = start};
        int calls = 0;
        for (; predict_wants_measure(&kind); calls++) {
            unsigned before = kind.blind_ns;
            predict_record(&kind, MS, false);
            REQUIRE(kind.blind_ns < before);
        }
        REQUIRE(calls < 200);
        REQUIRE(!predict_blocks(&kind));
    }
}
END_TEST

START_TEST(test_a_long_unmeasured_call_asks_for_measures)
{
    struct predict_kind kind = {0};
    predict_record_unmeasured(&kind, PREDICT_NOTICE_NS);
    ck_assert(!predict_wants_measure(&kind));
    predict_record_unmeasured(&kind, PREDICT_NOTICE_NS + 1);
    int calls = 0;
    for (; predict_wants_measure(&kind); calls++)
        predict_record(&kind, MS, false);
    ck_assert_int_eq(calls, PREDICT_MEASURE_CALLS);
    ck_assert(!predict_blocks(&kind));
}
END_TEST

/* Of calls that compute for long, and never block, few are measured; of one that blocks at last, all the next are. */
START_TEST(test_few_measures_of_calm_calls)
{
    struct predict_kind kind = {0};
    for (int i = 0; i < PREDICT_CALM_CALLS - 1; i++)
        predict_record(&kind, PREDICT_NOTICE_NS + 1, false);
    predict_record_unmeasured(&kind, PREDICT_NOTICE_NS + 1);
    ck_assert_uint_eq(kind.measure, PREDICT_MEASURE_CALLS);
    for (int i = 0; i < PREDICT_MEASURE_CALLS; i++)
        predict_record(&kind, PREDICT_NOTICE_NS + 1, false);
    unsigned measured = 0;
    for (int i = 0; i < 20 * PREDICT_CALM_SHARE; i++) {
        if (predict_wants_measure(&kind)) {
            measured++;
            predict_record(&kind, PREDICT_NOTICE_NS + 1, false);
        } else
            predict_record_unmeasured(&kind, PREDICT_NOTICE_NS + 1);
    }
    ck_assert_uint_ge(measured, 18);
    ck_assert_uint_le(measured, 20);
    predict_record(&kind, 10 * MS, true);
    ck_assert(predict_wants_measure(&kind));
    while (predict_wants_measure(&kind))
        predict_record(&kind, PREDICT_NOTICE_NS + 1, false);
    predict_record(&kind, 10, true);
    predict_record_unmeasured(&kind, PREDICT_NOTICE_NS + 1);
    ck_assert_uint_eq(kind.measure, PREDICT_MEASURE_CALLS);
}
END_TEST

START_TEST(test_quick_after_many_quick_calls)
{
    struct predict_kind kind = {0};
    for (int i = 0; i < PREDICT_QUICK_CALLS - 1; i++)
        predict_record_duration(&kind, PREDICT_QUICK_NS);
    ck_assert(!predict_is_quick(&kind));
    for (int i = 0; i < 1000; i++) {
        predict_record_duration(&kind, PREDICT_QUICK_NS);
        ck_assert(predict_is_quick(&kind));
    }
    predict_record_duration(&kind, PREDICT_QUICK_NS + 1);
    for (int i = 0; i < PREDICT_QUICK_CALLS - 1; i++)
        predict_record_duration(&kind, 0);
    ck_assert(!predict_is_quick(&kind));
    predict_record_duration(&kind, 0);
    ck_assert(predict_is_quick(&kind));
}
END_TEST

/* Calls that have become short are run inline, and then nobody watches them who could take it back. */
START_TEST(test_free_is_forgotten_with_the_rest)
{
    struct predict_kind kind = {0};
    predict_record_free(&kind, true);
    predict_record(&kind, MS, true);
    for (; kind.blind_ns; predict_record(&kind, 1000, false))
        REQUIRE(predict_is_free(&kind));
    ck_assert(!predict_is_free(&kind));
}
END_TEST

/* A slot and its owner. */

enum { KNOWN = 1, STRANGERS = 100000, MANY = 1000 };

/* A key of its own for each: in the slot of KNOWN, or in all slots alike. */
static uint32_t stranger(uint32_t i, bool same_slot) {
    uint32_t key = same_slot ? KNOWN + (i + 1) * PREDICT_SLOTS : (i + 1) * UINT32_C(0x9e3779b1);
    REQUIRE(key != KNOWN);
    return key;
}

static bool is_own(struct predict *p, uint32_t key) {
    return predict_kind(predict_slot(p, key), key) == &predict_slot(p, key)->own;
}

static bool is_quick(struct predict *p, uint32_t key) {
    return predict_is_quick(predict_kind(predict_slot(p, key), key));
}

/* As the scheduler does with a call. Returns whether it was predicted to block. */
static bool call(struct predict *p, uint32_t key, uint64_t duration_ns, bool blocks) {
    struct predict_slot *slot = predict_slot(p, key);
    struct predict_kind *kind = predict_kind(slot, key);
    bool predicted = predict_blocks(kind);
    predict_record_duration(kind, duration_ns);
    if (predict_wants_measure(kind))
        predict_record(kind, duration_ns, blocks);
    else if (blocks && duration_ns > PREDICT_WATCH_NS)
        predict_record(kind, duration_ns, true);
    else
        predict_record_unmeasured(kind, duration_ns);
    predict_count(slot, key);
    return predicted;
}

/* One call behind seven of strangers in the same slot, or behind them all. */
static bool is_turn(uint32_t i, bool same_slot) {
    return same_slot ? i % 7 == 6 : i == STRANGERS - 1;
}

START_TEST(test_strangers_that_block)
{
    struct predict p = {0};
    int unforeseen = 0;
    for (int i = 0; i < PREDICT_QUICK_CALLS; i++)
        REQUIRE(!call(&p, KNOWN, 1000, false));
    for (uint32_t i = 0; i < STRANGERS; i++) {
        unforeseen += !call(&p, stranger(i, _i), 10 * MS, true);
        if (is_turn(i, _i)) {
            REQUIRE(is_quick(&p, KNOWN));
            REQUIRE(!call(&p, KNOWN, 1000, false));
        }
    }
    ck_assert_int_eq(unforeseen, _i ? 1 : PREDICT_SLOTS);
}
END_TEST

START_TEST(test_strangers_that_do_not_block)
{
    struct predict p = {0};
    const uint64_t wait = 120000; /* an eighth of this would not be worth a hand-over */
    for (int i = 0; i < MANY; i++)
        call(&p, KNOWN, wait, true);
    for (uint32_t i = 0; i < STRANGERS; i++) {
        REQUIRE(!call(&p, stranger(i, _i), 1000, false));
        if (is_turn(i, _i))
            REQUIRE(call(&p, KNOWN, wait, true));
    }
}
END_TEST

/* What comes once is judged by others that came once. */
START_TEST(test_strangers_alone)
{
    struct predict p = {0};
    int unforeseen = 0;
    for (uint32_t i = 0; i < STRANGERS; i++)
        unforeseen += !call(&p, stranger(i, _i), 10 * MS, true);
    ck_assert_int_eq(unforeseen, _i ? 1 : PREDICT_SLOTS);
    int again = 0;
    for (uint32_t i = 0; i < STRANGERS; i++)
        again += call(&p, stranger(STRANGERS + i, _i), 1000, false);
    ck_assert_int_lt(again, _i ? 100 : 100 * PREDICT_SLOTS);
}
END_TEST

/* One call of four, at irregular times. */
START_TEST(test_known_among_strangers)
{
    struct predict p = {0};
    uint32_t random = 1;
    for (uint32_t i = 0; i < STRANGERS; i++) {
        random = random * 1664525 + 1013904223;
        if (i < MANY || random >> 30)
            call(&p, stranger(i, true), 10 * MS, true);
        else {
            bool predicted = call(&p, KNOWN, 1000, false);
            REQUIRE(!predicted || i < 2 * MANY);
        }
    }
    ck_assert(is_own(&p, KNOWN));
    ck_assert(is_quick(&p, KNOWN));
}
END_TEST

START_TEST(test_an_owner_begins_as_one_of_the_crowd)
{
    struct predict p = {0};
    for (uint32_t i = 0; i < MANY; i++)
        call(&p, stranger(i, true), 10 * MS, true);
    ck_assert(!is_own(&p, KNOWN));
    for (int i = 0; i < 2 * PREDICT_STANDING_CALL; i++)
        REQUIRE(call(&p, KNOWN, 10 * MS, true));
    ck_assert(is_own(&p, KNOWN));
    struct predict_slot slot = {.crowd = {.blind_ns = 1, .measure = 2, .calm = 4, .quick = 3, .free = 1, .holds = 1}};
    predict_count(&slot, KNOWN);
    ck_assert_ptr_eq(predict_kind(&slot, KNOWN), &slot.own);
    ck_assert_uint_eq(slot.own.blind_ns, 1);
    ck_assert_uint_eq(slot.own.measure, 2);
    ck_assert_uint_eq(slot.own.calm, 4);
    ck_assert_uint_eq(slot.own.quick, 3);
    ck_assert_uint_eq(slot.own.free, 1);
    ck_assert_uint_eq(slot.own.holds, 1);
}
END_TEST

/* However often it has come before. */
START_TEST(test_what_does_not_come_again_gives_way)
{
    struct predict p = {0};
    for (int i = 0; i < _i; i++)
        call(&p, KNOWN, 1000, false);
    ck_assert(is_own(&p, KNOWN));
    int calls = 0;
    for (; is_own(&p, KNOWN) && calls < STRANGERS; calls++)
        call(&p, stranger((uint32_t)calls, true), 1000, false);
    ck_assert_int_eq(calls, 1 + (_i < MANY ? _i * PREDICT_STANDING_CALL : PREDICT_STANDING_MAX));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("predict");
    TCase *c = tcase_create("predict");
    suite_add_tcase(suite, c);
    tcase_add_test(c, test_nothing_blocks_at_first);
    tcase_add_test(c, test_keys_share_a_slot_modulo_the_size);
    tcase_add_test(c, test_one_long_wait_is_enough);
    tcase_add_test(c, test_a_wait_counts_until_the_watch_would_end_it);
    tcase_add_test(c, test_short_waits_are_not_worth_it);
    tcase_add_test(c, test_rare_waits_average_out);
    tcase_add_test(c, test_long_without_blocking);
    tcase_add_test(c, test_falls_back_to_nothing);
    tcase_add_test(c, test_a_long_unmeasured_call_asks_for_measures);
    tcase_add_test(c, test_few_measures_of_calm_calls);
    tcase_add_test(c, test_quick_after_many_quick_calls);
    tcase_add_test(c, test_free_is_forgotten_with_the_rest);
    tcase_add_loop_test(c, test_strangers_that_block, 0, 2);
    tcase_add_loop_test(c, test_strangers_that_do_not_block, 0, 2);
    tcase_add_loop_test(c, test_strangers_alone, 0, 2);
    tcase_add_test(c, test_known_among_strangers);
    tcase_add_test(c, test_an_owner_begins_as_one_of_the_crowd);
    tcase_add_loop_test(c, test_what_does_not_come_again_gives_way, 1, 3);
    tcase_add_loop_test(c, test_what_does_not_come_again_gives_way, MANY, MANY + 1);
    return unit_run(suite);
}
