#include "config.h"

#include "proto/status_head.h"

#include "unit/unit.h"

static bool is(struct slice s, const char *text) {
    return s.n == strlen(text) && !memcmp(s.p, text, s.n);
}

static const struct {
    const char *text;
    bool head_only;
    const char *path, *query, *accept;
} heads[] = {
    {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", false, "/", "", ""},
    {"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", true, "/", "", ""},
    {"GET / HTTP/1.0\r\n\r\n", false, "/", "", ""},
    {"GET /metrics?format=json&stacks=0 HTTP/1.1\r\nHost: [::1]:80\r\nAccept: text/html;q=1 , a/b \r\n\r\n", false,
     "/metrics", "format=json&stacks=0", "text/html;q=1 , a/b"},
    {"GET http://a:1/x HTTP/1.1\r\nHost: a\r\n\r\n", false, "/x", "", ""},
    {"GET http://a HTTP/1.1\r\nHost: a\r\n\r\n", false, "/", "", ""},
    {"GET /? HTTP/1.1\r\nHOST:a\r\nContent-Length: 0\r\naccept:\ttext/plain\t\r\n\r\n", false, "/", "", "text/plain"},
    {"GET / HTTP/1.1\r\nAccept: first/one\r\nHost:\r\nAccept: second/one\r\nX: \xc3\xa4\r\n\r\n", false, "/", "",
     "first/one"},
};

static void expect(int i, enum status_head_result result, const struct status_head *head) {
    REQUIRE(result == STATUS_HEAD_OK);
    REQUIRE(head->head_only == heads[i].head_only);
    REQUIRE(is(head->path, heads[i].path));
    REQUIRE(is(head->query, heads[i].query));
    REQUIRE(is(head->accept, heads[i].accept));
}

START_TEST(whole)
{
    struct guard g;
    size_t n = strlen(heads[_i].text), scanned = 0;
    struct status_head head;
    guard_init(&g, n);
    expect(_i, status_head_read(guard_put(&g, heads[_i].text, n), n, &scanned, &head), &head);
    guard_fini(&g);
}
END_TEST

START_TEST(byte_by_byte)
{
    size_t n = strlen(heads[_i].text), scanned = 0;
    struct status_head head;
    struct guard g;
    guard_init(&g, n);
    for (size_t i = 0; i < n; i++)
        REQUIRE(status_head_read(guard_put(&g, heads[_i].text, i), i, &scanned, &head) == STATUS_HEAD_MORE);
    expect(_i, status_head_read(guard_put(&g, heads[_i].text, n), n, &scanned, &head), &head);
    guard_fini(&g);
}
END_TEST

START_TEST(more_behind)
{
    static const char text[] = "GET /a HTTP/1.0\r\n\r\nGET /b HTTP/1.0\r\n\r\n\x01\x02";
    struct status_head head;
    size_t scanned = 0;
    ck_assert_int_eq(status_head_read(text, sizeof text - 1, &scanned, &head), STATUS_HEAD_OK);
    ck_assert(is(head.path, "/a"));
}
END_TEST

static const struct {
    const char *text;
    enum status_head_result result;
} refused[] = {
    {"POST / HTTP/1.1\r\nHost: a\r\n\r\n", STATUS_HEAD_BAD_METHOD},
    {"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", STATUS_HEAD_BAD_METHOD},
    {"GETS / HTTP/1.1\r\nHost: a\r\n\r\n", STATUS_HEAD_BAD_METHOD},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\na", STATUS_HEAD_BAD_METHOD},
    {"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", STATUS_HEAD_BAD_METHOD},
    {"POST / HTTP/1.1\r\n\r\n", STATUS_HEAD_BAD},
    {"GET / HTTP/1.1\r\nHost: a\r\nX-\xc3\xa4: a\r\n\r\n", STATUS_HEAD_BAD},
    {"GET * HTTP/1.1\r\nHost: a\r\n\r\n", STATUS_HEAD_BAD},
    {"GET x HTTP/1.1\r\nHost: a\r\n\r\n", STATUS_HEAD_BAD},
    {"GET /#x HTTP/1.1\r\nHost: a\r\n\r\n", STATUS_HEAD_BAD},
    {"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", STATUS_HEAD_BAD},
    {"GET /  HTTP/1.1\r\nHost: a\r\n\r\n", STATUS_HEAD_BAD},
    {"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", STATUS_HEAD_BAD},
    {"GET / HTTP/1.2\r\nHost: a\r\n\r\n", STATUS_HEAD_BAD},
    {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", STATUS_HEAD_BAD},
    {"GET /\r\n\r\n", STATUS_HEAD_BAD}, /* HTTP/0.9 */
    {"GET\r\n\r\n", STATUS_HEAD_BAD},
    {"GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n", STATUS_HEAD_BAD},
    {"GET / HTTP/1.1\r\n\r\n", STATUS_HEAD_BAD},
    {"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", STATUS_HEAD_BAD},
    {"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", STATUS_HEAD_BAD},
    {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", STATUS_HEAD_BAD},
    {"GET / HTTP/1.1\r\nHost : a\r\n\r\n", STATUS_HEAD_BAD},
    {"GET / HTTP/1.1\r\n Host: a\r\n\r\n", STATUS_HEAD_BAD},
    {"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n folded\r\n\r\n", STATUS_HEAD_BAD},
    {"GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", STATUS_HEAD_BAD},
    {"GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n", STATUS_HEAD_BAD},
    {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n", STATUS_HEAD_BAD},
    {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 00\r\n\r\n", STATUS_HEAD_BAD},
    {"GET / HTTP/1.1\r\nHost: a\r\ntransfer-encoding: chunked\r\n\r\n", STATUS_HEAD_BAD},
    /* Without waiting for the end of it: */
    {"get / HTTP/1.1", STATUS_HEAD_BAD},
    {"\r\n", STATUS_HEAD_BAD},
    {"\x16\x03\x01", STATUS_HEAD_BAD}, /* TLS */
    {"\x01\x01", STATUS_HEAD_BAD},     /* FastCGI */
    {"GET / HTTP/1.1\n", STATUS_HEAD_BAD},
    {"GET / HTTP/1.1\rH", STATUS_HEAD_BAD},
    {"GET / HTTP/1.1\r\r", STATUS_HEAD_BAD},
    {"GET / HTTP/1.1\r\nX: \x7f", STATUS_HEAD_BAD},
    {"GET / HTTP/1.1\r\nX: \x1b", STATUS_HEAD_BAD},
};

START_TEST(refuse)
{
    struct status_head head;
    size_t scanned = 0;
    ck_assert_int_eq(status_head_read(refused[_i].text, strlen(refused[_i].text), &scanned, &head), refused[_i].result);
}
END_TEST

START_TEST(refuse_zero)
{
    struct status_head head;
    size_t scanned = 0;
    ck_assert_int_eq(status_head_read("GET /\0 ", 7, &scanned, &head), STATUS_HEAD_BAD);
}
END_TEST

static const struct {
    const char *host;
    bool of_here;
} hosts[] = {
    {"", true},
    {"localhost", true},
    {"localhost:9000", true},
    {"LocalHost.:9000", true},
    {"app.LOCALHOST:9000", true},
    {"127.0.0.1", true},
    {"10.1.2.3:9000", true},
    {"[::1]:9000", true},
    {"[::ffff:1.2.3.4]", true},
    {"web1:9000", true},
    {"example.com", false},
    {"example.com.:9000", false},
    {"localhost.example.com", false},
    {"notlocalhost.x", false},
    {"127.0.0.1.example.com:9000", false},
    {"1.2.3.a", false},
};

START_TEST(host_of_here)
{
    struct slice host = {hosts[_i].host, strlen(hosts[_i].host)};
    ck_assert_int_eq(status_host_is_of_here(host), hosts[_i].of_here);
}
END_TEST

START_TEST(host_is_told)
{
    static const char text[] = "GET / HTTP/1.1\r\nHost:  example.com:80 \r\n\r\n";
    struct status_head head;
    size_t scanned = 0;
    ck_assert_int_eq(status_head_read(text, sizeof text - 1, &scanned, &head), STATUS_HEAD_OK);
    ck_assert_uint_eq(head.host.n, 14);
    ck_assert_mem_eq(head.host.p, "example.com:80", 14);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("status_head");
    TCase *tc = tcase_create("core");
    tcase_add_loop_test(tc, whole, 0, COUNT(heads));
    tcase_add_loop_test(tc, byte_by_byte, 0, COUNT(heads));
    tcase_add_test(tc, more_behind);
    tcase_add_loop_test(tc, refuse, 0, COUNT(refused));
    tcase_add_test(tc, refuse_zero);
    tcase_add_loop_test(tc, host_of_here, 0, COUNT(hosts));
    tcase_add_test(tc, host_is_told);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
