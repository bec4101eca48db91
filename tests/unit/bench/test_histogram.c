#include "config.h"

#include "histogram.h"

#include "unit/unit.h"

static struct histogram h;

static void setup(void) {
    memset(&h, 0, sizeof h);
}

/* Each bucket's value lies in it, buckets follow one another, and no value is off by more than 1/128. */
START_TEST(buckets_are_as_wide_as_said)
{
    for (unsigned i = 0; i < HIST_SIZE - 1; i++) {
        uint64_t value = histogram_value(i);
        REQUIRE(histogram_index(value) == i);
        REQUIRE(value < histogram_value(i + 1));
    }
    for (uint64_t value = 1; value < UINT64_MAX / 3; value = value * 3 / 2 + 1) {
        uint64_t kept = histogram_value(histogram_index(value));
        uint64_t off = kept > value ? kept - value : value - kept;
        REQUIRE(off <= value / 128);
    }
    ck_assert_uint_lt(histogram_index(UINT64_MAX), HIST_SIZE);
}
END_TEST

START_TEST(small_values_are_exact)
{
    for (uint64_t value = 0; value < 256; value++)
        ck_assert_uint_eq(histogram_value(histogram_index(value)), value);
}
END_TEST

START_TEST(nothing_has_no_quantiles)
{
    ck_assert_uint_eq(histogram_quantile(&h, .5), 0);
    ck_assert_uint_eq(histogram_quantile(&h, 1), 0);
}
END_TEST

/* 1 to 100: of a hundred, fifty lie at or below 50. */
START_TEST(quantiles_of_a_known_set)
{
    for (uint64_t value = 100; value; value--)
        histogram_add(&h, value);
    ck_assert_uint_eq(h.total, 100);
    ck_assert_uint_eq(h.max, 100);
    ck_assert_uint_eq(histogram_quantile(&h, 0), 1);
    ck_assert_uint_eq(histogram_quantile(&h, .5), 50);
    ck_assert_uint_eq(histogram_quantile(&h, .9), 90);
    ck_assert_uint_eq(histogram_quantile(&h, .99), 99);
    ck_assert_uint_eq(histogram_quantile(&h, .999), 100);
    ck_assert_uint_eq(histogram_quantile(&h, 1), 100);
}
END_TEST

/* One slow request of ten thousand is seen by p99.99 and the maximum only. */
START_TEST(rare_values_are_not_lost)
{
    for (int i = 0; i < 9999; i++)
        histogram_add(&h, 100);
    histogram_add(&h, 1000000);
    ck_assert_uint_eq(histogram_quantile(&h, .999), 100);
    ck_assert_uint_eq(histogram_quantile(&h, 1), 1000000);
    ck_assert_uint_eq(h.max, 1000000);
}
END_TEST

/* The middle of a bucket may lie above all that is in it. */
START_TEST(no_quantile_is_above_the_maximum)
{
    histogram_add(&h, 1 << 20);
    ck_assert_uint_eq(histogram_quantile(&h, .5), 1 << 20);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("histogram");
    TCase *tcase = tcase_create("histogram");
    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_test(tcase, buckets_are_as_wide_as_said);
    tcase_add_test(tcase, small_values_are_exact);
    tcase_add_test(tcase, nothing_has_no_quantiles);
    tcase_add_test(tcase, quantiles_of_a_known_set);
    tcase_add_test(tcase, rare_values_are_not_lost);
    tcase_add_test(tcase, no_quantile_is_above_the_maximum);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
