#include "config.h"

#include "proto/http_encode.h"

#include "unit/unit.h"

static const struct {
    size_t len;
    const char *text;
} chunks[] = {{1, "1\r\n"},         {15, "f\r\n"},
              {16, "10\r\n"},       {0xabcdef, "abcdef\r\n"},
              {65536, "10000\r\n"}, {SIZE_MAX, "ffffffffffffffff\r\n"}};

START_TEST(chunk_head)
{
    struct guard g;
    guard_init(&g, HTTP_CHUNK_HEAD_MAX);
    char *out = g.end - strlen(chunks[_i].text);
    ck_assert_uint_eq(http_put_chunk_head(out, chunks[_i].len), strlen(chunks[_i].text));
    ck_assert_mem_eq(out, chunks[_i].text, strlen(chunks[_i].text));
    guard_fini(&g);
}
END_TEST

static const struct {
    time_t at;
    const char *text;
} dates[] = {{784111777, "Sun, 06 Nov 1994 08:49:37 GMT"}, /* RFC 9110, 5.6.7 */
             {0, "Thu, 01 Jan 1970 00:00:00 GMT"},
             {951782399, "Mon, 28 Feb 2000 23:59:59 GMT"},
             {951782400, "Tue, 29 Feb 2000 00:00:00 GMT"},
             {4102444799, "Thu, 31 Dec 2099 23:59:59 GMT"}};

START_TEST(date)
{
    struct guard g;
    guard_init(&g, HTTP_DATE_LEN);
    http_put_date(g.end - HTTP_DATE_LEN, dates[_i].at);
    ck_assert_mem_eq(g.end - HTTP_DATE_LEN, dates[_i].text, HTTP_DATE_LEN);
    guard_fini(&g);
}
END_TEST

static const struct {
    const char *lines;
    bool date, server, length;
} fields[] = {{"", false, false, false},
              {"Content-Type: a\r\n", false, false, false},
              {"Content-Length: 5\r\n", false, false, true},
              {"a: Date: x\r\ncontent-length: 5\r\nSERVER: x\r\n", false, true, true},
              {"DATE: x\r\nServer-Timing: 1\r\nDates: x\r\nC: d\r\nS: x\r\n", true, false, false}};

START_TEST(scan_fields)
{
    struct http_fields found;
    struct guard g;
    size_t len = strlen(fields[_i].lines);
    guard_init(&g, len);
    http_scan_fields(&found, guard_put(&g, fields[_i].lines, len), len);
    ck_assert_int_eq(found.has_date, fields[_i].date);
    ck_assert_int_eq(found.has_server, fields[_i].server);
    ck_assert_int_eq(found.has_length, fields[_i].length);
    guard_fini(&g);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("http_encode");
    TCase *tc = tcase_create("http_encode");
    tcase_add_loop_test(tc, chunk_head, 0, COUNT(chunks));
    tcase_add_loop_test(tc, date, 0, COUNT(dates));
    tcase_add_loop_test(tc, scan_fields, 0, COUNT(fields));
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
