#include "config.h"

#include "cli/settings.h"

#include "cli/options.h"

#include "unit/unit.h"

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

static struct options o;
static char reason[VALUE_REASON_SIZE];

static const struct option_row *row(const char *name) {
    const struct option_row *found = option_find(name, strlen(name));
    ck_assert_msg(found != NULL, "no option %s", name);
    return found;
}

static void set(const char *name, const char *text, enum setting_source source, unsigned line) {
    const struct setting s = {row(name), text, source, "/etc/shop.ini", line};
    ck_assert_int_eq(options_set(&o, &s, reason), 0);
}

static void setup(void) {
    ck_assert_int_eq(options_init(&o), 0);
}

static void teardown(void) {
    options_fini(&o);
}

static void check_name(const struct setting *s, const char *expected) {
    char *name = setting_name(s);
    ck_assert_str_eq(name, expected);
    free(name);
}

START_TEST(test_names)
{
    check_name(&(struct setting){row("threads"), "4", SETTING_COMMAND_LINE, NULL, 0}, "--threads");
    check_name(&(struct setting){row("socket-mode"), "4", SETTING_ENVIRONMENT, NULL, 0}, "WSGI_FCGI_SOCKET_MODE");
    check_name(&(struct setting){row("threads"), "4", SETTING_FILE, "/etc/a\nb", 12}, "/etc/a\\x0ab:12: threads");
}
END_TEST

START_TEST(test_variables)
{
    size_t count;
    const struct option_row *rows = option_table(&count);
    for (size_t i = 0; i < count; i++) {
        char out[SETTING_VARIABLE_SIZE];
        setting_variable(&rows[i], out);
        ck_assert_int_lt(strlen(out), SETTING_VARIABLE_SIZE - 1); /* none is cut */
        ck_assert_msg(out[strspn(out, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_")] == '\0', "%s", out);
    }
}
END_TEST

START_TEST(test_find)
{
    ck_assert_str_eq(option_find("socket-mode=1", 11)->name, "socket-mode");
    ck_assert_str_eq(option_find("socket-mode=1", 6)->name, "socket");
    ck_assert_ptr_null(option_find("socket-mode", 8));
    ck_assert_ptr_null(option_find("", 0));
}
END_TEST

START_TEST(test_where)
{
    ck_assert_ptr_null(options_where(&o, "--allow"));
    ck_assert_str_eq(options_name(&o, "--chdir"), "--chdir");
    set("allow", "10.0.0.1", SETTING_FILE, 3);
    set("chdir", "/a", SETTING_FILE, 5);
    set("chdir", "/b", SETTING_ENVIRONMENT, 0);
    set("allow", "10.0.0.2", SETTING_FILE, 4);
    ck_assert_str_eq(options_where(&o, "--allow")[0], "/etc/shop.ini:3: allow");
    ck_assert_str_eq(options_where(&o, "--allow")[1], "/etc/shop.ini:4: allow");
    ck_assert_str_eq(options_name(&o, "--chdir"), "WSGI_FCGI_CHDIR");
}
END_TEST

START_TEST(test_given)
{
    ck_assert(!o.given[option_index(row("threads"))]);
    set("threads", "4", SETTING_FILE, 1);
    ck_assert(o.given[option_index(row("threads"))]);
    set("threads", "32", SETTING_COMMAND_LINE, 0);
    ck_assert(!o.given[option_index(row("threads"))]);
}
END_TEST

/* A value that is refused changes nothing. */
START_TEST(test_refused)
{
    const struct setting s = {row("threads"), "x", SETTING_FILE, "f", 1};
    ck_assert_int_eq(options_set(&o, &s, reason), EX_USAGE);
    ck_assert_str_eq(reason, "\"x\" is not a number from 1 to 1024");
    ck_assert_uint_eq(o.threads, 32);
    ck_assert_str_eq(options_name(&o, "--threads"), "--threads");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("settings");
    TCase *tc = tcase_create("settings");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, test_names);
    tcase_add_test(tc, test_variables);
    tcase_add_test(tc, test_find);
    tcase_add_test(tc, test_where);
    tcase_add_test(tc, test_given);
    tcase_add_test(tc, test_refused);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
