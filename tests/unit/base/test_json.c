#include "config.h"

#include "base/json.h"

#include "base/decimal_text.h"
#include "base/utf8.h"

#include "unit/unit.h"

#include <errno.h>

/* AddressSanitizer ends the process when malloc is asked for too much, unless it is told not to. */
__attribute__((visibility("default"))) const char *__asan_default_options(void);
const char *__asan_default_options(void) {
    return "allocator_may_return_null=1";
}

static struct buf out;

static void check(struct json *j, const char *expected) {
    ck_assert_int_eq(json_end(j), 0);
    ck_assert_int_eq(buf_append(&out, "", 1), 0);
    ck_assert_str_eq(buf_head(&out), expected);
    buf_fini(&out);
}

START_TEST(nesting)
{
    struct json j = json_begin(&out);
    json_object_begin(&j);
    json_member_uint(&j, "a", 1);
    json_key(&j, "b");
    json_array_begin(&j);
    json_array_begin(&j);
    json_array_end(&j);
    json_object_begin(&j);
    json_object_end(&j);
    json_null(&j);
    json_bool(&j, true);
    json_text(&j, "x");
    json_array_end(&j);
    json_member_bool(&j, "c", false);
    json_member_text(&j, "d", NULL);
    json_member_seconds(&j, "e", 1500000000);
    json_object_end(&j);
    check(&j, "{\"a\":1,\"b\":[[],{},null,true,\"x\"],\"c\":false,\"d\":null,\"e\":1.5}");
}
END_TEST

START_TEST(numbers)
{
    struct json j = json_begin(&out);
    json_array_begin(&j);
    json_uint(&j, 0);
    json_uint(&j, UINT64_MAX);
    json_int(&j, INT64_MIN);
    json_int(&j, -1);
    json_int(&j, INT64_MAX);
    json_uint_text(&j, UINT64_MAX);
    json_array_end(&j);
    check(&j, "[0,18446744073709551615,-9223372036854775808,-1,9223372036854775807,\"18446744073709551615\"]");
}
END_TEST

static const struct {
    uint64_t ns;
    const char *text;
} times[] = {
    {0, "0"},
    {1, "0.000000001"},
    {250000, "0.00025"},
    {1000000000, "1"},
    {10500000000, "10.5"},
    {1796040000123456789, "1796040000.123456789"},
    {UINT64_MAX, "18446744073.709551615"},
};

START_TEST(seconds)
{
    struct json j = json_begin(&out);
    json_seconds(&j, times[_i].ns);
    check(&j, times[_i].text);
}
END_TEST

/* What comes from a peer, and what it must be written as. */
static const struct {
    const char *text, *written;
} strings[] = {
    {"", ""},
    {"plain caf\xc3\xa9 \xf0\x9f\x90\x8d", "plain caf\xc3\xa9 \xf0\x9f\x90\x8d"},
    {"\"\\/", "\\\"\\\\/"},
    {"\n\r\t\b\x1b\x7f", "\\n\\r\\t\\u0008\\u001b\\u007f"},
    {"</script><!--&", "\\u003c/script\\u003e\\u003c!--\\u0026"},
    {"\xe2\x80\xa8\xe2\x80\xae\xc2\x85", "\\u2028\\u202e\\u0085"},
    {"\xff\xfe", "\xef\xbf\xbd\xef\xbf\xbd"},
    {"a\xc3", "a\xef\xbf\xbd"},
    {"\xc3(\xe2\x82", "\xef\xbf\xbd(\xef\xbf\xbd\xef\xbf\xbd"},
    {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
    {"\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd"},
    {"\xf4\x90\x80\x80z", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz"},
};

/* Each ends right before memory that must not be read. */
START_TEST(hostile)
{
    struct guard guard;
    size_t n = strlen(strings[_i].text);
    guard_init(&guard, n + 1);
    char expected[100] = "\"";
    strcat(strcat(expected, strings[_i].written), "\"");
    struct json j = json_begin(&out);
    json_string(&j, guard_put(&guard, strings[_i].text, n), n);
    check(&j, expected);
    guard_fini(&guard);
}
END_TEST

START_TEST(zero_byte)
{
    struct json j = json_begin(&out);
    json_string(&j, "a\0b", 3);
    check(&j, "\"a\\u0000b\"");
}
END_TEST

/* Every two bytes make a string without raw controls, which ends where it should. */
START_TEST(any_bytes)
{
    for (unsigned i = 0; i < 65536; i++) {
        const char text[] = {(char)(i >> 8), (char)i};
        struct json j = json_begin(&out);
        json_string(&j, text, 2);
        REQUIRE(!json_end(&j));
        const char *p = buf_head(&out), *end = buf_tail(&out);
        REQUIRE(p[0] == '"' && end[-1] == '"');
        for (p++, end--; p < end;) {
            uint32_t code;
            size_t width = utf8_read(p, (size_t)(end - p), &code);
            REQUIRE(width && utf8_is_plain(code) && code != '"' && code != '<');
            p += code == '\\' ? 2 : width;
        }
        REQUIRE(p == end);
        buf_reset(&out, 4096);
    }
    buf_fini(&out);
}
END_TEST

/* What a buffer that cannot grow does to the writer. */
START_TEST(no_memory)
{
    struct json j = json_begin(&out);
    json_array_begin(&j);
    struct buf before = out;
    out.size = out.end = SIZE_MAX / 2; /* as if so much were in it */
    json_text(&j, "more");
    ck_assert(j.failed);
    out = before;
    json_array_end(&j);
    errno = 0;
    ck_assert_int_eq(json_end(&j), -1);
    ck_assert_int_eq(errno, ENOMEM);
    ck_assert_uint_eq(buf_len(&out), 1);
    buf_fini(&out);
}
END_TEST

START_TEST(cut)
{
    static const char text[] = "a\xc3\xa9\xf0\x9f\x90\x8dz";
    static const size_t expected[] = {0, 1, 1, 3, 3, 3, 3, 7, 8, 8};
    for (size_t most = 0; most < 10; most++)
        ck_assert_uint_eq(utf8_cut(text, 8, most), expected[most]);
    ck_assert_uint_eq(utf8_cut("\x80\x80\x80\x80\x80\x80", 6, 5), 5);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("json");
    TCase *tc = tcase_create("json");
    tcase_add_test(tc, nesting);
    tcase_add_test(tc, numbers);
    tcase_add_loop_test(tc, seconds, 0, COUNT(times));
    tcase_add_loop_test(tc, hostile, 0, COUNT(strings));
    tcase_add_test(tc, zero_byte);
    tcase_add_test(tc, any_bytes);
    tcase_add_test(tc, no_memory);
    tcase_add_test(tc, cut);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
