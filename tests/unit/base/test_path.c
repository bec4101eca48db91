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

int main(void) {
    Suite *suite = suite_create("path");
    TCase *tc = tcase_create("path");
    tcase_add_loop_test(tc, test_absolute, 0, COUNT(paths));
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
