#include "config.h"

#include "top/number.h"
#include "top/reply.h"
#include "top/target.h"

#include "proto/fcgi_encode.h"
#include "unit/unit.h"

#include <stdlib.h>

/* Reads a copy of exactly so many bytes, so that a sanitizer sees a look behind them. `copy` is for the caller to free.
 */
static enum reply_result read_copy(enum target_protocol protocol, const char *data, size_t len, struct reply *r,
                                   char **copy) {
    *copy = malloc(len ? len : 1);
    ck_assert_ptr_nonnull(*copy);
    memcpy(*copy, data, len);
    return reply_read(protocol, *copy, len, r);
}

static size_t put_record(char *out, uint8_t type, const char *content) {
    size_t len = strlen(content), padding = fcgi_padding(len);
    fcgi_put_header((uint8_t *)out, type, 1, len);
    memcpy(out + FCGI_RECORD_HEADER, content, len);
    memset(out + FCGI_RECORD_HEADER + len, 0, padding);
    return FCGI_RECORD_HEADER + len + padding;
}

static size_t put_answer(char *out) {
    size_t n = put_record(out, FCGI_STDERR, "a warning\n");
    n += put_record(out + n, FCGI_STDOUT, "Status: 200 OK\r\nContent-Ty");
    n += put_record(out + n, FCGI_STDOUT, "pe: application/json\r\n\r\n{\"a\"");
    n += put_record(out + n, FCGI_STDOUT, ":1}");
    n += put_record(out + n, FCGI_STDOUT, "");
    fcgi_put_end_request((uint8_t *)out + n, 1, 0, 0);
    return n + FCGI_END_REQUEST_LEN;
}

static void assert_slice(struct slice s, const char *text) {
    ck_assert_uint_eq(s.n, strlen(text));
    ck_assert(!memcmp(s.p, text, s.n));
}

START_TEST(test_fastcgi_is_read_across_records)
{
    char data[512], *copy;
    struct reply r;
    ck_assert_int_eq(read_copy(TARGET_FASTCGI, data, put_answer(data), &r, &copy), REPLY_WHOLE);
    ck_assert_uint_eq(r.status, 200);
    assert_slice(r.type, "application/json");
    assert_slice(r.body, "{\"a\":1}");
    free(copy);
}
END_TEST

START_TEST(test_fastcgi_is_cut_wherever_it_ends)
{
    char data[512], *copy;
    struct reply r;
    size_t len = put_answer(data);
    /* What END_REQUEST says is not read: its header and eight bytes are the end. */
    for (size_t n = FCGI_RECORD_HEADER; n < len; n++) {
        ck_assert_int_eq(read_copy(TARGET_FASTCGI, data, n, &r, &copy), REPLY_CUT);
        free(copy);
    }
    for (size_t n = 1; n < FCGI_RECORD_HEADER; n++) {
        ck_assert_int_eq(read_copy(TARGET_FASTCGI, data, n, &r, &copy), REPLY_NEITHER);
        free(copy);
    }
}
END_TEST

static const char http[] = "HTTP/1.1 200 OK\r\ncontent-TYPE:application/json \r\nContent-Length: 7\r\n\r\n{\"a\":1}";
static const char chunked[] =
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=\"y\"\r\n{\"a\r\n4\r\n\":1}\r\n0\r\n\r\n";

START_TEST(test_http_is_cut_wherever_it_ends)
{
    const struct {
        const char *text;
        size_t whole; /* bytes that are enough */
    } answers[] = {{http, sizeof http - 1}, {chunked, sizeof chunked - 3}};
    char *copy;
    struct reply r;
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        for (size_t n = 1; n <= strlen(answers[i].text); n++) {
            enum reply_result result = read_copy(TARGET_HTTP, answers[i].text, n, &r, &copy);
            ck_assert_int_eq(result, n < 10 ? REPLY_NEITHER : n < answers[i].whole ? REPLY_CUT : REPLY_WHOLE);
            if (result == REPLY_WHOLE)
                assert_slice(r.body, "{\"a\":1}");
            free(copy);
        }
    }
}
END_TEST

START_TEST(test_a_body_without_a_length_ends_with_the_connection)
{
    char data[] = "HTTP/1.0 404 Not Found\n\nnothing";
    struct reply r;
    ck_assert_int_eq(reply_read(TARGET_HTTP, data, strlen(data), &r), REPLY_WHOLE);
    ck_assert_uint_eq(r.status, 404);
    ck_assert_uint_eq(r.type.n, 0);
    assert_slice(r.body, "nothing");
}
END_TEST

START_TEST(test_sizes_that_are_too_large_are_a_cut)
{
    static const char *const bad[] = {
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffffffff\r\nx\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\nx\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551614\r\n\r\nx",
    };
    char *copy;
    struct reply r;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ck_assert_int_eq(read_copy(TARGET_HTTP, bad[i], strlen(bad[i]), &r, &copy),
                         i == 3 ? REPLY_WHOLE : REPLY_CUT); /* a length that is none does not count */
        free(copy);
    }
}
END_TEST

START_TEST(test_the_other_protocol_is_seen)
{
    char data[512];
    struct reply r;
    size_t len = put_answer(data);
    ck_assert_int_eq(reply_read(TARGET_HTTP, data, len, &r), REPLY_FASTCGI);
    memcpy(data, http, sizeof http);
    ck_assert_int_eq(reply_read(TARGET_FASTCGI, data, sizeof http - 1, &r), REPLY_HTTP);
    memcpy(data, "SSH-2.0-x\r\n", 11);
    ck_assert_int_eq(reply_read(TARGET_FASTCGI, data, 11, &r), REPLY_NEITHER);
    memcpy(data, "HTTP/1.\n \n\n", 11); /* whose first line ends in front of the blank */
    ck_assert_int_eq(reply_read(TARGET_HTTP, data, 11, &r), REPLY_NEITHER);
    ck_assert_int_eq(reply_read(TARGET_HTTP, data, 0, &r), REPLY_NOTHING);
}
END_TEST

START_TEST(test_numbers_are_short)
{
    static const struct {
        double number;
        const char *seconds, *bytes, *plain;
    } cases[] = {
        {0, "0 us", "0 B", "0"},
        {0.00025, "250 us", "0 B", "0"},
        {0.0015, "1.5 ms", "0 B", "0"},
        {0.25, "250 ms", "0.3 B", "0.25"},
        {0.9999, "1 s", "1 B", "1"},
        {59.96, "1 m 0 s", "60 B", "60"},
        {3600, "1 h 0 m", "3.5 KiB", "3600"},
        {100000, "1 d 3 h", "98 KiB", "100000"},
        {-1, "-", "-", "-"},
        {1e300, "-", "-", "-"},
    };
    char out[NUMBER_SIZE];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ck_assert_str_eq(number_seconds(out, cases[i].number), cases[i].seconds);
        ck_assert_str_eq(number_bytes(out, cases[i].number), cases[i].bytes);
        ck_assert_str_eq(number_plain(out, cases[i].number), cases[i].plain);
    }
}
END_TEST

START_TEST(test_targets_are_read)
{
    static const struct {
        const char *text;
        enum target_protocol protocol;
        const char *socket, *host, *port, *path;
    } cases[] = {
        {"/run/a.sock", TARGET_UNKNOWN, "/run/a.sock", "", "", "/status"},
        {"unix:a", TARGET_UNKNOWN, "a", "", "", "/status"},
        {"./a", TARGET_UNKNOWN, "./a", "", "", "/status"},
        {"[::1]:80", TARGET_UNKNOWN, "", "::1", "80", "/status"},
        {":80", TARGET_UNKNOWN, "", "localhost", "80", "/status"},
        {"http://h:80", TARGET_HTTP, "", "h", "80", "/status"},
        {"http://[::1]:80/x", TARGET_HTTP, "", "::1", "80", "/x"},
        {"fcgi:///run/a?path=/x", TARGET_FASTCGI, "/run/a", "", "", "/x"},
        {"fastcgi://h:1/x/y", TARGET_FASTCGI, "", "h", "1", "/x/y"},
    };
    struct target t;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ck_assert_ptr_null(target_parse(&t, cases[i].text, NULL));
        ck_assert_int_eq(t.protocol, cases[i].protocol);
        ck_assert_str_eq(t.socket, cases[i].socket);
        ck_assert_str_eq(t.host, cases[i].host);
        ck_assert_str_eq(t.port, cases[i].port);
        ck_assert_str_eq(t.path, cases[i].path);
        ck_assert_int_eq(t.guessed, !strcmp(cases[i].path, "/status"));
    }
    ck_assert_ptr_null(target_parse(&t, ":80", "/status"));
    ck_assert(!t.guessed);
}
END_TEST

int main(void) {
    Suite *s = suite_create("reply");
    TCase *tc = tcase_create("top");
    tcase_add_test(tc, test_fastcgi_is_read_across_records);
    tcase_add_test(tc, test_fastcgi_is_cut_wherever_it_ends);
    tcase_add_test(tc, test_http_is_cut_wherever_it_ends);
    tcase_add_test(tc, test_a_body_without_a_length_ends_with_the_connection);
    tcase_add_test(tc, test_sizes_that_are_too_large_are_a_cut);
    tcase_add_test(tc, test_the_other_protocol_is_seen);
    tcase_add_test(tc, test_numbers_are_short);
    tcase_add_test(tc, test_targets_are_read);
    suite_add_tcase(s, tc);
    return unit_run(s);
}
