#include "config.h"

#include "proto/params.h"

#include "unit/unit.h"

#include <stdbool.h>

static const size_t lengths[] = {0, 1, 2, 126, 127, 128, 129, 255, 256, 65535, 65536, 70000};

static struct slice filled(char *memory, size_t n, char byte) {
    memset(memory, byte, n);
    return (struct slice){memory, n};
}

static size_t encoded_length(size_t n) {
    return n < 128 ? 1 : 4;
}

/* Every combination of a name and a value length. */
START_TEST(round_trip)
{
    static char names[70000], values[70000], out[140008];
    struct slice name = filled(names, lengths[_i], 'n');
    for (int k = 0; k < COUNT(lengths); k++) {
        struct slice value = filled(values, lengths[k], 'v');
        size_t n = params_put(out, sizeof out, name, value);
        ck_assert_uint_eq(n, encoded_length(name.n) + encoded_length(value.n) + name.n + value.n);
        struct guard g;
        guard_init(&g, n);
        const char *pos = guard_put(&g, out, n), *end = g.end;
        struct params_pair pair;
        ck_assert_int_eq(params_next(&pos, end, &pair), PARAMS_PAIR);
        ck_assert_ptr_eq(pos, end);
        ck_assert_uint_eq(pair.name.n, name.n);
        ck_assert_uint_eq(pair.value.n, value.n);
        ck_assert_mem_eq(pair.name.p, name.p, name.n);
        ck_assert_mem_eq(pair.value.p, value.p, value.n);
        ck_assert_int_eq(params_next(&pos, end, &pair), PARAMS_END);
        ck_assert_ptr_eq(params_pass(end - n, end, 1), end);
        guard_fini(&g);
    }
}
END_TEST

static const struct {
    const char *bytes;
    size_t n;
    enum params_result result;
    size_t name, value;
} vectors[] = {
    {"", 0, PARAMS_END, 0, 0},
    {"\0\0", 2, PARAMS_PAIR, 0, 0},
    {"\1\1ab", 4, PARAMS_PAIR, 1, 1},
    /* The four-byte form is legal for short lengths. */
    {"\x80\0\0\1\x80\0\0\1ab", 10, PARAMS_PAIR, 1, 1},
    {"\1\x80\0\0\2abc", 8, PARAMS_PAIR, 1, 2},
    {"\x80\0\0\0\0", 5, PARAMS_PAIR, 0, 0},
    {"\1", 1, PARAMS_MALFORMED, 0, 0},
    {"\1\1", 2, PARAMS_MALFORMED, 0, 0},
    {"\1\1a", 3, PARAMS_MALFORMED, 0, 0},
    {"\1\0", 2, PARAMS_MALFORMED, 0, 0},
    {"\x80", 1, PARAMS_MALFORMED, 0, 0},
    {"\x80\0", 2, PARAMS_MALFORMED, 0, 0},
    {"\x80\0\0", 3, PARAMS_MALFORMED, 0, 0},
    {"\x80\0\0\1", 4, PARAMS_MALFORMED, 0, 0},
    {"\1\x80\0\0", 4, PARAMS_MALFORMED, 0, 0},
    {"\x7f\x7f", 2, PARAMS_MALFORMED, 0, 0},
    /* Sums of lengths that overflow 32 bits, and lengths just beyond the end. */
    {"\xff\xff\xff\xff\xff\xff\xff\xffxx", 10, PARAMS_MALFORMED, 0, 0},
    {"\xff\xff\xff\xff\1xx", 7, PARAMS_MALFORMED, 0, 0},
    {"\1\xff\xff\xff\xffxx", 7, PARAMS_MALFORMED, 0, 0},
    {"\2\1ab", 4, PARAMS_MALFORMED, 0, 0},
};

START_TEST(vector)
{
    struct guard g;
    struct params_pair pair = {{"old", 3}, {"old", 3}};
    guard_init(&g, 16);
    const char *begin = guard_put(&g, vectors[_i].bytes, vectors[_i].n), *pos = begin;
    ck_assert_int_eq(params_next(&pos, g.end, &pair), vectors[_i].result);
    if (vectors[_i].result == PARAMS_PAIR) {
        ck_assert_uint_eq(pair.name.n, vectors[_i].name);
        ck_assert_uint_eq(pair.value.n, vectors[_i].value);
        ck_assert_ptr_eq(pair.value.p, pair.name.p + pair.name.n);
        ck_assert_ptr_eq(pos, g.end);
    } else {
        ck_assert_ptr_eq(pos, begin);
    }
    guard_fini(&g);
}
END_TEST

/* A stream of three pairs is whole at its pair boundaries only. */
START_TEST(every_truncation)
{
    char out[512];
    static const char long_value[200] = "long";
    size_t ends[3], n = 0;
    n += params_put(out, sizeof out, (struct slice){"A", 1}, (struct slice){"1", 1});
    ends[0] = n;
    n += params_put(out + n, sizeof out - n, (struct slice){"NAME", 4}, (struct slice){long_value, sizeof long_value});
    ends[1] = n;
    n += params_put(out + n, sizeof out - n, (struct slice){"B", 1}, (struct slice){NULL, 0});
    ends[2] = n;
    struct guard g;
    guard_init(&g, sizeof out);
    for (size_t cut = 0; cut <= n; cut++) {
        const char *pos = guard_put(&g, out, cut);
        struct params_pair pair;
        enum params_result result;
        int pairs = 0;
        while ((result = params_next(&pos, g.end, &pair)) == PARAMS_PAIR)
            pairs++;
        int whole = (cut >= ends[0]) + (cut >= ends[1]) + (cut >= ends[2]);
        bool boundary = cut == 0 || cut == ends[0] || cut == ends[1] || cut == ends[2];
        ck_assert_int_eq(pairs, whole);
        ck_assert_int_eq(result, boundary ? PARAMS_END : PARAMS_MALFORMED);
    }
    guard_fini(&g);
}
END_TEST

/* Passing over pairs ends where reading them does. */
START_TEST(pass)
{
    static char value[200];
    char out[700];
    size_t n = 0, ends[5] = {0};
    for (int i = 0; i < 4; i++) {
        n += params_put(out + n, sizeof out - n, filled(value, (size_t)i, 'x'), filled(value, i % 2 ? 200 : 3, 'x'));
        ends[i + 1] = n;
    }
    for (size_t from = 0; from < 5; from++)
        for (size_t to = from; to < 5; to++)
            ck_assert_ptr_eq(params_pass(out + ends[from], out + n, to - from), out + ends[to]);
}
END_TEST

START_TEST(put_that_does_not_fit_writes_nothing)
{
    struct slice name = {"NAME", 4}, value = {"value", 5};
    struct guard g;
    guard_init(&g, 16);
    for (size_t size = 0; size < 11; size++) {
        char *out = memset(g.end - size, '#', size);
        ck_assert_uint_eq(params_put(out, size, name, value), 11);
        for (size_t i = 0; i < size; i++)
            ck_assert_int_eq(out[i], '#');
    }
    ck_assert_uint_eq(params_put(g.end - 11, 11, name, value), 11);
    ck_assert_mem_eq(g.end - 11, "\4\5NAMEvalue", 11);
    guard_fini(&g);
}
END_TEST

START_TEST(put_length_bytes)
{
    static char value[0x012345];
    static char out[sizeof value + 8];
    params_put(out, sizeof out, (struct slice){"", 0}, filled(value, sizeof value, 'v'));
    ck_assert_mem_eq(out, "\0\x80\x01\x23\x45v", 6);
    params_put(out, sizeof out, filled(value, 127, 'v'), filled(value, 127, 'v'));
    ck_assert_mem_eq(out, "\x7f\x7fv", 3);
    params_put(out, sizeof out, filled(value, 128, 'v'), (struct slice){NULL, 0});
    ck_assert_mem_eq(out, "\x80\0\0\x80\0v", 6);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("params");
    TCase *tc = tcase_create("params");
    tcase_add_loop_test(tc, vector, 0, COUNT(vectors));
    tcase_add_loop_test(tc, round_trip, 0, COUNT(lengths));
    tcase_add_test(tc, every_truncation);
    tcase_add_test(tc, pass);
    tcase_add_test(tc, put_that_does_not_fit_writes_nothing);
    tcase_add_test(tc, put_length_bytes);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
