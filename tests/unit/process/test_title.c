#include "config.h"

#include "process/title.h"

#include "unit/unit.h"

#include <unistd.h>

/* Each test has a process of its own, and with it the memory of the module. */

static char memory[256];
static char *words[8], *variables[8];

/* Lays the strings out as the kernel does; those behind NULL are the environment. */
static void lay_out(const char *const *strings) {
    char *at = memory;
    char **to = words;
    memset(memory, '#', sizeof memory);
    for (int nulls = 0; nulls < 2; strings++) {
        *to++ = *strings ? at : NULL;
        if (*strings)
            at = stpcpy(at, *strings) + 1;
        else if (!nulls++)
            to = variables;
        else
            break;
    }
    environ = variables;
}

static int count(char *const *strings) {
    int n = 0;
    while (strings[n])
        n++;
    return n;
}

START_TEST(fits_the_command_line)
{
    static const char *const strings[] = {
        "/usr/bin/wsgi-fcgi", "--workers", "2", "-s", "/run/app.sock", "app:app", NULL, "A=1", "B=2", NULL};
    lay_out(strings);
    title_init(count(words), words);
    const char *environment = variables[0];
    title_set_worker(2, "retiring");
    ck_assert_str_eq(memory, "wsgi-fcgi: worker 2 (retiring)");
    ck_assert_int_eq(environment[-1], ' '); /* which tells the kernel that this is a title */
    ck_assert_ptr_eq(variables[0], environment);
    ck_assert_str_eq(environment, "A=1");
    title_set("supervisor", NULL);
    ck_assert_str_eq(memory, "wsgi-fcgi: supervisor");
    for (const char *rest = memory + strlen(memory); rest < environment - 1; rest++)
        ck_assert_int_eq(*rest, 0);
}
END_TEST

START_TEST(goes_on_in_the_environment)
{
    static const char *const strings[] = {"wsgi-fcgi", "app", NULL, "A=1234567890", "B=1234567890", NULL};
    lay_out(strings);
    title_init(count(words), words);
    char *moved = variables[1];
    title_set_worker(127, "retiring");
    ck_assert_str_eq(memory, "wsgi-fcgi: worker 127 (retiring)");
    ck_assert_ptr_ne(variables[1], moved);
    ck_assert_str_eq(variables[0], "A=1234567890");
    ck_assert_str_eq(variables[1], "B=1234567890");
    title_set("zygote", NULL);
    ck_assert_str_eq(memory, "wsgi-fcgi: zygote");
}
END_TEST

START_TEST(is_cut_where_memory_ends)
{
    static const char *const strings[] = {"wsgi-fcgi", "app", NULL, "A=1", NULL};
    char elsewhere[] = "B=2";
    lay_out(strings);
    variables[1] = elsewhere;
    title_init(count(words), words);
    title_set_worker(127, "retiring");
    ck_assert_str_eq(memory, "wsgi-fcgi: worker");
    ck_assert_int_eq(memory[18], '#');
    ck_assert_ptr_eq(variables[1], elsewhere);
}
END_TEST

/* As in a command line whose strings somebody has put elsewhere. */
START_TEST(leaves_other_memory_alone)
{
    static const char *const strings[] = {"w", "app", NULL, "A=1", NULL};
    char elsewhere[] = "other";
    lay_out(strings);
    words[1] = elsewhere;
    title_init(count(words), words);
    title_set("supervisor", NULL);
    ck_assert_str_eq(memory, "w");
    title_init(0, words + 2);
    ck_assert_str_eq(elsewhere, "other");
}
END_TEST

START_TEST(does_nothing_without_a_command_line)
{
    title_set("supervisor", NULL);
    title_init(0, words);
    title_set("supervisor", NULL);
}
END_TEST

int main(void) {
    Suite *s = suite_create("title");
    TCase *tc = tcase_create("title");
    tcase_add_test(tc, fits_the_command_line);
    tcase_add_test(tc, goes_on_in_the_environment);
    tcase_add_test(tc, is_cut_where_memory_ends);
    tcase_add_test(tc, leaves_other_memory_alone);
    tcase_add_test(tc, does_nothing_without_a_command_line);
    suite_add_tcase(s, tc);
    return unit_run(s);
}
