#include "config.h"

#include "traces/settings.h"

#include "unit/unit.h"

#include <stdio.h>

static struct trace_settings settings;
static char reason[TRACE_REASON_SIZE];

static void setup(void) {
    ck_assert_int_eq(clearenv(), 0);
}

static int read_with(const char *name, const char *value) {
    ck_assert_int_eq(setenv(name, value, 1), 0);
    return trace_settings_read(&settings, "env", reason);
}

START_TEST(defaults)
{
    ck_assert_int_eq(trace_settings_read(&settings, "env", reason), 0);
    ck_assert_str_eq(settings.url, "http://localhost:4318/v1/traces");
    ck_assert_uint_eq(settings.timeout_ms, 10000);
    ck_assert_uint_eq(settings.delay_ms, 5000);
    ck_assert(settings.asks_parent && settings.bound == UINT64_MAX && !settings.disabled);
    ck_assert_uint_eq(settings.nattributes, 1);
    ck_assert_str_eq(settings.attributes[0].value, "unknown_service:wsgi-fcgi");
}
END_TEST

static const struct {
    const char *given, *url;
} urls[] = {
    {"http://host", "http://host/v1/traces"},
    {"http://host:1/", "http://host:1/v1/traces"},
    {"https://host/own", "https://host/own"},
};

START_TEST(url_of_the_option)
{
    setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://other", 1);
    ck_assert_int_eq(trace_settings_read(&settings, urls[_i].given, reason), 0);
    ck_assert_str_eq(settings.url, urls[_i].url);
}
END_TEST

static const char *const bad[][2] = {
    {"OTEL_EXPORTER_OTLP_ENDPOINT", "host"},
    {"OTEL_EXPORTER_OTLP_ENDPOINT", "env"},
    {"OTEL_EXPORTER_OTLP_TIMEOUT", "0"},
    {"OTEL_EXPORTER_OTLP_TIMEOUT", "99999999999999999999"},
    {"OTEL_EXPORTER_OTLP_HEADERS", "a"},
    {"OTEL_EXPORTER_OTLP_HEADERS", "a%0a=b"},
    {"OTEL_EXPORTER_OTLP_HEADERS", "a:b=c"},
    {"OTEL_EXPORTER_OTLP_HEADERS", "=c"},
    {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc"},
    {"OTEL_TRACES_SAMPLER", "jaeger_remote"},
    {"OTEL_BSP_SCHEDULE_DELAY", "-1"},
};

START_TEST(bad_values)
{
    ck_assert_int_eq(read_with(bad[_i][0], bad[_i][1]), -1);
    ck_assert_ptr_nonnull(strstr(reason, bad[_i][0]));
}
END_TEST

static const struct {
    const char *name, *value;
    bool warned;
} compressions[] = {
    {"OTEL_EXPORTER_OTLP_COMPRESSION", "gzip", true},          {"OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "zstd", true},
    {"OTEL_EXPORTER_OTLP_COMPRESSION", "none", false},         {"OTEL_EXPORTER_OTLP_COMPRESSION", "", false},
    {"OTEL_EXPORTER_OTLP_METRICS_COMPRESSION", "gzip", false},
};

/* Nothing is compressed: who asks for it is told, and served. */
START_TEST(compression)
{
    ck_assert_int_eq(read_with(compressions[_i].name, compressions[_i].value), 0);
    ck_assert(!strncmp(settings.warning, compressions[_i].name, strlen(compressions[_i].name)) ==
              compressions[_i].warned);
    ck_assert(!settings.warning[0] == !compressions[_i].warned);
}
END_TEST

START_TEST(compression_of_traces)
{
    setenv("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "none", 1);
    ck_assert_int_eq(read_with("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"), 0);
    ck_assert_str_eq(settings.warning, "");
}
END_TEST

START_TEST(pairs)
{
    setenv("OTEL_SERVICE_NAME", "shop", 1);
    ck_assert_int_eq(read_with("OTEL_RESOURCE_ATTRIBUTES", " a = b%3d%2C , service.name=x,, c=%zz,d=%4"), 0);
    ck_assert_uint_eq(settings.nattributes, 4);
    ck_assert_str_eq(settings.attributes[0].value, "shop");
    ck_assert_str_eq(settings.attributes[1].name, "a");
    ck_assert_str_eq(settings.attributes[1].value, "b=,");
    ck_assert_str_eq(settings.attributes[2].value, "%zz");
    ck_assert_str_eq(settings.attributes[3].value, "%4");
}
END_TEST

START_TEST(too_many_pairs)
{
    static char text[4000];
    for (int i = 0; i < TRACE_PAIRS; i++)
        sprintf(text + strlen(text), "k%d=v,", i);
    ck_assert_int_eq(read_with("OTEL_EXPORTER_OTLP_HEADERS", text), 0);
    strcat(text, "more=v");
    ck_assert_int_eq(read_with("OTEL_EXPORTER_OTLP_HEADERS", text), -1);
}
END_TEST

START_TEST(ratio)
{
    uint8_t low[TRACE_ID_SIZE] = {[0] = 0xff, [8] = 0x3f, [15] = 1}, high[TRACE_ID_SIZE] = {[8] = 0x40, [15] = 1};
    struct trace_context sampled = {.flags = TRACE_SAMPLED}, other = {.flags = 0};
    setenv("OTEL_TRACES_SAMPLER_ARG", "0.25", 1);
    ck_assert_int_eq(read_with("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"), 0);
    ck_assert(trace_settings_sample(&settings, NULL, low) && !trace_settings_sample(&settings, NULL, high));
    ck_assert(trace_settings_sample(&settings, &sampled, high) && !trace_settings_sample(&settings, &other, low));
    ck_assert_int_eq(read_with("OTEL_TRACES_SAMPLER", "traceidratio"), 0);
    ck_assert(!trace_settings_sample(&settings, &sampled, high) && trace_settings_sample(&settings, &other, low));
    ck_assert_int_eq(read_with("OTEL_TRACES_SAMPLER_ARG", "1"), 0);
    ck_assert_uint_eq(settings.bound, UINT64_MAX);
    ck_assert_int_eq(read_with("OTEL_TRACES_SAMPLER_ARG", "1.5"), -1);
    ck_assert_int_eq(read_with("OTEL_TRACES_SAMPLER_ARG", "0,5"), -1);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("settings");
    TCase *tc = tcase_create("settings");
    tcase_add_checked_fixture(tc, setup, NULL);
    tcase_add_test(tc, defaults);
    tcase_add_loop_test(tc, url_of_the_option, 0, COUNT(urls));
    tcase_add_loop_test(tc, bad_values, 0, COUNT(bad));
    tcase_add_loop_test(tc, compression, 0, COUNT(compressions));
    tcase_add_test(tc, compression_of_traces);
    tcase_add_test(tc, pairs);
    tcase_add_test(tc, too_many_pairs);
    tcase_add_test(tc, ratio);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
