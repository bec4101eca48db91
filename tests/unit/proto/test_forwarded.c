#include "config.h"

#include "proto/forwarded.h"

#include "unit/unit.h"

#include <arpa/inet.h>
#include <stdio.h>

#define SLICE(text) ((struct slice){(text), strlen(text)})

static const struct {
    const char *first, *second; /* lines of the field */
    const char *items;          /* with | between them */
} lists[] = {
    {"", "", ""},
    {"x=a", "", "x=a"},
    {" x=a , x=b\t,x=c ", "", "x=a|x=b|x=c"},
    {"x=a,,x=b,", ", ,x=c", "x=a|x=b|x=c"},
    {"for=a;by=\"x,y\", for=b", "for=c", "for=a;by=\"x,y\"|for=b|for=c"},
    {"a=\"\\\",\",x=b", "", "a=\"\\\",\"|x=b"},
    {"a=\"\\\\\" , x=\"\"", "", "a=\"\\\\\"|x=\"\""},
    {"; ;x=a; y=b ;, ;, x=c", "", "x=a; y=b ;|x=c"},
    {"for=[2001:db8::1]:80;host=a:8080", "", "for=[2001:db8::1]:80;host=a:8080"},
    {"for=, x=a=b", "", "for=|x=a=b"},
    /* What is no element, and all in front of it, is left out (RFC 7239, 4). */
    {"x=a, b, x=c", "", "x=c"},
    {"x=a", "b, x=c", "x=c"},
    {"x=a", "x=c, b", ""},
    {"x=a, =b, x=c", "", "x=c"},
    {"x=a, b c=d, x=c", "", "x=c"},
    {"x=a, y=b c, x=c", "", "x=c"},
    {"x=a, y =b, x=c", "", "x=c"},
    {"x=a, y= b, x=c", "", "x=c"},
    {"x=a, y=b\\, x=c", "", "x=c"},
    {"x=a, @=b, x=c", "", "x=c"},
    {"x=a, y=\xe4, x=c", "", "x=c"},
    /* Quotes that are left open, and those in other places than behind "=". */
    {"x=a, y=\"open, x=c", "x=d", "x=c|x=d"},
    {"x=a, y=\", x=c", "", "x=c"},
    {"\", x=c", "", "x=c"},
    {"x=\", y=\"c\"", "", "y=\"c\""},
    {"x=\", y=\"c\", z=\"d\"", "", "y=\"c\"|z=\"d\""},
    {"x=\"a\";y=\"open\\\",z=c", "", "z=c"},
    {"x=\"a\"b, x=c", "", "x=c"},
    {"x=\"a\"b=c, x=c", "", "x=c"},
    {"x=\"a\"\"b\", x=c", "", "x=c"},
    {"x=a\"b\", x=c", "", "x=c"},
    {"x=a, yz\"b\", x=c", "", "x=c"},
    {"x=a, yz:\"b\", x=c", "", "x=c"},
    {"\"x=a\", x=c", "", "x=c"},
    {"x=\"a\\\", x=c", "", "x=c"},
    {"x=\\\"a\", x=c", "", "x=c"},
    {"x=a, \"", "", ""},
    {"x=a, y=\"", "", ""},
    {"x=a, y=\"\\\"", "", ""},
};

START_TEST(items)
{
    struct forwarded_list list = {.count = 0};
    char shown[256] = "";
    struct guard guard;
    guard_init(&guard, 256);
    const char *second = guard_put(&guard, lists[_i].second, strlen(lists[_i].second));
    forwarded_append_elements(&list, SLICE(lists[_i].first));
    forwarded_append_elements(&list, (struct slice){second, strlen(lists[_i].second)});
    for (size_t i = 0; i < list.count; i++)
        sprintf(shown + strlen(shown), "%s%.*s", i ? "|" : "", (int)list.items[i].n, list.items[i].p);
    ck_assert_str_eq(shown, lists[_i].items);
    guard_fini(&guard);
}
END_TEST

/* What a client may write in front of what the nearest proxy appends: with all of these, in every order. */
static const char *const written[] = {"for=6.6.6.6", ";", ",", "\"", "\\",
                                      "x=\"",        "=", " ", "a",  "proto=https;host=evil"};

START_TEST(appended_element_decides)
{
    static const char *const elements[] = {"for=9.9.9.9;proto=http;host=good",
                                           "host=\"good\";for=\"9.9.9.9\" ; proto=http;by=\"a\\\\\\\",;=\""};
    enum { DEPTH = 4 };
    for (int k = 0; k < COUNT(elements); k++) {
        int at[DEPTH] = {0};
        for (int depth = 0; depth < DEPTH;) {
            char text[256] = "";
            struct forwarded_list list = {.count = 0};
            for (int i = 0; i < DEPTH; i++)
                strcat(text, at[i] ? written[at[i] - 1] : "");
            strcat(text, ", ");
            strcat(text, elements[k]);
            forwarded_append_elements(&list, SLICE(text));
            REQUIRE(list.count > 0);
            struct slice last = list.items[list.count - 1], value = forwarded_parameter(last, "for");
            REQUIRE(value.n == 7 && !memcmp(value.p, "9.9.9.9", 7));
            value = forwarded_parameter(last, "proto");
            REQUIRE(value.n == 4 && !memcmp(value.p, "http", 4));
            value = forwarded_parameter(last, "host");
            REQUIRE(value.n == 4 && !memcmp(value.p, "good", 4));
            for (depth = 0; depth < DEPTH && ++at[depth] > COUNT(written); depth++)
                at[depth] = 0;
        }
    }
}
END_TEST

/* X-Forwarded-For and its like have no quotes. */
START_TEST(items_without_quotes)
{
    struct forwarded_list list = {.count = 0};
    forwarded_append(&list, SLICE("\"a, b\", \", 192.0.2.7"));
    ck_assert_uint_eq(list.count, 4);
    ck_assert(!memcmp(list.items[3].p, "192.0.2.7", 9) && list.items[3].n == 9);
}
END_TEST

START_TEST(nearest_elements_are_kept)
{
    struct forwarded_list list = {.count = 0};
    char text[1024];
    int n = 0;
    for (int i = 0; i < FORWARDED_HOPS + 10; i++)
        n += sprintf(text + n, "for=%d,", i);
    forwarded_append_elements(&list, SLICE("for=x"));
    forwarded_append_elements(&list, SLICE(text));
    ck_assert_uint_eq(list.count, FORWARDED_HOPS);
    ck_assert(!strncmp(list.items[0].p, "for=10,", 7) && !strncmp(list.items[FORWARDED_HOPS - 1].p, "for=41,", 7));
    forwarded_append_elements(&list, SLICE("for=y"));
    ck_assert_uint_eq(list.count, FORWARDED_HOPS);
    ck_assert(!strncmp(list.items[0].p, "for=11,", 7) && !strncmp(list.items[FORWARDED_HOPS - 1].p, "for=y", 5));
}
END_TEST

START_TEST(nearest_are_kept)
{
    struct forwarded_list list = {.count = 0};
    char text[512];
    int n = 0;
    for (int i = 0; i < FORWARDED_HOPS + 10; i++)
        n += sprintf(text + n, "%d,", i);
    forwarded_append(&list, SLICE(text));
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
                  {"for=a;for=b", "for", "b"},
                  {"for=a;junk;proto=b", "proto", "b"},
                  {"for=a;junk;proto=b", "for", ""},
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
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, items, 0, COUNT(lists));
    tcase_add_test(tc, items_without_quotes);
    tcase_add_test(tc, nearest_are_kept);
    tcase_add_test(tc, nearest_elements_are_kept);
    tcase_add_test(tc, appended_element_decides);
    tcase_add_loop_test(tc, address, 0, COUNT(addresses));
    tcase_add_loop_test(tc, parameter, 0, COUNT(parameters));
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
