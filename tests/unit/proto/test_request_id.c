#include "config.h"

#include "proto/request_id.h"

#include "unit/unit.h"

#include <stdio.h>

static bool is_good(const char *text, size_t n) {
    struct guard guard;
    guard_init(&guard, 256);
    const char *at = guard_put(&guard, text, n);
    bool good = request_id_is_good((struct slice){at, n});
    guard_fini(&guard);
    return good;
}

START_TEST(good_ones)
{
    static const char *const good[] = {
        "a",
        "0af7651916cd43dd8448eb211c80319c",
        "f058ebd6-02f7-4d3f-942e-904344e8cde5",
        "Root=1-67891233-abcdef",
        "A.b_c~d+e/f=g:h@i-j",
    };
    for (int i = 0; i < COUNT(good); i++)
        ck_assert(is_good(good[i], strlen(good[i])));
}
END_TEST

START_TEST(length_is_bounded)
{
    char text[REQUEST_ID_MAX + 1];
    memset(text, 'x', sizeof text);
    ck_assert(!is_good(text, 0));
    ck_assert(is_good(text, REQUEST_ID_MAX));
    ck_assert(!is_good(text, REQUEST_ID_MAX + 1));
}
END_TEST

/* Each byte, alone and within. */
START_TEST(bytes)
{
    for (int c = 0; c < 256; c++) {
        bool good = c && strchr("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-._~+/=:@", c);
        const char text[] = {'a', (char)c, 'b'};
        ck_assert_msg(is_good(text, 3) == good && is_good(text + 1, 1) == good, "byte %d", c);
    }
}
END_TEST

static void expect(struct request_ids *ids, const char *text) {
    char made[REQUEST_ID_MADE + 1] = "";
    request_ids_make(ids, made);
    ck_assert_str_eq(made, text);
    ck_assert(request_id_is_good((struct slice){made, REQUEST_ID_MADE}));
}

START_TEST(made_ones_count)
{
    struct request_ids ids;
    request_ids_init(&ids, UINT64_C(0x0123456789abcdef), UINT64_C(0xfedcba9876543208));
    expect(&ids, "0123456789abcdeffedcba9876543208");
    expect(&ids, "0123456789abcdeffedcba9876543209");
    expect(&ids, "0123456789abcdeffedcba987654320a");
    for (int i = 0; i < 4; i++)
        request_ids_make(&ids, (char[REQUEST_ID_MADE]){0});
    expect(&ids, "0123456789abcdeffedcba987654320f");
    expect(&ids, "0123456789abcdeffedcba9876543210");
}
END_TEST

START_TEST(made_ones_carry)
{
    struct request_ids ids;
    request_ids_init(&ids, 0x9, UINT64_MAX);
    expect(&ids, "0000000000000009ffffffffffffffff");
    expect(&ids, "000000000000000a0000000000000000");
    request_ids_init(&ids, UINT64_MAX, UINT64_MAX);
    expect(&ids, "ffffffffffffffffffffffffffffffff");
    expect(&ids, "00000000000000000000000000000000");
    expect(&ids, "00000000000000000000000000000001");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("request_id");
    TCase *tc = tcase_create("request_id");
    tcase_add_test(tc, good_ones);
    tcase_add_test(tc, length_is_bounded);
    tcase_add_test(tc, bytes);
    tcase_add_test(tc, made_ones_count);
    tcase_add_test(tc, made_ones_carry);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
