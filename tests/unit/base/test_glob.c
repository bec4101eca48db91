#include "config.h"

#include "base/glob.h"

#include "unit/unit.h"

static const struct {
    const char *pattern, *path;
    bool matches;
} cases[] = {
    {"a.py", "a.py", true},
    {"a.py", "a.pyc", false},
    {"a.py", "x/a.py", false},
    {"", "", true},
    {"*", "a", true},
    {"*", "a/b", false},
    {"*.html", "index.html", true},
    {"*.html", ".html", false},
    {".*", ".env", true},
    {"?env", ".env", false},
    {"[.]env", ".env", false},
    {"*.html", "index.htm", false},
    {"a*b*c", "aXbXbYc", true},
    {"a*b*c", "aXbXbY", false},
    {"a**c", "abc", true},
    {"?", "\xc3\xa4", true}, /* one character of two bytes */
    {"??", "\xc3\xa4", false},
    {"?", "\xe4", true}, /* no character */
    {"[!a]", "\xc3\xa4", true},
    {"[a-c]x", "bx", true},
    {"[a-c]x", "dx", false},
    {"[!a-c]x", "dx", true},
    {"[!a-c]x", "ax", false},
    {"[]a]", "]", true},
    {"[a-]", "-", true},
    {"[ab]", "", false},
    {"?", "", false},
    {"a?c", "a/c", false},
    {"t/*.html", "t/a.html", true},
    {"t/*.html", "t/u/a.html", false},
    {"t/*", "t", false},
    {"t", "t/a", false},
    {"t/**/*.html", "t/a.html", true},
    {"t/**/*.html", "t/u/v/a.html", true},
    {"t/**/*.html", "t/.git/a.html", false},
    {"t/**/.git/*", "t/u/.git/a", true},
    {"**/*.po", "a.po", true},
    {"**/*.po", "de/LC/a.po", true},
    {"**/de/*.po", "x/de/de/a.po", true},
    {"**/x/**/y", "a/x/b/c/x/y", true},
    {"**/x/**/y", "a/b/c/y", false},
    {"/srv/*", "/srv/a", true},
    {"/srv/*", "srv/a", false},
};

START_TEST(test_match)
{
    ck_assert_msg(glob_match(cases[_i].pattern, cases[_i].path) == cases[_i].matches, "%s and %s", cases[_i].pattern,
                  cases[_i].path);
}
END_TEST

static const struct {
    const char *pattern, *directory;
    bool may;
} below[] = {
    {"t/*.html", "t", true},      {"t/*.html", "u", false},     {"t/*.html", "t/u", false},
    {"t/**/*.html", "t/u", true}, {"**/*.html", "a/b/c", true}, {"**/*.html", "a/.git", false},
    {"*/x", "a", true},           {"*/x", "a/x", false},        {"a.py", "a.py", false},
    {"/srv/*", "", true},
};

START_TEST(test_below)
{
    ck_assert_msg(glob_may_match_below(below[_i].pattern, below[_i].directory) == below[_i].may, "%s and %s",
                  below[_i].pattern, below[_i].directory);
}
END_TEST

/* Whoever backtracks here without need never ends. */
START_TEST(test_hard)
{
    char name[240];
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    ck_assert(!glob_match("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", name));
    for (size_t i = 1; i < sizeof name - 1; i += 2)
        name[i] = '/';
    ck_assert(!glob_match("**/a/**/a/**/a/**/a/**/a/**/a/**/a/**/b", name));
}
END_TEST

START_TEST(test_base)
{
    ck_assert_uint_eq(glob_base("templates/**/*.html"), strlen("templates"));
    ck_assert_uint_eq(glob_base("a/b/c.txt"), strlen("a/b"));
    ck_assert_uint_eq(glob_base("a/b?/c.txt"), strlen("a"));
    ck_assert_uint_eq(glob_base("*.html"), 0);
    ck_assert_uint_eq(glob_base("/*.html"), 0);
}
END_TEST

START_TEST(test_complain)
{
    static const char *const good[] = {"a", "./a", "../a/*", "a[bc]", "a[]]", "[!]]x", "**/*", "/a", "a**"};
    static const char *const bad[] = {"a[", "a[b/c]", "[]", "[!]", "a/", "a//b", "a/**", "**"};
    for (int i = 0; i < COUNT(good); i++)
        ck_assert_msg(!glob_complain(good[i]), "%s", good[i]);
    for (int i = 0; i < COUNT(bad); i++)
        ck_assert_msg(glob_complain(bad[i]) != NULL, "%s", bad[i]);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("glob");
    TCase *tc = tcase_create("glob");
    tcase_add_loop_test(tc, test_match, 0, COUNT(cases));
    tcase_add_loop_test(tc, test_below, 0, COUNT(below));
    tcase_add_test(tc, test_hard);
    tcase_add_test(tc, test_base);
    tcase_add_test(tc, test_complain);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
