#include "config.h"

#include "proto/http_target.h"

#include "unit/unit.h"

#define SLICE(text) ((struct slice){(text), strlen(text)})

static bool is(struct slice s, const char *text) {
    return s.n == strlen(text) && !memcmp(s.p, text, s.n);
}

static const struct {
    const char *text, *authority, *path, *query;
} targets[] = {
    {"/", "", "/", ""},
    {"/a/b", "", "/a/b", ""},
    {"/a?b", "", "/a", "b"},
    {"/a?b?c", "", "/a", "b?c"},
    {"/?", "", "/", ""},
    {"//a", "", "//a", ""},
    {"/http://b/", "", "/http://b/", ""},
    {"*", "", "*", ""},
    {"http://a/b?c", "a", "/b", "c"},
    {"http://a", "a", "/", ""},
    {"http://a?c", "a", "/", "c"},
    {"HTTPS://[::1]:443/", "[::1]:443", "/", ""},
};

START_TEST(parse)
{
    struct http_target target;
    ck_assert_ptr_null(http_target_parse(SLICE(targets[_i].text), &target));
    ck_assert(is(target.authority, targets[_i].authority));
    ck_assert(is(target.path, targets[_i].path));
    ck_assert(is(target.query, targets[_i].query));
    ck_assert_int_eq(target.absolute, *targets[_i].authority != '\0');
}
END_TEST

static const char *const wrong[] = {"",          "a",           "**",          "*/",       "http:", "http://",
                                    "http:///a", "http://?",    "http://a b/", "ftp://a/", "a:80",  "/a#b",
                                    "/#",        "http://u@h/", "http://h:x/", "http://[/"};

START_TEST(refuse)
{
    struct http_target target;
    ck_assert_ptr_nonnull(http_target_parse(SLICE(wrong[_i]), &target));
}
END_TEST

static const struct {
    const char *text, *decoded; /* NULL: malformed */
} paths[] = {{"/", "/"},
             {"", ""},
             {"/a%20b", "/a b"},
             {"%41%4a%4A", "AJJ"},
             {"/%2f%2F", "///"},
             {"/%25%32%35", "/%25"},
             {"/%ff%c3", "/\xff\xc3"},
             {"/+", "/+"},
             {"%", NULL},
             {"/%4", NULL},
             {"/%4g", NULL},
             {"/%g4", NULL},
             {"/%00", NULL},
             {"/%%", NULL},
             {"/%-1", NULL}};

START_TEST(decode)
{
    struct guard in, out;
    size_t len = strlen(paths[_i].text);
    guard_init(&in, len);
    guard_init(&out, len);
    char *room = out.end - len;
    size_t n = http_target_decode((struct slice){guard_put(&in, paths[_i].text, len), len}, room);
    if (!paths[_i].decoded)
        ck_assert_uint_eq(n, SIZE_MAX);
    else
        ck_assert(n == strlen(paths[_i].decoded) && !memcmp(room, paths[_i].decoded, n));
    guard_fini(&in);
    guard_fini(&out);
}
END_TEST

static const struct {
    const char *text;
    bool good;
} hosts[] = {
    {"", true},          {"a", true},          {"a.example:80", true}, {"a:", true},          {"192.0.2.7", true},
    {"[::1]", true},     {"[::1]:8080", true}, {"[v1.a]", true},       {"%41", true},         {"a_b-c~", true},
    {"a b", false},      {"a/b", false},       {"a@b", false},         {"a:b", false},        {"a:80:80", false},
    {"a:800000", false}, {"[::1", false},      {"[]", false},          {"[::1]x", false},     {"::1", false},
    {"a:0", true},       {"a:65535", true},    {"a:00080", true},      {"[::1]:65535", true}, {"65536", true},
    {"a:65536", false},  {"a:99999", false},   {"[::1]:65536", false}, {"a:000080", false},   {"a:4294967376", false},
    {"a\\b", false},     {"a?", false},        {"a#", false},          {"\xc3\xa4", false},   {"<a>", false}};

START_TEST(authority)
{ ck_assert_int_eq(http_is_authority(SLICE(hosts[_i].text)), hosts[_i].good); }
END_TEST

START_TEST(authority_with_nul)
{ ck_assert(!http_is_authority((struct slice){"a\0b", 3})); }
END_TEST

int main(void) {
    Suite *suite = suite_create("http_target");
    TCase *tc = tcase_create("http_target");
    tcase_add_loop_test(tc, parse, 0, COUNT(targets));
    tcase_add_loop_test(tc, refuse, 0, COUNT(wrong));
    tcase_add_loop_test(tc, decode, 0, COUNT(paths));
    tcase_add_loop_test(tc, authority, 0, COUNT(hosts));
    tcase_add_test(tc, authority_with_nul);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
