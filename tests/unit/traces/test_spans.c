#include "config.h"

#include "traces/otlp.h"
#include "traces/spans.h"

#include "unit/unit.h"

#include <stdio.h>

static struct spans *spans;
static _Atomic uint64_t lost;

static void setup(void) {
    atomic_store(&lost, 0);
    spans = spans_new(&lost);
    ck_assert_ptr_nonnull(spans);
}

static void teardown(void) {
    spans_free(spans);
}

static bool put(unsigned status) {
    struct span *s = spans_room(spans);
    if (!s)
        return false;
    memset(s, 0, sizeof *s);
    s->status = status;
    spans_put(spans);
    return true;
}

START_TEST(first_in_first_out)
{
    unsigned in = 0, out = 0;
    for (int turn = 0; turn < 10; turn++) {
        for (int i = 0; i < 700; i++)
            ck_assert(put(in++));
        size_t n = spans_wait(spans, 0);
        REQUIRE(n == in - out);
        for (size_t i = 0; i < n; i++)
            REQUIRE(spans_at(spans, i)->status == out + i);
        spans_drop(spans, n);
        out += (unsigned)n;
    }
    ck_assert_uint_eq(spans_lost(spans), 0);
}
END_TEST

START_TEST(what_has_no_room_is_lost)
{
    for (unsigned i = 0; i < SPANS_ROOM; i++)
        ck_assert(put(i));
    ck_assert(!put(0) && !put(0));
    ck_assert_uint_eq(spans_lost(spans), 2);
    ck_assert_uint_eq(lost, 2);
    ck_assert_uint_eq(spans_at(spans, 0)->status, 0);
    spans_drop(spans, 1);
    ck_assert(put(1));
    ck_assert_uint_eq(spans_wait(spans, 0), SPANS_ROOM);
}
END_TEST

START_TEST(a_wait_ends_when_a_batch_is_full)
{
    for (unsigned i = 0; i < SPANS_BATCH; i++)
        put(i);
    ck_assert_uint_eq(spans_wait(spans, UINT64_C(3600000000000)), SPANS_BATCH);
    spans_drop(spans, SPANS_BATCH);
    spans_wake(spans);
    ck_assert_uint_eq(spans_wait(spans, UINT64_C(3600000000000)), 0);
}
END_TEST

START_TEST(rejected)
{
    static const struct {
        const char *text;
        uint64_t n;
    } answers[] = {{"", 0},
                   {"{}", 0},
                   {"{\"partialSuccess\":{\"rejectedSpans\":\"12\"}}", 12},
                   {"{\"partialSuccess\": {\"rejectedSpans\": 7, \"errorMessage\": \"\"}}", 7},
                   {"\"rejectedSpans\"", 0},
                   {"\"rejectedSpans\":9", 9}};
    for (int i = 0; i < COUNT(answers); i++) {
        struct guard guard;
        guard_init(&guard, 256);
        size_t n = strlen(answers[i].text);
        ck_assert_uint_eq(otlp_rejected(guard_put(&guard, answers[i].text, n), n), answers[i].n);
        guard_fini(&guard);
    }
}
END_TEST

/* What a peer has made up is escaped, and ids are digits. */
START_TEST(written)
{
    struct trace_settings settings = {.nattributes = 0};
    struct buf out = {0};
    struct span *s = spans_room(spans);
    memset(s, 0, sizeof *s);
    memset(s->context.trace, 0xab, sizeof s->context.trace);
    strcpy(s->method, "GET");
    strcpy(s->path, "/\"<\n\xff");
    strcpy(s->id, "mine");
    s->begun_at = UINT64_MAX;
    spans_put(spans);
    ck_assert_int_eq(otlp_put(spans, 1, &settings, &out), 0);
    ck_assert_int_eq(buf_append(&out, "", 1), 0);
    const char *text = buf_head(&out);
    ck_assert_ptr_nonnull(strstr(text, "\"traceId\":\"abababababababababababababababab\""));
    ck_assert_ptr_nonnull(strstr(text, "\"startTimeUnixNano\":\"18446744073709551615\""));
    ck_assert_ptr_nonnull(strstr(text, "{\"key\":\"http.request.header.x-request-id\","
                                       "\"value\":{\"arrayValue\":{\"values\":[{\"stringValue\":\"mine\"}]}}}"));
    ck_assert_ptr_null(strpbrk(text, "<\n\xff"));
    buf_fini(&out);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("spans");
    TCase *tc = tcase_create("spans");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, first_in_first_out);
    tcase_add_test(tc, what_has_no_room_is_lost);
    tcase_add_test(tc, a_wait_ends_when_a_batch_is_full);
    tcase_add_test(tc, rejected);
    tcase_add_test(tc, written);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
