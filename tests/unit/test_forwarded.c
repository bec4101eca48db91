#include "config.h"

#include "proto/forwarded.h"

#include "unit.h"

#include <arpa/inet.h>
#include <stdio.h>

#define SLICE(text) ((struct slice){(text), strlen(text)})

static const struct {
    const char *first, *second; /* lines of the field */
    const char *items;          /* with | between them */
} lists[] = {{"", "", ""},
             {"a", "", "a"},
             {" a , b\t,c ", "", "a|b|c"},
             {"a,,b,", ",c", "a|b|c"},
             {"for=a;by=\"x,y\", for=b", "for=c", "for=a;by=\"x,y\"|for=b|for=c"},
             {"a=\"\\\",\",b", "", "a=\"\\\",\"|b"},
             {"a=\"open,b", "c", "a=\"open|b|c"},
             {"a=\"x\";b=\"open\\\",c", "", "a=\"x\";b=\"open\\\"|c"}};

START_TEST(items)
{
    struct forwarded_list list = {.count = 0};
    char shown[256] = "";
    forwarded_append(&list, SLICE(lists[_i].first), true);
    forwarded_append(&list, SLICE(lists[_i].second), true);
    for (size_t i = 0; i < list.count; i++)
        sprintf(shown + strlen(shown), "%s%.*s", i ? "|" : "", (int)list.items[i].n, list.items[i].p);
    ck_assert_str_eq(shown, lists[_i].items);
}
END_TEST

/* X-Forwarded-For and its like have no quotes. */
START_TEST(items_without_quotes)
{
    struct forwarded_list list = {.count = 0};
    forwarded_append(&list, SLICE("\"a, b\", \", 192.0.2.7"), false);
    ck_assert_uint_eq(list.count, 4);
    ck_assert(!memcmp(list.items[3].p, "192.0.2.7", 9) && list.items[3].n == 9);
}
END_TEST

START_TEST(nearest_are_kept)
{
    struct forwarded_list list = {.count = 0};
    char text[512];
    int n = 0;
    for (int i = 0; i < FORWARDED_HOPS + 10; i++)
        n += sprintf(text + n, "%d,", i);
    forwarded_append(&list, SLICE(text), false);
    ck_assert_uint_eq(list.count, FORWARDED_HOPS);
    ck_assert(!strncmp(list.items[0].p, "10,", 3) && !strncmp(list.items[FORWARDED_HOPS - 1].p, "41,", 3));
}
END_TEST

static const struct {
    const char *text, *address; /* NULL: none */
    unsigned port;
} addresses[] = {{"192.0.2.7", "192.0.2.7", 0},
                 {"192.0.2.7:80", "192.0.2.7", 80},
                 {"\"192.0.2.7:65535\"", "192.0.2.7", 65535},
                 {"2001:db8::7", "2001:db8::7", 0},
                 {"[2001:db8::7]", "2001:db8::7", 0},
                 {"\"[2001:db8::7]:80\"", "2001:db8::7", 80},
                 {"::ffff:192.0.2.7", "::ffff:192.0.2.7", 0},
                 {"", NULL, 0},
                 {"\"\"", NULL, 0},
                 {"unknown", NULL, 0},
                 {"_hidden", NULL, 0},
                 {"192.0.2", NULL, 0},
                 {"192.0.2.7:", NULL, 0},
                 {"192.0.2.7:x", NULL, 0},
                 {"192.0.2.7:65536", NULL, 0},
                 {"192.0.2.7:99999999999", NULL, 0},
                 {"[2001:db8::7]x", NULL, 0},
                 {"[2001:db8::7]:", NULL, 0},
                 {"[2001:db8::7", NULL, 0},
                 {"[192.0.2.7]", NULL, 0},
                 {"[]", NULL, 0},
                 {"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb", NULL, 0}};

START_TEST(address)
{
    union peer_address a;
    char text[INET6_ADDRSTRLEN];
    bool good = forwarded_address(SLICE(addresses[_i].text), &a);
    ck_assert_int_eq(good, addresses[_i].address != NULL);
    if (!good)
        return;
    bool v4 = a.sa.sa_family == AF_INET;
    ck_assert(v4 || a.sa.sa_family == AF_INET6);
    inet_ntop(a.sa.sa_family, v4 ? (void *)&a.in.sin_addr : (void *)&a.in6.sin6_addr, text, sizeof text);
    ck_assert_str_eq(text, addresses[_i].address);
    ck_assert_uint_eq(ntohs(v4 ? a.in.sin_port : a.in6.sin6_port), addresses[_i].port);
}
END_TEST

static const struct {
    const char *element, *name, *value;
} parameters[] = {{"for=a", "for", "a"},
                  {"FOR=a;Proto=https", "proto", "https"},
                  {"for=\"a;b\"; host=\"h:80\"", "host", "h:80"},
                  {"for=a", "proto", ""},
                  {"forx=a", "for", ""},
                  {"for", "for", ""},
                  {"for=", "for", ""},
                  {"host=\"a\\\"b\"", "host", ""},
                  {"", "for", ""}};

START_TEST(parameter)
{
    struct slice value = forwarded_parameter(SLICE(parameters[_i].element), parameters[_i].name);
    ck_assert_uint_eq(value.n, strlen(parameters[_i].value));
    if (value.n)
        ck_assert_mem_eq(value.p, parameters[_i].value, value.n);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("forwarded");
    TCase *tc = tcase_create("forwarded");
    tcase_add_loop_test(tc, items, 0, COUNT(lists));
    tcase_add_test(tc, items_without_quotes);
    tcase_add_test(tc, nearest_are_kept);
    tcase_add_loop_test(tc, address, 0, COUNT(addresses));
    tcase_add_loop_test(tc, parameter, 0, COUNT(parameters));
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
