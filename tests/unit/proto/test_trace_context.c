#include "config.h"

#include "proto/trace_context.h"

#include "unit/unit.h"

#include <string.h>

#define TRACE "0af7651916cd43dd8448eb211c80319c"
#define SPAN "b7ad6b7169203331"

static bool read_text(const char *text, size_t n, struct trace_context *out) {
    struct guard guard;
    guard_init(&guard, 256);
    const char *at = guard_put(&guard, text, n);
    bool valid = trace_context_read((struct slice){at, n}, out);
    guard_fini(&guard);
    return valid;
}

/* As it is written again; NULL: it is not valid. */
static const struct {
    const char *text, *again;
} parents[] = {
    {"00-" TRACE "-" SPAN "-01", "00-" TRACE "-" SPAN "-01"},
    {"00-" TRACE "-" SPAN "-00", "00-" TRACE "-" SPAN "-00"},
    {"00-" TRACE "-" SPAN "-03", "00-" TRACE "-" SPAN "-03"},
    /* Flags that nobody knows are not passed on. */
    {"00-" TRACE "-" SPAN "-ff", "00-" TRACE "-" SPAN "-03"},
    {"00-" TRACE "-" SPAN "-08", "00-" TRACE "-" SPAN "-00"},
    /* A higher version is taken as far as this one goes. */
    {"01-" TRACE "-" SPAN "-01", "00-" TRACE "-" SPAN "-01"},
    {"cc-" TRACE "-" SPAN "-01-what-the-future-brings", "00-" TRACE "-" SPAN "-01"},
    {"cc-" TRACE "-" SPAN "-01.what", NULL},
    {"fe-" TRACE "-" SPAN "-01-", "00-" TRACE "-" SPAN "-01"},
    {"ff-" TRACE "-" SPAN "-01", NULL},
    {"00-" TRACE "-" SPAN "-01-", NULL},
    {"00-" TRACE "-" SPAN "-01 ", NULL},
    {"00-" TRACE "-" SPAN "-1", NULL},
    {"0-" TRACE "-" SPAN "-01", NULL},
    {" 00-" TRACE "-" SPAN "-01", NULL},
    {"00-00000000000000000000000000000000-" SPAN "-01", NULL},
    {"00-" TRACE "-0000000000000000-01", NULL},
    {"00-0AF7651916cd43dd8448eb211c80319c-" SPAN "-01", NULL},
    {"00-" TRACE "-b7ad6b716920333g-01", NULL},
    {"00_" TRACE "-" SPAN "-01", NULL},
    {"00-" TRACE "_" SPAN "-01", NULL},
    {"00-" TRACE "-" SPAN "_01", NULL},
    {"zz-" TRACE "-" SPAN "-01", NULL},
    {"00-" TRACE "-" SPAN "-0x", NULL},
    {"00-" TRACE "-" SPAN "-01, 00-" TRACE "-" SPAN "-01", NULL},
    {"", NULL},
};

START_TEST(reading)
{
    struct trace_context context;
    char again[TRACE_PARENT_LEN + 1] = "";
    bool valid = read_text(parents[_i].text, strlen(parents[_i].text), &context);
    ck_assert_msg(valid == (parents[_i].again != NULL), "%s", parents[_i].text);
    if (!valid)
        return;
    trace_context_put(&context, again);
    ck_assert_str_eq(again, parents[_i].again);
}
END_TEST

START_TEST(cut_off)
{
    static const char text[] = "00-" TRACE "-" SPAN "-01";
    struct trace_context context;
    for (size_t n = 0; n < sizeof text - 1; n++)
        ck_assert(!read_text(text, n, &context));
}
END_TEST

START_TEST(invalid_ones_change_nothing)
{
    struct trace_context context, before;
    memset(&context, 'x', sizeof context);
    before = context;
    ck_assert(!read_text("00-" TRACE "-0000000000000000-01", 55, &context));
    ck_assert(!memcmp(&context, &before, sizeof context));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("trace_context");
    TCase *tc = tcase_create("trace_context");
    tcase_add_loop_test(tc, reading, 0, COUNT(parents));
    tcase_add_test(tc, cut_off);
    tcase_add_test(tc, invalid_ones_change_nothing);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
