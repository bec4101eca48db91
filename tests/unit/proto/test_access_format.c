#include "config.h"

#include "proto/access_format.h"

#include "unit/unit.h"

#include <stdio.h>

static struct access_format f;
static struct access_error error;

static void compile(const char *text) {
    ck_assert_int_eq(access_format_compile(&f, text, &error), ACCESS_FINE);
}

static void check_slice(struct slice s, const char *text) {
    ck_assert_uint_eq(s.n, strlen(text));
    ck_assert_mem_eq(s.p ? s.p : "", text, s.n);
}

START_TEST(fields_and_text)
{
    compile("a{client} {{b}} {status}c");
    ck_assert_uint_eq(f.count, 2);
    check_slice(f.steps[0].before, "a");
    ck_assert_int_eq(f.steps[0].field, ACCESS_CLIENT);
    ck_assert_int_eq(f.steps[0].stop, ' ');
    check_slice(f.steps[1].before, " {b} ");
    ck_assert_int_eq(f.steps[1].field, ACCESS_STATUS);
    check_slice(f.after, "c");
    ck_assert(f.uses[ACCESS_STATUS] && !f.uses[ACCESS_CPU]);
    ck_assert_uint_eq(f.nparams, 0);
    compile("{path}{query}");
    ck_assert_int_eq(f.steps[0].stop, 0);
    ck_assert_int_eq(f.steps[1].stop, 0);
}
END_TEST

START_TEST(every_field_is_known)
{
    char text[ACCESS_NAME_MAX];
    for (unsigned i = 0; i < ACCESS_NAMED_COUNT; i++) {
        snprintf(text, sizeof text, "{%s}", access_field_name((enum access_field)i));
        compile(text);
        ck_assert_uint_eq(f.steps[0].field, i);
    }
}
END_TEST

START_TEST(names_of_parameters)
{
    compile("{header:X-Foo} {header:content-TYPE} {header:Content-Length} {environ:SERVER_NAME} {user} {header:x-foo}");
    ck_assert_uint_eq(f.nparams, 5);
    check_slice(f.params[f.steps[0].param], "HTTP_X_FOO");
    check_slice(f.params[f.steps[1].param], "CONTENT_TYPE");
    check_slice(f.params[f.steps[2].param], "CONTENT_LENGTH");
    check_slice(f.params[f.steps[3].param], "SERVER_NAME");
    check_slice(f.params[f.steps[4].param], "REMOTE_USER");
    ck_assert_uint_eq(f.steps[5].param, f.steps[0].param);
    ck_assert_uint_eq(f.lengths, 1u << 10 | 1u << 12 | 1u << 14 | 1u << 11);
    compile("{answer:ETag}");
    ck_assert_int_eq(f.steps[0].field, ACCESS_ANSWER);
    check_slice(f.steps[0].name, "ETag");
    ck_assert_uint_eq(f.nparams, 0);
}
END_TEST

START_TEST(forms_with_names)
{
    compile("combined");
    ck_assert(!f.json);
    ck_assert_uint_eq(f.count, 8);
    check_slice(f.after, "\"");
    ck_assert_int_eq(f.steps[0].stop, ' ');
    ck_assert_int_eq(f.steps[7].stop, '"');
    compile("json");
    ck_assert(f.json);
    ck_assert_uint_eq(f.count, ACCESS_JSON_COUNT);
}
END_TEST

static const struct {
    const char *text, *what;
    enum access_mistake mistake;
    size_t at;
} mistakes[] = {
    {"", "", ACCESS_NO_FIELD, 0},
    {"combind", "combind", ACCESS_NO_FIELD, 0},
    {"{{client}}", "{{client}}", ACCESS_NO_FIELD, 0},
    {"a {clint}", "clint", ACCESS_UNKNOWN, 3},
    {"{}", "", ACCESS_UNKNOWN, 1},
    {"{header}", "header", ACCESS_NEEDS_NAME, 1},
    {"{environ}", "environ", ACCESS_NEEDS_NAME, 1},
    {"{client:x}", "client", ACCESS_TAKES_NO_NAME, 1},
    {"{heder:x}", "heder", ACCESS_UNKNOWN, 1},
    {"{header:}", "", ACCESS_BAD_NAME, 8},
    {"{header:a b}", "a b", ACCESS_BAD_NAME, 8},
    {"{answer:a:b}", "a:b", ACCESS_BAD_NAME, 8},
    {"{client", "{", ACCESS_OPEN, 0},
    {"{cli{ent}", "{", ACCESS_OPEN, 0},
    {"{client}}", "}", ACCESS_CLOSED, 8},
    {"{client}\n", "\n", ACCESS_CONTROL, 8},
    {"\x7f{client}", "\x7f", ACCESS_CONTROL, 0},
};

START_TEST(mistakes_are_named)
{
    ck_assert_int_eq(access_format_compile(&f, mistakes[_i].text, &error), mistakes[_i].mistake);
    ck_assert_uint_eq(error.at, mistakes[_i].at);
    check_slice(error.what, mistakes[_i].what);
}
END_TEST

START_TEST(bounds)
{
    static char text[2 * ACCESS_TEXT_SIZE], *end = text;
    for (int i = 0; i < ACCESS_STEPS; i++)
        end = stpcpy(end, "{status}");
    compile(text);
    strcpy(end, "{status}");
    ck_assert_int_eq(access_format_compile(&f, text, &error), ACCESS_LONG);
    memset(text, 'x', ACCESS_TEXT_SIZE);
    strcpy(text + ACCESS_TEXT_SIZE, "{status}");
    compile(text);
    strcpy(text + ACCESS_TEXT_SIZE, "x{status}");
    ck_assert_int_eq(access_format_compile(&f, text, &error), ACCESS_LONG);
    strcpy(text, "{header:");
    memset(text + 8, 'a', ACCESS_NAME_MAX - 5);
    strcpy(text + 8 + ACCESS_NAME_MAX - 5, "}");
    compile(text);
    ck_assert_uint_eq(f.params[0].n, ACCESS_NAME_MAX);
    strcpy(text + 8 + ACCESS_NAME_MAX - 5, "a}");
    ck_assert_int_eq(access_format_compile(&f, text, &error), ACCESS_BAD_NAME);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("access_format");
    TCase *tc = tcase_create("access_format");
    tcase_add_test(tc, fields_and_text);
    tcase_add_test(tc, every_field_is_known);
    tcase_add_test(tc, names_of_parameters);
    tcase_add_test(tc, forms_with_names);
    tcase_add_loop_test(tc, mistakes_are_named, 0, COUNT(mistakes));
    tcase_add_test(tc, bounds);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
