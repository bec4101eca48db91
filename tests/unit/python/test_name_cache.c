#include "config.h"

#include "python/name_cache.h"

#include "unit/unit.h"

#include <stdio.h>

enum { STRANGERS = 100000, BETWEEN = 100 };

static const struct slice host = {"HTTP_HOST", 9};

static void setup(void) {
    Py_InitializeEx(0);
    name_cache_init();
}

/* A name that nobody else has. New reference. */
static struct name *stranger(void) {
    static unsigned number;
    char text[32];
    int n = snprintf(text, sizeof text, "HTTP_X_STRANGER_%u", number++);
    struct name *name = name_cache_get((struct slice){text, (size_t)n});
    REQUIRE(name && name->length == (uint32_t)n && !memcmp(name->text, text, (size_t)n));
    return name;
}

static void strangers(unsigned count) {
    while (count--) {
        struct name *name = stranger();
        PyObject *value = name_cache_value(name, (struct slice){"value", 5});
        REQUIRE(value);
        Py_DECREF(value);
        name_cache_put(name);
    }
}

static Py_ssize_t blocks(void) {
    PyObject *count = PyObject_CallMethod(PyImport_AddModule("sys"), "getallocatedblocks", NULL);
    Py_ssize_t n = count ? PyLong_AsSsize_t(count) : -1;
    Py_XDECREF(count);
    return n;
}

/* However many names come, so many are kept. */
START_TEST(test_bounded)
{
    strangers(10 * NAME_CACHE_MAX);
    Py_ssize_t before = blocks();
    strangers(STRANGERS);
    ck_assert_int_lt(blocks() - before, NAME_CACHE_MAX);
}
END_TEST

/* A name that is used stays, whatever comes in between. */
START_TEST(test_used_name_stays)
{
    struct name *name = name_cache_get(host);
    name_cache_put(name);
    for (unsigned i = 0; i < STRANGERS / BETWEEN; i++) {
        strangers(BETWEEN);
        struct name *again = name_cache_get(host);
        REQUIRE(again == name);
        name_cache_put(again);
    }
}
END_TEST

/* What nobody asks for any more gives way to what is used, but not from who holds it. */
START_TEST(test_unused_name_goes)
{
    struct name *name = name_cache_get(host);
    for (unsigned i = 0; i < 10 * NAME_CACHE_MAX; i++) {
        struct name *used = stranger();
        for (unsigned times = 0; times < BETWEEN; times++)
            name_cache_put(name_cache_get((struct slice){used->text, used->length}));
        name_cache_put(used);
    }
    struct name *again = name_cache_get(host);
    ck_assert_ptr_ne(again, name);
    ck_assert_uint_eq(name->refs, 1);
    ck_assert(!memcmp(name->text, host.p, host.n));
    name_cache_put(again);
    name_cache_put(name);
}
END_TEST

/* Strangers come once; the interpreter's own table is not filled with them. */
START_TEST(test_interned_when_it_comes_again)
{
    struct name *name = stranger();
    char text[32];
    snprintf(text, sizeof text, "%s", name->text);
    ck_assert(!PyUnicode_CHECK_INTERNED(name->key));
    ck_assert_ptr_eq(name_cache_get((struct slice){text, strlen(text)}), name);
    ck_assert(PyUnicode_CHECK_INTERNED(name->key));
    ck_assert_ptr_eq(name->text, PyUnicode_1BYTE_DATA(name->key));
    name_cache_put(name);
    name_cache_put(name);
}
END_TEST

/* One that is too long for the table, and one without a byte. */
START_TEST(test_lengths)
{
    char text[NAME_CACHE_LENGTH_MAX + 1];
    memset(text, 'X', sizeof text);
    struct slice fits = {text, NAME_CACHE_LENGTH_MAX}, beyond = {text, sizeof text};
    struct name *names[] = {name_cache_get(fits), name_cache_get(fits), name_cache_get(beyond), name_cache_get(beyond),
                            name_cache_get((struct slice){"", 0})};
    ck_assert_ptr_eq(names[0], names[1]);
    ck_assert_ptr_ne(names[2], names[3]);
    ck_assert_int_eq(names[4]->class, CGI_DROP);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        name_cache_put(names[i]);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("names");
    TCase *c = tcase_create("names");
    tcase_add_checked_fixture(c, setup, NULL);
    suite_add_tcase(suite, c);
    tcase_add_test(c, test_bounded);
    tcase_add_test(c, test_used_name_stays);
    tcase_add_test(c, test_unused_name_goes);
    tcase_add_test(c, test_interned_when_it_comes_again);
    tcase_add_test(c, test_lengths);
    return unit_run(suite);
}
