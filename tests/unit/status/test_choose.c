#include "config.h"

#include "status/status.h"

#include "unit/unit.h"

static enum status_form choose(const char *accept, const char *query) {
    return status_choose(accept, accept ? strlen(accept) : 0, query, query ? strlen(query) : 0);
}

static const struct {
    const char *accept;
    enum status_form form;
} by_accept[] = {
    {NULL, STATUS_TEXT},
    {"", STATUS_TEXT},
    {"*/*", STATUS_TEXT}, /* curl, wget */
    {"text/plain", STATUS_TEXT},
    {"application/json", STATUS_JSON},
    {"APPLICATION/JSON", STATUS_JSON},
    {"application/json, text/plain, */*", STATUS_JSON},
    {"text/plain, application/json", STATUS_TEXT},
    {"text/plain;q=0.5, application/json;q=0.6", STATUS_JSON},
    {"application/json;q=0, */*", STATUS_TEXT},
    {"text/plain;q=0, */*;q=0.1", STATUS_JSON},
    {"application/*", STATUS_JSON},
    {"application/*, text/plain;q=0.9", STATUS_JSON},
    {"*/*, application/json;q=0.2", STATUS_TEXT},
    /* Chromium and Firefox. */
    {"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8", STATUS_HTML},
    /* Prometheus 3, 2.42 and before 2; what collects by OpenTelemetry; vmagent. */
    {"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
     "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
     "text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
     STATUS_OPENMETRICS},
    {"application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
     "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
     STATUS_OPENMETRICS},
    {"text/plain;version=0.0.4;q=1,*/*;q=0.1", STATUS_PROMETHEUS},
    {"text/plain; version=0.0.4", STATUS_PROMETHEUS},
    {"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,"
     "text/plain;version=0.0.4;q=0.3",
     STATUS_PROMETHEUS},
    /* What makes no sense. */
    {"image/png", STATUS_TEXT},
    {",,;;=,", STATUS_TEXT},
    {"application/json;q=banana", STATUS_JSON},
    {"application/json;q", STATUS_JSON},
    {"application/jsonx", STATUS_TEXT},
    {"application/", STATUS_TEXT},
    {"text/*x, application/json;q=0.1", STATUS_JSON},
};

START_TEST(accept)
{ ck_assert_int_eq(choose(by_accept[_i].accept, NULL), by_accept[_i].form); }
END_TEST

static const struct {
    const char *query;
    enum status_form form;
} by_query[] = {
    {"", STATUS_JSON},
    {"format=text", STATUS_TEXT},
    {"a=b&format=text&stacks=0", STATUS_TEXT},
    {"format=TEXT", STATUS_TEXT},
    {"format=json&format=text", STATUS_TEXT},
    {"xformat=text", STATUS_JSON},
    {"format=html", STATUS_HTML},
    {"format=prometheus", STATUS_PROMETHEUS},
    {"format=openmetrics", STATUS_OPENMETRICS},
    {"format=health", STATUS_HEALTH},
    {"format", STATUS_UNKNOWN},
    {"format=", STATUS_UNKNOWN},
    {"format=xml", STATUS_UNKNOWN},
};

START_TEST(query_counts_first)
{ ck_assert_int_eq(choose("application/json", by_query[_i].query), by_query[_i].form); }
END_TEST

/* ?format=prometheus stands in configurations: which of the two it is, the scraper says. */
START_TEST(prometheus)
{
    ck_assert_int_eq(choose("application/openmetrics-text;q=0.5,text/plain;version=0.0.4;q=0.4", "format=prometheus"),
                     STATUS_OPENMETRICS);
    ck_assert_int_eq(choose("*/*", "format=prometheus"), STATUS_PROMETHEUS);
    ck_assert_int_eq(choose("application/openmetrics-text", "format=json"), STATUS_JSON);
}
END_TEST

/* Nothing is read beyond its end. */
START_TEST(ends)
{
    struct guard guard;
    guard_init(&guard, 64);
    static const char accept_field[] = "text/plain;version=0.0.4;q=0.3, application/json", query[] = "format=text";
    for (size_t n = 0; n < sizeof accept_field; n++)
        status_choose(guard_put(&guard, accept_field, n), n, NULL, 0);
    for (size_t n = 0; n < sizeof query; n++)
        status_choose(NULL, 0, guard_put(&guard, query, n), n);
    guard_fini(&guard);
}
END_TEST

START_TEST(stacks)
{
    ck_assert(status_wants_stacks(STATUS_JSON, NULL, 0));
    ck_assert(status_wants_stacks(STATUS_TEXT, "stacks=1", 8));
    ck_assert(!status_wants_stacks(STATUS_JSON, "stacks=0", 8));
    ck_assert(status_wants_stacks(STATUS_HTML, NULL, 0));
    ck_assert(!status_wants_stacks(STATUS_PROMETHEUS, "stacks=1", 8));
    ck_assert(!status_wants_stacks(STATUS_OPENMETRICS, "stacks=1", 8));
    ck_assert(!status_wants_stacks(STATUS_UNKNOWN, NULL, 0));
    ck_assert(status_wants_stacks(STATUS_HEALTH, NULL, 0));
    ck_assert(!status_wants_stacks(STATUS_HEALTH, "stacks=0", 8));
}
END_TEST

/* Each line of the header ends, so that what follows is a line of its own. */
START_TEST(headers)
{
    for (enum status_form form = STATUS_TEXT; form <= STATUS_UNKNOWN; form++) {
        const char *text = status_headers(form);
        ck_assert_ptr_nonnull(strstr(text, "Cache-Control: no-store\r\n"));
        ck_assert_ptr_nonnull(strstr(text, "default-src 'none'"));
        ck_assert_str_eq(text + strlen(text) - 2, "\r\n");
        ck_assert_ptr_null(strstr(text, "\r\n\r\n"));
        ck_assert_ptr_nonnull(strchr(status_content_type(form), '/'));
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("choose");
    TCase *tc = tcase_create("choose");
    tcase_add_loop_test(tc, accept, 0, COUNT(by_accept));
    tcase_add_loop_test(tc, query_counts_first, 0, COUNT(by_query));
    tcase_add_test(tc, prometheus);
    tcase_add_test(tc, ends);
    tcase_add_test(tc, stacks);
    tcase_add_test(tc, headers);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
