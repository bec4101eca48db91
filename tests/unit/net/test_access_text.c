#include "config.h"

#include "net/access_text.h"

#include "unit/unit.h"

/* A value is read where the memory behind it is not mapped, and written as it is in a line: at any place, with an end
 * that it may not fit in front of. */
enum { VALUE_MAX = 300, LINE = 1024 };

static struct guard guard, lines;
static struct buf spare;
static uint64_t state;

static uint32_t draw(uint32_t below) {
    state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (uint32_t)(state >> 33) % below;
}

/* Most values have nothing that has to be escaped, others one byte, or anything. */
static struct slice draw_value(void) {
    static const char odd[] = "\"\\<>& \n\r\t\x7f\x1f\x80\xff\xc3\xa4|";
    char value[VALUE_MAX];
    const size_t n = draw(4) ? draw(40) : draw(VALUE_MAX);
    const uint32_t kind = draw(4);
    for (size_t i = 0; i < n; i++)
        value[i] = (char)(kind == 3 ? draw(256) : '0' + draw(10));
    for (uint32_t i = 0; n && i < kind; i++)
        value[draw((uint32_t)n)] = odd[draw(sizeof odd - 1)];
    return (struct slice){guard_put(&guard, value, n), n};
}

/* What was written to two lines is the same, or too long in both. */
static void check_same(const struct access_text *t, const char *line, const char *out,
                       const struct access_text *other_t, const char *other, const char *other_out) {
    if (access_text_is_full(t, out, 0) != access_text_is_full(other_t, other_out, 0))
        ck_abort_msg("one is too long, and one is not");
    if (access_text_is_full(t, out, 0))
        return;
    if (out - line != other_out - other || memcmp(line, other, (size_t)(out - line)) != 0)
        ck_abort_msg("%.*s, not %.*s", (int)(out - line), line, (int)(other_out - other), other);
}

/* What no peer can make: the end of a line, of a value in quotes, or of one that this byte ends. */
static void check_safe(const char *text, const char *end, unsigned char stop, bool json) {
    const char *p = json && *text == '"' ? text + 1 : text, *last = p != text ? end - 1 : end;
    for (; p < last; p++) {
        REQUIRE((unsigned char)*p >= ' ' && *p != '"' && (!stop || (unsigned char)*p != stop));
        p += *p == '\\' && p + 1 < last;
    }
}

static void check_value(bool json) {
    static char expected[LINE + ACCESS_TEXT_SPARE];
    static const unsigned char stops[] = {0, ' ', '"', '|', ']'};
    const struct slice value = draw_value();
    const unsigned char stop = json ? 0 : stops[draw(sizeof stops)];
    const size_t room = draw(3) ? LINE : draw(2 * VALUE_MAX);
    char *const start = lines.end - ACCESS_TEXT_SPARE - room;
    const struct access_text t = {start + room, draw(2) ? 2048 : 24, &spare},
                             plain_text = {expected + room, t.limit, &spare};
    char *const out = json ? access_text_value_json(&t, start, value) : access_text_value(&t, start, value, stop);
    char *const plain = json ? access_text_escape_json(&plain_text, expected, value)
                             : access_text_escape(&plain_text, expected, value, stop);
    check_same(&t, start, out, &plain_text, expected, plain);
    if (!access_text_is_full(&t, out, 0))
        check_safe(start, out, stop, json);
}

START_TEST(quick_is_as_plain)
{
    state = (uint64_t)_i;
    for (int i = 0; i < 200000; i++)
        check_value(_i);
}
END_TEST

START_TEST(every_byte_at_every_place)
{
    char value[40], expected[8 * sizeof value + ACCESS_TEXT_SPARE];
    for (size_t n = 1; n <= sizeof value; n++) {
        for (size_t place = 0; place < n; place++) {
            for (int byte = 0; byte < 256; byte++) {
                memset(value, 'a', n);
                value[place] = (char)byte;
                const struct slice text = {guard_put(&guard, value, n), n};
                const struct access_text t = {lines.end - ACCESS_TEXT_SPARE, 2048, &spare},
                                         plain = {expected + 8 * sizeof value, 2048, &spare};
                char *const start = lines.base;
                check_same(&t, start, access_text_value(&t, start, text, '|'), &plain, expected,
                           access_text_escape(&plain, expected, text, '|'));
                check_same(&t, start, access_text_value_json(&t, start, text), &plain, expected,
                           access_text_escape_json(&plain, expected, text));
            }
        }
    }
}
END_TEST

START_TEST(short_ones)
{
    static const char text[2 * ACCESS_BLOCK] = "0123456789abcdefghij";
    char *const start = lines.base;
    char *out = access_text_put(start, (struct slice){text, 20});
    out = access_text_plain(out, "plain", 5, false);
    out = access_text_plain(out, "plain", 5, true);
    out = access_text_none(out, false);
    out = access_text_none(out, true);
    out = access_text_number(out, 304);
    out = access_text_seconds(out, 1234567890);
    ck_assert_int_eq(out - start, 20 + 5 + 7 + 1 + 4 + 3 + 8);
    ck_assert_mem_eq(start, "0123456789abcdefghijplain\"plain\"-null3041.234567", (size_t)(out - start));
}
END_TEST

static void set_up(void) {
    guard_init(&guard, VALUE_MAX);
    guard_init(&lines, LINE + ACCESS_TEXT_SPARE);
}

int main(void) {
    Suite *suite = suite_create("access_text");
    TCase *tc = tcase_create("access_text");
    tcase_add_unchecked_fixture(tc, set_up, NULL);
    tcase_add_loop_test(tc, quick_is_as_plain, 0, 2);
    tcase_add_test(tc, every_byte_at_every_place);
    tcase_add_test(tc, short_ones);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
