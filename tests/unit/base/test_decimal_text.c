#include "config.h"

#include "base/decimal_text.h"

#include "unit/unit.h"

#include <inttypes.h>
#include <stdio.h>

/* Whatever is written is within the room that callers have. */
static struct guard guard;

static void check(const char *text, size_t n, const char *expected) {
    if (n != strlen(expected) || memcmp(text, expected, n) != 0)
        ck_abort_msg("%.*s, not %s", (int)n, text, expected);
}

static void check_number(uint64_t number) {
    char expected[64], *const out = guard.end - DECIMAL_TEXT_SIZE;
    snprintf(expected, sizeof expected, "%" PRIu64, number);
    const size_t n = decimal_text(out, number);
    check(out, n, expected);
    REQUIRE(!out[n]);
    snprintf(expected, sizeof expected, "%" PRIu64 ".%06u", number / 1000000, (unsigned)(number % 1000000));
    check(out, decimal_text_microseconds(out, number), expected);
}

START_TEST(each_number_of_four_digits)
{
    for (uint64_t number = 0; number < 10000; number++) {
        check_number(number);
        check_number(number * 10000 + 9999 - number);
    }
}
END_TEST

/* Where there are more digits, and around powers of two; and all in between at random. */
START_TEST(of_each_length)
{
    uint64_t random = 1, power = 1;
    for (int digits = 1; digits <= 20; digits++, power *= 10) {
        check_number(power - 1);
        check_number(power);
    }
    for (int bits = 0; bits < 64; bits++) {
        check_number((UINT64_C(1) << bits) - 1);
        check_number(UINT64_C(1) << bits);
        for (int i = 0; i < 2000; i++) {
            random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
            check_number(random >> bits);
        }
    }
    check_number(UINT64_MAX);
}
END_TEST

START_TEST(nanoseconds)
{
    static const struct {
        uint64_t ns;
        const char *text;
    } cases[] = {
        {0, "0"}, {1500000000, "1.5"}, {250000, "0.00025"}, {1, "0.000000001"}, {UINT64_MAX, "18446744073.709551615"}};
    char *const out = guard.end - DECIMAL_TEXT_SIZE;
    for (int i = 0; i < COUNT(cases); i++)
        check(out, decimal_text_seconds(out, cases[i].ns), cases[i].text);
}
END_TEST

static void set_up(void) {
    guard_init(&guard, DECIMAL_TEXT_SIZE);
}

int main(void) {
    Suite *suite = suite_create("decimal_text");
    TCase *tc = tcase_create("decimal_text");
    tcase_add_unchecked_fixture(tc, set_up, NULL);
    tcase_add_test(tc, each_number_of_four_digits);
    tcase_add_test(tc, of_each_length);
    tcase_add_test(tc, nanoseconds);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
