#include "config.h"

#include "net/listen/address.h"

#include "unit/unit.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <sysexits.h>

#define TEN "0123456789"
#define HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN

static const struct {
    const char *text;
    enum address_kind kind;
    const char *formatted; /* NULL: a descriptor */
} accepted[] = {
    {"/run/app.sock", ADDRESS_UNIX, "/run/app.sock"},
    {"./app.sock", ADDRESS_UNIX, "./app.sock"},
    {"run/app:1", ADDRESS_UNIX, "run/app:1"},
    {"unix:/run/app.sock", ADDRESS_UNIX, "/run/app.sock"},
    {"unix:app.sock", ADDRESS_UNIX, "app.sock"},
    {"unix:app", ADDRESS_UNIX, "app"},
    {"unix:///run/app.sock", ADDRESS_UNIX, "///run/app.sock"},
    {"app.sock", ADDRESS_UNIX, "app.sock"},
    {"app:1.sock", ADDRESS_UNIX, "app:1.sock"},
    {"/run/app.sock:a", ADDRESS_UNIX, "/run/app.sock:a"},
    {"./app.sock.660", ADDRESS_UNIX, "./app.sock.660"},
    {"./a://b", ADDRESS_UNIX, "./a://b"},
    {"/a\tb\\\xc3\xa9", ADDRESS_UNIX, "/a\\x09b\\x5c\xc3\xa9"},
    {"/" HUNDRED "123456", ADDRESS_UNIX, "/" HUNDRED "123456"},
    {"@app", ADDRESS_ABSTRACT, "@app"},
    {"@a/b:1", ADDRESS_ABSTRACT, "@a/b:1"},
    {"@" HUNDRED "1234567", ADDRESS_ABSTRACT, "@" HUNDRED "1234567"},
    {"127.0.0.1:8000", ADDRESS_TCP, "127.0.0.1:8000"},
    {"127.0.0.1:0", ADDRESS_TCP, "127.0.0.1:0"},
    {"0.0.0.0:65535", ADDRESS_TCP, "0.0.0.0:65535"},
    {"8000", ADDRESS_TCP, "127.0.0.1:8000"},
    {"0", ADDRESS_TCP, "127.0.0.1:0"},
    {"65535", ADDRESS_TCP, "127.0.0.1:65535"},
    {"[::]:8000", ADDRESS_TCP, "[::]:8000"},
    {"[::1]:9000", ADDRESS_TCP, "[::1]:9000"},
    {"[2001:db8::5]:1", ADDRESS_TCP, "[2001:db8::5]:1"},
    {"*:80", ADDRESS_TCP, "[::]:80"},
    {":80", ADDRESS_TCP, "[::]:80"},
    {"fd:3", ADDRESS_FD, NULL},
    {"fd:0", ADDRESS_FD, NULL},
};

START_TEST(test_accepted)
{
    struct address *list;
    size_t count;
    char reason[ADDRESS_REASON_SIZE], out[ADDRESS_TEXT_SIZE];
    const char *text = accepted[_i].text;
    ck_assert_msg(address_parse(text, &list, &count, reason) == 0, "%s: %s", text, reason);
    ck_assert_uint_eq(count, 1);
    ck_assert_int_eq(list->kind, accepted[_i].kind);
    ck_assert_int_eq(list->any, text[0] == '*' || text[0] == ':');
    if (accepted[_i].formatted) {
        ck_assert_int_eq(list->fd, -1);
        ck_assert_str_eq(address_format((struct sockaddr *)&list->sa, list->len, out), accepted[_i].formatted);
    } else {
        ck_assert_int_eq(list->fd, text[3] - '0');
        ck_assert_uint_eq(list->len, 0);
    }
    free(list);
}
END_TEST

#define FORMS "/path, ./path, name.sock, unix:path, @name, port, :port, *:port, host:port, [::1]:port and fd:N"

static const struct {
    const char *text;
    int status;
    const char *reason;
} refused[] = {
    {"", EX_USAGE, "it is none of " FORMS},
    {"://", EX_USAGE, "it is none of " FORMS},
    {"app", EX_USAGE, "write ./app for a Unix socket, app:PORT for TCP; the forms are " FORMS},
    {"localhost", EX_USAGE, "write ./localhost for a Unix socket, localhost:PORT for TCP"},
    {"127.0.0.1", EX_USAGE, "127.0.0.1:PORT for TCP"},
    {"a\tb", EX_USAGE, "write ./a\\x09b for"},
    {HUNDRED HUNDRED, EX_USAGE, "the port has to be a number from 0 to 65535"},
    {HUNDRED HUNDRED "x", EX_USAGE, "for a Unix socket"},
    {"65536", EX_USAGE, "the port has to be a number from 0 to 65535"},
    {"-1", EX_USAGE, "write ./-1 for"},
    {"http://127.0.0.1:8000", EX_USAGE, "it is a URL: write --http 127.0.0.1:8000"},
    {"http://:8000/", EX_USAGE, "it is a URL: write --http :8000"},
    {"https://[::1]:8000/app", EX_USAGE, "it is a URL, and TLS is for a proxy in front: write --http [::1]:8000"},
    {"tcp://127.0.0.1:9000", EX_USAGE, "it is a URL: write 127.0.0.1:9000"},
    {"fcgi://127.0.0.1:9000/x.sock", EX_USAGE, "it is a URL: write 127.0.0.1:9000"},
    {"unix://app.sock", EX_USAGE, "write unix:app.sock, or unix:/app.sock for an absolute path"},
    {"unix://run/app.sock", EX_USAGE, "write unix:run/app.sock, or unix:/run/app.sock for an absolute path"},
    {"unix://", EX_USAGE, "it is none of " FORMS},
    {"/run/app.sock:660", EX_USAGE, "write /run/app.sock, with --socket-mode 660"},
    {"unix:app.sock:0660", EX_USAGE, "write app.sock, with --socket-mode 0660"},
    {"app.sock:777", EX_USAGE, "write app.sock, with --socket-mode 777"},
    {"/run/app.sock:8000", EX_USAGE, "a Unix socket has no port: write /run/app.sock"},
    {"[::1]", EX_USAGE, "the port is missing: write [::1]:PORT"},
    {"fd://3", EX_USAGE, "written fd:N"},
    {"/" HUNDRED "1234567", EX_USAGE,
     "108 bytes are too long for a Unix socket, the limit is 107: choose a shorter path"},
    {"@" HUNDRED "12345678", EX_USAGE,
     "108 bytes are too long for a Unix socket, the limit is 107: choose a shorter name"},
    {"unix:", EX_USAGE, "the path is empty"},
    {"@", EX_USAGE, "the name behind the @ is empty"},
    {"fd:", EX_USAGE, "written fd:N"},
    {"fd:x", EX_USAGE, "written fd:N"},
    {"fd:-1", EX_USAGE, "written fd:N"},
    {"fd:99999999999", EX_USAGE, "written fd:N"},
    {"fd:2147483648", EX_USAGE, "written fd:N"},
    {"localhost:", EX_USAGE, "the port has to be a number from 0 to 65535"},
    {"localhost:http", EX_USAGE, "the port has to be a number"},
    {"localhost:65536", EX_USAGE, "the port has to be a number"},
    {"localhost:-1", EX_USAGE, "the port has to be a number"},
    {"::1:80", EX_USAGE, "an IPv6 address is written in brackets"},
    {"[]:80", EX_USAGE, "the host name is empty"},
    {"[127.0.0.1]:80", EX_USAGE, "between [ and ] there has to be an IPv6 address"},
    {"[localhost]:80", EX_USAGE, "between [ and ] there has to be an IPv6 address"},
    {HUNDRED HUNDRED HUNDRED ":80", EX_USAGE, "the host name is too long"},
};

START_TEST(test_refused)
{
    struct address *list;
    size_t count;
    char reason[ADDRESS_REASON_SIZE] = "";
    ck_assert_int_eq(address_parse(refused[_i].text, &list, &count, reason), refused[_i].status);
    ck_assert_msg(strstr(reason, refused[_i].reason) != NULL, "%s: %s", refused[_i].text, reason);
    ck_assert_ptr_null(list);
    ck_assert_uint_eq(count, 0);
}
END_TEST

/* What the resolver says of a name of the reserved domain depends on the network: unknown, or no answer. */
START_TEST(test_unknown_host)
{
    struct address *list;
    size_t count;
    char reason[ADDRESS_REASON_SIZE];
    int status = address_parse("no-such\thost.invalid:80", &list, &count, reason);
    ck_assert_msg(status == EX_NOHOST || status == EX_TEMPFAIL, "status %d: %s", status, reason);
    ck_assert_ptr_nonnull(strstr(reason, "no-such\\x09host.invalid"));
    ck_assert_ptr_null(list);
}
END_TEST

START_TEST(test_name)
{
    struct address *list;
    size_t count, expected = 0;
    char reason[ADDRESS_REASON_SIZE];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *found;
    ck_assert_int_eq(getaddrinfo("localhost", "80", &hints, &found), 0);
    for (const struct addrinfo *ai = found; ai; ai = ai->ai_next)
        expected++;
    freeaddrinfo(found);
    ck_assert_int_eq(address_parse("localhost:80", &list, &count, reason), 0);
    ck_assert_uint_ge(count, 1);
    ck_assert_uint_le(count, expected);
    for (size_t i = 0; i < count; i++) {
        ck_assert_int_eq(list[i].kind, ADDRESS_TCP);
        ck_assert_int_eq(list[i].fd, -1);
        ck_assert(!list[i].any);
        for (size_t k = 0; k < i; k++)
            ck_assert(list[i].len != list[k].len || memcmp(&list[i].sa, &list[k].sa, list[i].len) != 0);
    }
    free(list);
}
END_TEST

/* An IPv4 peer of a socket that takes both has the form in which rules and people know it. */
START_TEST(test_format_mapped)
{
    char out[ADDRESS_TEXT_SIZE];
    struct sockaddr_in6 sin6 = {.sin6_family = AF_INET6, .sin6_port = htons(4321)};
    const struct sockaddr *p = (const struct sockaddr *)&sin6;
    ck_assert_int_eq(inet_pton(AF_INET6, "::ffff:192.0.2.7", &sin6.sin6_addr), 1);
    ck_assert_str_eq(address_format(p, sizeof(sin6), out), "192.0.2.7:4321");
    ck_assert_int_eq(inet_pton(AF_INET6, "::fffe:c000:207", &sin6.sin6_addr), 1);
    ck_assert_str_eq(address_format(p, sizeof(sin6), out), "[::fffe:c000:207]:4321");
}
END_TEST

START_TEST(test_format_odd)
{
    char out[ADDRESS_TEXT_SIZE];
    struct sockaddr_storage sa = {.ss_family = AF_UNIX};
    const struct sockaddr *p = (const struct sockaddr *)&sa;
    ck_assert_str_eq(address_format(p, offsetof(struct sockaddr_un, sun_path), out), "unnamed Unix socket");
    ck_assert_str_eq(address_format(p, offsetof(struct sockaddr_un, sun_path) + 1, out), "unnamed Unix socket");
    ck_assert_str_eq(address_format(p, 0, out), "unnamed Unix socket");
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    memset(sun.sun_path, '\xff', sizeof(sun.sun_path)); /* no terminating zero: unix(7) allows that */
    address_format((const struct sockaddr *)&sun, sizeof(sun), out);
    ck_assert_uint_eq(strlen(out), 4 * sizeof(sun.sun_path));
    sa.ss_family = AF_PACKET;
    ck_assert_str_eq(address_format(p, sizeof(sa), out), "socket of address family 17");
    sa.ss_family = AF_INET6;
    ck_assert_str_eq(address_format(p, sizeof(struct sockaddr_in), out), "socket of address family 10");
}
END_TEST

/* What is the same peer, and what is another. */
START_TEST(test_identity)
{
    static const struct {
        const char *one, *other;
        bool same;
    } rows[] = {
        {"192.0.2.7:1", "192.0.2.7:2", true},
        {"192.0.2.7:1", "192.0.2.8:1", false},
        {"192.0.2.7:1", "[::ffff:192.0.2.7]:1", true},
        {"[2001:db8::1]:1", "[2001:db8::ffff:0:0:1]:2", true},
        {"[2001:db8::1]:1", "[2001:db8:0:1::1]:1", false},
        {"@a", "@b", true},
        {"@a", "192.0.2.7:1", false},
    };
    uint8_t one[ADDRESS_IDENTITY_SIZE], other[ADDRESS_IDENTITY_SIZE];
    char reason[ADDRESS_REASON_SIZE];
    for (int i = 0; i < COUNT(rows); i++) {
        struct address *a, *b;
        size_t count;
        ck_assert_int_eq(address_parse(rows[i].one, &a, &count, reason), 0);
        ck_assert_int_eq(address_parse(rows[i].other, &b, &count, reason), 0);
        size_t n = address_identity((const struct sockaddr *)&a->sa, a->len, one);
        size_t m = address_identity((const struct sockaddr *)&b->sa, b->len, other);
        ck_assert_int_eq(n == m && !memcmp(one, other, n), rows[i].same);
        free(a);
        free(b);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("address");
    TCase *tc = tcase_create("address");
    tcase_add_loop_test(tc, test_accepted, 0, COUNT(accepted));
    tcase_add_loop_test(tc, test_refused, 0, COUNT(refused));
    tcase_add_test(tc, test_unknown_host);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, test_name);
    tcase_add_test(tc, test_format_mapped);
    tcase_add_test(tc, test_format_odd);
    tcase_add_test(tc, test_identity);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
