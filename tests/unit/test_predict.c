#include "config.h"

#include "sched/predict.h"

#include "unit.h"

enum { MS = 1000000 };

START_TEST(test_nothing_blocks_at_first)
{
    struct predict p = {0};
    for (uint32_t key = 0; key < 2 * PREDICT_SLOTS; key++) {
        REQUIRE(!predict_blocks(predict_slot(&p, key)));
        REQUIRE(!predict_wants_measure(predict_slot(&p, key)));
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
    struct predict_slot slot = {0};
    predict_record(&slot, 10 * MS, true);
    ck_assert(predict_blocks(&slot));
    ck_assert_uint_eq(slot.blind_ns, PREDICT_WATCH_NS / PREDICT_WEIGHT);
}
END_TEST

START_TEST(test_a_wait_counts_until_the_watch_would_end_it)
{
    struct predict_slot slot = {0};
    for (int i = 0; i < 200; i++)
        predict_record(&slot, UINT64_MAX, true);
    ck_assert_uint_le(slot.blind_ns, PREDICT_WATCH_NS);
    ck_assert_uint_gt(slot.blind_ns, PREDICT_WATCH_NS - PREDICT_WEIGHT);
}
END_TEST

/* A hand-over costs more than such waits. */
START_TEST(test_short_waits_are_not_worth_it)
{
    struct predict_slot slot = {0};
    for (int i = 0; i < 200; i++)
        predict_record(&slot, PREDICT_HAND_OVER_NS, true);
    ck_assert(!predict_blocks(&slot));
    ck_assert(predict_wants_measure(&slot));
    for (int i = 0; i < 200; i++)
        predict_record(&slot, PREDICT_HAND_OVER_NS + 1000, true);
    ck_assert(predict_blocks(&slot));
}
END_TEST

START_TEST(test_rare_waits_average_out)
{
    struct predict_slot slot = {0};
    for (int i = 0; i < 1000; i++)
        predict_record(&slot, 100000, i % 10 == 0);
    ck_assert(!predict_blocks(&slot));
}
END_TEST

START_TEST(test_long_without_blocking)
{
    struct predict_slot slot = {0};
    for (int i = 0; i < 200; i++)
        predict_record(&slot, 100 * MS, false);
    ck_assert_uint_eq(slot.blind_ns, 0);
}
END_TEST

/* From any average: to exactly 0, where measuring ends, in a bounded number of calls. */
START_TEST(test_falls_back_to_nothing)
{
    for (unsigned start = 0; start <= PREDICT_WATCH_NS; start = 2 * start + 1) {
        struct predict_slot slot = {.blind_ns = start};
        int calls = 0;
        for (; predict_wants_measure(&slot); calls++) {
            unsigned before = slot.blind_ns;
            predict_record(&slot, MS, false);
            REQUIRE(slot.blind_ns < before);
        }
        REQUIRE(calls < 200);
        REQUIRE(!predict_blocks(&slot));
    }
}
END_TEST

START_TEST(test_a_long_unmeasured_call_asks_for_measures)
{
    struct predict_slot slot = {0};
    predict_record_unmeasured(&slot, PREDICT_NOTICE_NS);
    ck_assert(!predict_wants_measure(&slot));
    predict_record_unmeasured(&slot, PREDICT_NOTICE_NS + 1);
    int calls = 0;
    for (; predict_wants_measure(&slot); calls++)
        predict_record(&slot, MS, false);
    ck_assert_int_eq(calls, PREDICT_MEASURE_CALLS);
    ck_assert(!predict_blocks(&slot));
}
END_TEST

START_TEST(test_quick_after_many_quick_calls)
{
    struct predict_slot slot = {0};
    for (int i = 0; i < PREDICT_QUICK_CALLS - 1; i++)
        predict_record_duration(&slot, PREDICT_QUICK_NS);
    ck_assert(!predict_is_quick(&slot));
    for (int i = 0; i < 1000; i++) {
        predict_record_duration(&slot, PREDICT_QUICK_NS);
        ck_assert(predict_is_quick(&slot));
    }
    predict_record_duration(&slot, PREDICT_QUICK_NS + 1);
    for (int i = 0; i < PREDICT_QUICK_CALLS - 1; i++)
        predict_record_duration(&slot, 0);
    ck_assert(!predict_is_quick(&slot));
    predict_record_duration(&slot, 0);
    ck_assert(predict_is_quick(&slot));
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
    tcase_add_test(c, test_quick_after_many_quick_calls);
    return unit_run(suite);
}
