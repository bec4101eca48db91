#include "config.h"

#include "base/ascii.h"

#include "unit/unit.h"

static bool equals(const char *a, const char *b) {
    size_t n = strlen(a);
    return strlen(b) == n && ascii_equals_nocase(a, b, n);
}

START_TEST(letters)
{
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    for (int c = -128; c < 128; c++) {
        bool upper = c >= 'A' && c <= 'Z';
        ck_assert_int_eq(ascii_lower((char)c), upper ? c + 32 : c);
        ck_assert_int_eq(ascii_is_digit((char)c), c && strchr("0123456789", c) != NULL);
        const char *digit = c ? strchr(digits, c) : NULL;
        ck_assert_int_eq(ascii_hex_digit((char)c), digit ? (digit - digits) % 16 : -1);
        ck_assert_int_eq(ascii_is_space((char)c), c && strchr(" \t\n\v\f\r", c) != NULL);
    }
}
END_TEST

START_TEST(same)
{
    ck_assert(equals("TITLE", "title"));
    ck_assert(equals("", ""));
    ck_assert(equals("a-B_9", "A-b_9"));
    ck_assert(!equals("title", "titlf"));
    ck_assert(!equals("ab", "aB\x01"));
    /* Nothing but letters has a case: these differ in the same bit. */
    ck_assert(!equals("@[", "`{"));
    ck_assert(!equals("^_", "~\x7f"));
    ck_assert(!equals("\xc0", "\xe0"));
    ck_assert(!equals("\xdd", "i") && !equals("\xfd", "I"));
    /* No more bytes count than are named, and those behind a zero do. */
    ck_assert(ascii_equals_nocase("ABc", "abX", 2));
    ck_assert(!ascii_equals_nocase("A\0c", "a\0d", 3));
    ck_assert(ascii_equals_nocase("x", "y", 0));
}
END_TEST

/* Every pair of bytes at every place of texts of every length around the size of a word. */
START_TEST(same_everywhere)
{
    struct guard ga, gb;
    guard_init(&ga, 32);
    guard_init(&gb, 32);
    for (size_t n = 1; n <= 20; n++)
        for (size_t at = 0; at < n; at++)
            for (int x = 0; x < 256; x++)
                for (int bit = 0; bit <= 8; bit++) {
                    char a[32], b[32];
                    int y = bit < 8 ? x ^ 1 << bit : x;
                    memset(a, 'q', n);
                    memset(b, 'Q', n);
                    a[at] = (char)x;
                    b[at] = (char)y;
                    bool equal = ascii_lower((char)x) == ascii_lower((char)y);
                    REQUIRE(ascii_equals_nocase(guard_put(&ga, a, n), guard_put(&gb, b, n), n) == equal);
                }
    guard_fini(&ga);
    guard_fini(&gb);
}
END_TEST

START_TEST(same_strings)
{
    ck_assert(ascii_str_equals_nocase("Home", "hOME"));
    ck_assert(ascii_str_equals_nocase("", ""));
    ck_assert(!ascii_str_equals_nocase("home", "hom"));
    ck_assert(!ascii_str_equals_nocase("hom", "home"));
    ck_assert(!ascii_str_equals_nocase("", "x"));
    ck_assert(!ascii_str_equals_nocase("I", "\xc4\xb1"));
}
END_TEST

static const struct {
    const char *text;
    unsigned base;
    int used; /* -1: none */
    uint64_t number;
} numbers[] = {
    {"0", 10, 1, 0},
    {"007x", 10, 3, 7},
    {"18446744073709551615", 10, 20, UINT64_MAX},
    {"18446744073709551616", 10, -1, 0},
    {"99999999999999999999999", 10, -1, 0},
    {"", 10, -1, 0},
    {" 1", 10, -1, 0},
    {"+1", 10, -1, 0},
    {"-1", 10, -1, 0},
    {"\xd9\xa1", 10, -1, 0},
    {"0778", 8, 3, 077},
    {"8", 8, -1, 0},
    {"1777777777777777777777", 8, 22, UINT64_MAX},
    {"2000000000000000000000", 8, -1, 0},
};

START_TEST(token)
{
    static const char others[] = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    for (int c = 0; c < 256; c++)
        ck_assert_msg(ascii_is_token_char((char)c) == (c && strchr(others, c) != NULL), "byte 0x%02x", (unsigned)c);
}
END_TEST

START_TEST(number)
{
    uint64_t n = 0;
    const char *text = numbers[_i].text, *end = ascii_read_number(text, numbers[_i].base, &n);
    ck_assert_int_eq(end ? (int)(end - text) : -1, numbers[_i].used);
    if (end)
        ck_assert_uint_eq(n, numbers[_i].number);
}
END_TEST

START_TEST(whole_number)
{
    uint64_t n = 9;
    ck_assert(!ascii_is_number("11", 10, &n) && n == 9);
    ck_assert(!ascii_is_number("1x", 10, &n) && n == 9);
    ck_assert(!ascii_is_number("", 10, &n) && n == 9);
    ck_assert(ascii_is_number("10", 10, &n) && n == 10);
}
END_TEST

static const struct {
    double seconds;
    const char *text;
} times[] = {{0, "0"},
             {0.25, "0.25"},
             {30, "30"},
             {100, "100"},
             {1.5, "1.5"},
             {86400, "86400"},
             {0.001, "0.001"},
             {0.0004, "0"},
             {0.0006, "0.001"},
             {9.9996, "10"},
             {1e15, "1000000000000000"}};

START_TEST(seconds)
{
    char out[ASCII_SECONDS_SIZE];
    ck_assert_str_eq(ascii_put_seconds(out, times[_i].seconds), times[_i].text);
}
END_TEST

int main(void) {
    TCase *tcase = tcase_create("ascii");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, letters);
    tcase_add_test(tcase, token);
    tcase_add_test(tcase, same);
    tcase_add_test(tcase, same_everywhere);
    tcase_add_test(tcase, same_strings);
    tcase_add_loop_test(tcase, number, 0, COUNT(numbers));
    tcase_add_test(tcase, whole_number);
    tcase_add_loop_test(tcase, seconds, 0, COUNT(times));
    Suite *suite = suite_create("ascii");
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
