#include "config.h"

#include "proto/fcgi_encode.h"

#include "proto/fcgi_decode.h"
#include "unit/unit.h"

#include <fastcgi.h>

START_TEST(padding_fills_to_eight)
{
    for (size_t n = 0; n <= 65535; n++) {
        REQUIRE(fcgi_padding(n) < 8);
        REQUIRE((n + fcgi_padding(n)) % 8 == 0);
    }
    ck_assert_uint_eq(fcgi_padding(FCGI_RECORD_MAX), 0);
    ck_assert_uint_gt(FCGI_RECORD_MAX + 8, FCGI_MAX_LENGTH);
}
END_TEST

static const struct {
    uint8_t type;
    uint16_t id;
    size_t len;
    const char *bytes;
} headers[] = {
    {FCGI_STDOUT, 1, 0, "\1\6\0\1\0\0\0\0"},
    {FCGI_STDERR, 255, 1, "\1\7\0\xff\0\1\7\0"},
    {FCGI_STDOUT, 256, 8, "\1\6\1\0\0\x08\0\0"},
    {FCGI_STDOUT, 65535, 65535, "\1\6\xff\xff\xff\xff\1\0"},
    {FCGI_GET_VALUES_RESULT, 0, 0x1234, "\1\x0a\0\0\x12\x34\4\0"},
};

START_TEST(header)
{
    struct guard g;
    guard_init(&g, 8);
    uint8_t *out = (uint8_t *)guard_put(&g, "########", 8);
    fcgi_put_header(out, headers[_i].type, headers[_i].id, headers[_i].len);
    ck_assert_mem_eq(out, headers[_i].bytes, FCGI_RECORD_HEADER);
    guard_fini(&g);
}
END_TEST

START_TEST(end_request)
{
    uint8_t out[FCGI_END_REQUEST_LEN + 1];
    memset(out, '#', sizeof out);
    fcgi_put_end_request(out, 0x0102, 0x89abcdef, FCGI_OVERLOADED);
    ck_assert_mem_eq(out, "\1\3\1\2\0\x08\0\0\x89\xab\xcd\xef\2\0\0\0#", sizeof out);
    fcgi_put_end_request(out, 1, 0, FCGI_REQUEST_COMPLETE);
    ck_assert_mem_eq(out, "\1\3\0\1\0\x08\0\0\0\0\0\0\0\0\0\0#", sizeof out);
}
END_TEST

START_TEST(begin_request)
{
    uint8_t out[FCGI_BEGIN_REQUEST_LEN + 1];
    memset(out, '#', sizeof out);
    fcgi_put_begin_request(out, 0x0102, FCGI_RESPONDER);
    ck_assert_mem_eq(out, "\1\1\1\2\0\x08\0\0\0\1\0\0\0\0\0\0#", sizeof out);
}
END_TEST

START_TEST(unknown_type)
{
    uint8_t out[17];
    memset(out, '#', sizeof out);
    fcgi_put_unknown_type(out, 200);
    ck_assert_mem_eq(out, "\1\x0b\0\0\0\x08\0\0\xc8\0\0\0\0\0\0\0#", sizeof out);
}
END_TEST

/* What the encoder writes the decoder reads, for every length of content. */
START_TEST(round_trip)
{
    static uint8_t bytes[FCGI_RECORD_HEADER + 65536];
    struct fcgi_decoder d = {0};
    struct fcgi_event event;
    for (size_t len = 1; len <= 65535; len++) {
        uint16_t id = (uint16_t)(len * 7919 % 65535 + 1);
        fcgi_put_header(bytes, FCGI_STDIN, id, len);
        const uint8_t *pos = bytes, *end = bytes + FCGI_RECORD_HEADER + len + fcgi_padding(len);
        REQUIRE(fcgi_decode(&d, &pos, end, &event) == FCGI_EVENT_STDIN);
        REQUIRE(event.id == id);
        REQUIRE(event.len == len);
        REQUIRE(event.data == bytes + FCGI_RECORD_HEADER);
        REQUIRE(fcgi_decode(&d, &pos, end, &event) == FCGI_EVENT_MORE);
        REQUIRE(pos == end);
        REQUIRE(fcgi_decoder_idle(&d));
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("fcgi_encode");
    TCase *tc = tcase_create("fcgi_encode");
    tcase_add_test(tc, padding_fills_to_eight);
    tcase_add_loop_test(tc, header, 0, COUNT(headers));
    tcase_add_test(tc, end_request);
    tcase_add_test(tc, begin_request);
    tcase_add_test(tc, unknown_type);
    tcase_add_test(tc, round_trip);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
