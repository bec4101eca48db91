#include "config.h"

#include "base/path.h"

#include "unit/unit.h"

static const struct {
    const char *directory, *path, *absolute;
} paths[] = {
    {"/srv", "app", "/srv/app"}, {"/srv", "./app", "/srv/./app"}, {"/srv", "/app", "/app"},
    {NULL, "app", "app"},        {NULL, "/app", "/app"},
};

START_TEST(test_absolute)
{
    char *absolute = path_absolute(paths[_i].directory, paths[_i].path);
    ck_assert_str_eq(absolute, paths[_i].absolute);
    free(absolute);
}
END_TEST

static const struct {
    const char *directory, *path, *clean;
} cleaned[] = {
    {"/srv", "app", "/srv/app"},
    {"/srv/", "./app//x/", "/srv/app/x"},
    {"/srv", "../lib/./x", "/lib/x"},
    {"/srv", "../../..", ""},
    {"/", "", ""},
    {"/srv", "/a/../b/..c", "/b/..c"},
    {"/srv/a", "b/../../c", "/srv/c"},
    {"/srv", "...", "/srv/..."},
};

START_TEST(test_clean)
{
    char *clean = path_clean(cleaned[_i].directory, cleaned[_i].path);
    ck_assert_str_eq(clean, cleaned[_i].clean);
    free(clean);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("path");
    TCase *tc = tcase_create("path");
    tcase_add_loop_test(tc, test_absolute, 0, COUNT(paths));
    tcase_add_loop_test(tc, test_clean, 0, COUNT(cleaned));
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
