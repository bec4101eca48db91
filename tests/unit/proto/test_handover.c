#include "config.h"

#include "proto/handover.h"

#include "unit/unit.h"

#include <arpa/inet.h>

static union peer_address ipv4(const char *text, uint16_t port) {
    union peer_address a;
    memset(&a, 0, sizeof a);
    a.in.sin_family = AF_INET;
    a.in.sin_port = htons(port);
    ck_assert_int_eq(inet_pton(AF_INET, text, &a.in.sin_addr), 1);
    return a;
}

static union peer_address ipv6(const char *text, uint16_t port, uint32_t scope) {
    union peer_address a;
    memset(&a, 0, sizeof a);
    a.in6.sin6_family = AF_INET6;
    a.in6.sin6_port = htons(port);
    a.in6.sin6_scope_id = scope;
    ck_assert_int_eq(inet_pton(AF_INET6, text, &a.in6.sin6_addr), 1);
    return a;
}

static char leftover[HANDOVER_LEFTOVER_MAX], name[HANDOVER_LISTENER_MAX];

enum { MESSAGES = 5 };

static struct handover_message message(int which) {
    struct handover_message m = {.protocol = HANDOVER_FASTCGI, .is_unix = true};
    switch (which) {
    case 0:
        break;
    case 1:
        m.used = m.asked = m.unread = true;
        m.requests = 4000000000u;
        m.active_at = 0x123456789abcdef0;
        m.listener = LITERAL("/run/wsgi-fcgi.sock");
        m.leftover = LITERAL("\1\4\0");
        break;
    case 2:
        m.is_unix = false;
        m.peer = ipv6("fe80::1", 65535, 7);
        break;
    case 3:
        m = (struct handover_message){.protocol = HANDOVER_HTTP, .peer = ipv4("192.0.2.1", 80)};
        m.proxy = HANDOVER_PROXY_ADDRESSES;
        m.client = ipv4("203.0.113.9", 1);
        m.server = ipv6("2001:db8::7", 443, 0);
        m.listener = (struct slice){name, sizeof name};
        break;
    default:
        m.protocol = HANDOVER_HTTP;
        m.proxy = HANDOVER_PROXY_AWAITED;
        m.leftover = (struct slice){leftover, sizeof leftover};
        break;
    }
    return m;
}

static uint8_t bytes[HANDOVER_HEAD_MAX + HANDOVER_LEFTOVER_MAX];

static size_t put(const struct handover_message *m) {
    size_t n = handover_put(m, bytes);
    if (m->leftover.n)
        memcpy(bytes + n, m->leftover.p, m->leftover.n);
    return n + m->leftover.n;
}

static void expect_slice(struct slice got, struct slice wanted) {
    ck_assert_uint_eq(got.n, wanted.n);
    if (wanted.n)
        ck_assert_mem_eq(got.p, wanted.p, wanted.n);
}

START_TEST(what_is_put_is_read)
{
    struct handover_message m = message(_i), read;
    struct guard g;
    size_t n = put(&m);
    guard_init(&g, sizeof bytes);
    ck_assert_int_eq(handover_parse((uint8_t *)guard_put(&g, bytes, n), n, &read), HANDOVER_OK);
    ck_assert_int_eq(read.protocol, m.protocol);
    ck_assert_int_eq(read.is_unix, m.is_unix);
    ck_assert_int_eq(read.used, m.used);
    ck_assert_int_eq(read.asked, m.asked);
    ck_assert_int_eq(read.unread, m.unread);
    ck_assert_int_eq(read.proxy, m.proxy);
    ck_assert_uint_eq(read.requests, m.requests);
    ck_assert_uint_eq(read.active_at, m.active_at);
    ck_assert_mem_eq(&read.peer, &m.peer, sizeof m.peer);
    ck_assert_mem_eq(&read.client, &m.client, sizeof m.client);
    ck_assert_mem_eq(&read.server, &m.server, sizeof m.server);
    expect_slice(read.listener, m.listener);
    expect_slice(read.leftover, m.leftover);
    guard_fini(&g);
}
END_TEST

START_TEST(one_that_is_cut_is_none)
{
    struct handover_message m = message(_i), read;
    struct guard g;
    size_t n = put(&m);
    guard_init(&g, sizeof bytes + 1);
    for (size_t cut = 0; cut < n; cut++)
        REQUIRE(handover_parse((uint8_t *)guard_put(&g, bytes, cut), cut, &read) == HANDOVER_BAD);
    uint8_t *longer = (uint8_t *)guard_put(&g, "", 1) - n;
    memcpy(longer, bytes, n);
    ck_assert_int_eq(handover_parse(longer, n + 1, &read), HANDOVER_BAD);
    guard_fini(&g);
}
END_TEST

static const struct {
    int message;
    size_t at;
    uint8_t byte;
} bad[] = {
    {0, 0, 0},  /* no version */
    {0, 2, 0},  /* no protocol */
    {0, 2, 3},  /* an unknown one */
    {0, 3, 16}, /* an unknown flag */
    {0, 3, 0},  /* no address of a peer that has one */
    {0, 4, 1},  /* FastCGI with a PROXY header */
    {3, 4, 4},  /* an unknown result of one */
    {3, 4, 2},  /* addresses that nobody has named */
    {4, 4, 3},  /* none where somebody has */
    {3, 3, 4},  /* HTTP that asks GET_VALUES */
    {3, 3, 8},  /* or has a body of FastCGI */
    {0, 5, 1},  /* what is to be zero */
    {2, 3, 1},  /* a process with an address */
    {2, 24, 5}, /* an unknown family */
    {2, 25, 1}, /* what is to be zero */
    {3, 28, 1}, /* IPv4 with a scope */
    {3, 47, 1}, /* or too long */
    {0, 27, 1}, /* no address with a port */
    {4, 14, 1}, /* more left over than is sent */
    {3, 7, 3},  /* a longer name than there is */
};

START_TEST(what_nobody_writes_is_none)
{
    struct handover_message m = message(bad[_i].message), read;
    size_t n = put(&m);
    ck_assert_int_eq(handover_parse(bytes, n, &read), HANDOVER_OK);
    bytes[bad[_i].at] = bad[_i].byte;
    ck_assert_int_eq(handover_parse(bytes, n, &read), HANDOVER_BAD);
}
END_TEST

START_TEST(other_versions_are_passed_on)
{
    static const uint8_t next[] = {HANDOVER_VERSION + 1, 0};
    uint8_t copy[sizeof next];
    struct handover_message read;
    int hops = 0;
    ck_assert_int_eq(handover_parse(next, sizeof next, &read), HANDOVER_OTHER_VERSION);
    memcpy(copy, next, sizeof next);
    while (handover_hop(copy, sizeof copy))
        hops++;
    ck_assert_int_eq(hops, HANDOVER_HOPS_MAX);
    ck_assert_int_eq(copy[0], next[0]);
    ck_assert(!handover_hop(copy, 1));
}
END_TEST

START_TEST(one_that_was_passed_on_is_read)
{
    struct handover_message m = message(1), read;
    size_t n = put(&m);
    ck_assert(handover_hop(bytes, n));
    ck_assert_int_eq(handover_parse(bytes, n, &read), HANDOVER_OK);
    ck_assert_uint_eq(read.requests, m.requests);
}
END_TEST

START_TEST(other_addresses_are_none)
{
    struct handover_message m = message(3), read;
    m.peer.sa.sa_family = AF_UNIX;
    ck_assert_int_eq(handover_parse(bytes, put(&m), &read), HANDOVER_BAD);
}
END_TEST

int main(void) {
    for (size_t i = 0; i < sizeof leftover; i++)
        leftover[i] = (char)i;
    memset(name, 'n', sizeof name);
    Suite *suite = suite_create("handover");
    TCase *tc = tcase_create("message");
    tcase_add_loop_test(tc, what_is_put_is_read, 0, MESSAGES);
    tcase_add_loop_test(tc, one_that_is_cut_is_none, 0, MESSAGES);
    tcase_add_loop_test(tc, what_nobody_writes_is_none, 0, COUNT(bad));
    tcase_add_test(tc, other_versions_are_passed_on);
    tcase_add_test(tc, one_that_was_passed_on_is_read);
    tcase_add_test(tc, other_addresses_are_none);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
