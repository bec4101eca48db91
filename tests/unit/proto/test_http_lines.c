#include "config.h"

#include "proto/http_lines.h"

#include "unit/unit.h"

static const struct vector {
    const char *text;
    enum http_lines_result result;
    size_t used, nlines;
} vectors[] = {
    {"", HTTP_LINES_MORE, 0, 0},
    {"\r\n", HTTP_LINES_END, 2, 1},
    {"\r\nmore", HTTP_LINES_END, 2, 1},
    {"a: b\r\n\r\n", HTTP_LINES_END, 8, 2},
    {"a: b\r\nc: d\r\n\r\nGET", HTTP_LINES_END, 14, 3},
    {"a: b\r\nc: d\r\n", HTTP_LINES_MORE, 12, 2},
    {"a: b\r\nc: d\r\n\r", HTTP_LINES_MORE, 13, 2},
    {"a: \rb\r\n\r\n", HTTP_LINES_END, 9, 2},
    {"a: b\r\r\n\r\n", HTTP_LINES_END, 9, 2},
    {"\n", HTTP_LINES_BARE_LF, 0, 0},
    {"a: b\n\r\n", HTTP_LINES_BARE_LF, 0, 0},
    {"a: b\r\n\n", HTTP_LINES_BARE_LF, 0, 0},
    {" a", HTTP_LINES_FOLDED, 0, 0},
    {"a: b\r\n c\r\n\r\n", HTTP_LINES_FOLDED, 0, 0},
    {"a: b\r\n\tc\r\n\r\n", HTTP_LINES_FOLDED, 0, 0},
    {"a: b\r\n \r\n\r\n", HTTP_LINES_FOLDED, 0, 0},
    {":", HTTP_LINES_NAMELESS, 0, 0},
    {": b\r\n\r\n", HTTP_LINES_NAMELESS, 0, 0},
    {"a: b\r\n: d\r\n\r\n", HTTP_LINES_NAMELESS, 0, 0},
    {"a: b\r\n:\r\n\r\n", HTTP_LINES_NAMELESS, 0, 0},
};

/* By result: a word of what the log says. */
static const char *const words[] = {
    [HTTP_LINES_BARE_LF] = "LF", [HTTP_LINES_FOLDED] = "white space", [HTTP_LINES_NAMELESS] = "without a name"};

/* Feeds the text in pieces that end at the two places. */
static void feed(const struct vector *v, size_t first, size_t second) {
    struct http_lines lines = {0};
    size_t len = strlen(v->text), cuts[] = {0, first, second, len}, total = 0;
    struct guard g;
    guard_init(&g, len);
    enum http_lines_result result = HTTP_LINES_MORE;
    for (int i = 0; i < 3 && result == HTTP_LINES_MORE; i++) {
        size_t used = 0;
        const char *piece = guard_put(&g, v->text + cuts[i], cuts[i + 1] - cuts[i]);
        result = http_lines_scan(&lines, piece, cuts[i + 1] - cuts[i], &used);
        total += used;
    }
    REQUIRE(result == v->result);
    if (result == HTTP_LINES_MORE || result == HTTP_LINES_END) {
        REQUIRE(total == v->used);
        REQUIRE(lines.nlines == v->nlines);
    } else
        REQUIRE(strstr(http_lines_problem(result), words[result]));
    guard_fini(&g);
}

START_TEST(every_two_cuts)
{
    size_t len = strlen(vectors[_i].text);
    for (size_t first = 0; first <= len; first++)
        for (size_t second = first; second <= len; second++)
            feed(&vectors[_i], first, second);
}
END_TEST

START_TEST(byte_by_byte)
{
    const struct vector *v = &vectors[_i];
    struct http_lines lines = {0};
    enum http_lines_result result = HTTP_LINES_MORE;
    size_t i, used;
    for (i = 0; v->text[i] && result == HTTP_LINES_MORE; i++)
        result = http_lines_scan(&lines, v->text + i, 1, &used);
    ck_assert_int_eq(result, v->result);
    if (result == HTTP_LINES_END)
        ck_assert_uint_eq(i, v->used);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("http_lines");
    TCase *tc = tcase_create("http_lines");
    tcase_add_loop_test(tc, every_two_cuts, 0, COUNT(vectors));
    tcase_add_loop_test(tc, byte_by_byte, 0, COUNT(vectors));
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
