#include "config.h"

#include "cli/environment.h"

#include "cli/config_file.h"
#include "cli/option_table.h"

#include "unit/unit.h"

#include <string.h>

static bool is_internal(const char *name) {
    for (const char *const *internal = environment_internal; *internal; internal++) {
        if (!strcmp(*internal, name))
            return true;
    }
    return false;
}

/* Otherwise what a program of the server leaves to the next one would be taken for an option. */
START_TEST(test_no_option_has_an_internal_name)
{
    char variable[SETTING_VARIABLE_SIZE];
    size_t count;
    const struct option_row *rows = option_table(&count);
    ck_assert(is_internal(&CONFIG_FILE_ENV[strlen(SETTING_PREFIX)]));
    for (size_t i = 0; i < count; i++)
        ck_assert_msg(!is_internal(setting_variable(&rows[i], variable) + strlen(SETTING_PREFIX)), "%s", variable);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("environment");
    TCase *tc = tcase_create("environment");
    tcase_add_test(tc, test_no_option_has_an_internal_name);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
