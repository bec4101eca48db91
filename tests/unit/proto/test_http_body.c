#include "config.h"

#include "proto/http_body.h"

#include "proto/http_head.h"
#include "unit/unit.h"

#include <stdio.h>

#define CHUNKED "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
#define KNOWN(n) "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " #n "\r\n\r\n"

static const struct vector {
    const char *head, *text, *body;
    enum http_body_result result;
    int rest; /* bytes left behind the end */
} vectors[] = {
    {KNOWN(5), "hello", "hello", HTTP_BODY_END, 0},
    {KNOWN(5), "hello, world", "hello", HTTP_BODY_END, 7},
    {KNOWN(5), "hell", "hell", HTTP_BODY_MORE, 0},
    {KNOWN(0), "GET", "", HTTP_BODY_END, 3},
    {CHUNKED, "5\r\nhello\r\n0\r\n\r\n", "hello", HTTP_BODY_END, 0},
    {CHUNKED, "5\r\nhello\r\n0\r\n\r\nGET /", "hello", HTTP_BODY_END, 5},
    {CHUNKED, "0\r\n\r\n\r\n", "", HTTP_BODY_END, 2},
    {CHUNKED, "00005\r\nhello\r\n000\r\n\r\n", "hello", HTTP_BODY_END, 0},
    {CHUNKED, "A\r\n0123456789\r\nb\r\n0123456789a\r\n0\r\n\r\n", "01234567890123456789a", HTTP_BODY_END, 0},
    {CHUNKED, "3;a\r\nabc\r\n1;a=b\r\nd\r\n1;a=\"b;c\"\r\ne\r\n0;z\r\n\r\n", "abcde", HTTP_BODY_END, 0},
    {CHUNKED, "1\r\na\r\n0\r\nX: y\r\nZ:\r\n\r\nGET", "a", HTTP_BODY_END, 3},
    /* RFC 9112, 7.1.1: extensions that are not understood are ignored, blanks and quoted pairs in them as well. */
    {CHUNKED, "3;a=b;c=d\r\nabc\r\n0;e;f\r\n\r\nGET", "abc", HTTP_BODY_END, 3},
    {CHUNKED, "3 ; a = b ; c \t=\td\t;\te\r\nabc\r\n0\t;\tz\r\n\r\n", "abc", HTTP_BODY_END, 0},
    {CHUNKED, "3;a=\"\\\"\";b=\"\\\\\"\r\nabc\r\n0\r\n\r\n", "abc", HTTP_BODY_END, 0},
    {CHUNKED, "3;a=\"\" ;b=\";\t=!\x80\xff\\\xff\\\t\"\r\nabc\r\n0\r\n\r\n", "abc", HTTP_BODY_END, 0},
    {CHUNKED, "3;!#$%&'*+-.^_`|~09azAZ=!#$%&'*+-.^_`|~09azAZ\r\nabc\r\n0\r\n\r\n", "abc", HTTP_BODY_END, 0},
    {CHUNKED, "0000000000000000000000003\r\nabc\r\n00000000000000000000\r\n\r\n", "abc", HTTP_BODY_END, 0},
    {CHUNKED, "7fffffffffffffff\r\nabc", "abc", HTTP_BODY_MORE, 0},
    {CHUNKED, "3;a=\"", "", HTTP_BODY_MORE, 0},
    {CHUNKED, "3;a;", "", HTTP_BODY_MORE, 0},
    {CHUNKED, "0\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\nGET", "", HTTP_BODY_END, 3},
    {CHUNKED, "0\r\nX:\t\r\nContent-Lengthy: 5\r\nContent-Lengt: 5\r\nConnection: close\r\nUpgrade: x\r\n\r\nGET", "",
     HTTP_BODY_END, 3},
    {CHUNKED, "0\r\nTransfer-Encodings: x\r\n!#$%&'*+-.^_`|~09azAZ:\x80\xff\r\n\r\n", "", HTTP_BODY_END, 0},
    {CHUNKED, "5\r\nhel", "hel", HTTP_BODY_MORE, 0},
    {CHUNKED, "5\r\nhello\r\n0\r\n", "hello", HTTP_BODY_MORE, 0},
    {CHUNKED, "5\r\nhello\r\n0\r\nX: y\r\n\r", "hello", HTTP_BODY_MORE, 0},
    {CHUNKED, "5\nhello\r\n0\r\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "5\r\nhello\n0\r\n\r\n", "hello", HTTP_BODY_BAD, 0},
    {CHUNKED, "5\r\nhello0\r\n\r\n", "hello", HTTP_BODY_BAD, 0},
    {CHUNKED, "5\r\nhello,\r\n0\r\n\r\n", "hello", HTTP_BODY_BAD, 0},
    {CHUNKED, "0\r\n\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "0\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "0\r\nX: y\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "0\r\nX: y\r\n z\r\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "0\r\nTransfer-Encoding: gzip\r\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "0\r\nX : y\r\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "0\r\nX\r\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "x\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, " 5\r\nhello\r\n0\r\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "5 \r\nhello\r\n0\r\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "-5\r\nhello\r\n0\r\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "+5\r\nhello\r\n0\r\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "0x5\r\nhello\r\n0\r\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "5_\r\nhello\r\n0\r\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, ";a\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "5\t\r\nhello\r\n0\r\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "5 a\r\nhello\r\n0\r\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "5 5\r\nhello\r\n0\r\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "5=a\r\nhello\r\n0\r\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "5;=\r\nhello\r\n0\r\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "5;=b\r\nhello\r\n0\r\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "5; \r\nhello\r\n0\r\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "5;;a\r\nhello\r\n0\r\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "5 ;;a\r\nhello\r\n0\r\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "5;a;\r\nhello\r\n0\r\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "5;a \r\nhello\r\n0\r\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "5;a b\r\nhello\r\n0\r\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "5;a=\r\nhello\r\n0\r\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "5;a= \r\nhello\r\n0\r\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "5;a=;b\r\nhello\r\n0\r\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "5;a=b=c\r\nhello\r\n0\r\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "5;a=b c\r\nhello\r\n0\r\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "5;a=b \r\nhello\r\n0\r\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "5;a=b\"c\"\r\nhello\r\n0\r\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "5;a=\"b\"c\r\nhello\r\n0\r\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "5;a=\"b\" \r\nhello\r\n0\r\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "5;a=\"b\"=c\r\nhello\r\n0\r\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "5;\"a\"\r\nhello\r\n0\r\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "5;a=\"b\\\"\r\nhello\r\n0\r\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "5;a=\"\x01\"\r\nhello\r\n0\r\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "5;a=\"\x7f\"\r\nhello\r\n0\r\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "5;a=\"\\\x7f\"\r\nhello\r\n0\r\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "5;a=\"\\\r\n\"\r\nhello\r\n0\r\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "5;a=\"b\nc\"\r\nhello\r\n0\r\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "5;a=\"b\rc\"\r\nhello\r\n0\r\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "5;a\xe4\r\nhello\r\n0\r\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "5;a\rb\r\nhello\r\n0\r\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "5;a\n\r\nhello\r\n0\r\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "5;a=b\n\r\nhello\r\n0\r\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "5 \n\r\nhello\r\n0\r\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "5;a\x01\r\nhello\r\n0\r\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "5\r\nhello\r\r\n0\r\n\r\n", "hello", HTTP_BODY_BAD, 0},
    {CHUNKED, "5\r\nhello\rx0\r\n\r\n", "hello", HTTP_BODY_BAD, 0},
    {CHUNKED, "5\r\nhellox\n0\r\n\r\n", "hello", HTTP_BODY_BAD, 0},
    {CHUNKED, "5\r\nhello\r0\r\n\r\n", "hello", HTTP_BODY_BAD, 0},
    {CHUNKED, "8000000000000000\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "ffffffffffffffff\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "0\r\n: b\r\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "0\r\nX: y\r\n: b\r\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "0\r\n:\r\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "0\r\nX Y: z\r\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "0\r\nContent-Length: 5\r\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "0\r\nX: y\r\ncONTENT-lENGTH:5\r\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "0\r\nX: y\r\nTRANSFER-ENCODING:\r\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "0\r\nX: \x7f\r\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "0\r\n\tX: y\r\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "0\r\n\r\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "0\r\nX: y\r\r\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "0\r\nX: \x01\r\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "0\r\nX: y\rz\r\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "0\r\nX\xe4: y\r\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "5;\r\nhello\r\n0\r\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "5;a\nb\r\nhello\r\n0\r\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "5;a=\"b\r\n\r\nhello\r\n0\r\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "5\r\rhello\r\n0\r\n\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "10000000000000000\r\n", "", HTTP_BODY_BAD, 0},
    {CHUNKED, "fffffffffffffffff\r\n", "", HTTP_BODY_BAD, 0},
};

struct sink {
    char bytes[128];
    size_t n;
};

static void put(void *arg, const char *data, size_t len) {
    struct sink *sink = arg;
    REQUIRE(len > 0 && sink->n + len < sizeof sink->bytes);
    memcpy(sink->bytes + sink->n, data, len);
    sink->n += len;
}

static void begin(struct http_body *body, const char *text) {
    struct http_head head;
    struct http_refusal refusal = {0};
    char params[1024];
    size_t n;
    if (!http_parse_head(text, strlen(text), &head, params, &n, body, &refusal))
        ck_abort_msg("%s", refusal.why);
}

static void check(const struct vector *v, enum http_body_result result, const struct sink *sink, size_t taken,
                  const char *why) {
    if (result != v->result || sink->n != strlen(v->body) || memcmp(sink->bytes, v->body, sink->n))
        ck_abort_msg("\"%s\": result %d, body \"%.*s\" (%s)", v->text, (int)result, (int)sink->n, sink->bytes,
                     why ? why : "no reason");
    if (result == HTTP_BODY_BAD)
        REQUIRE(why && *why);
    else
        REQUIRE(taken == strlen(v->text) - (size_t)v->rest);
}

/* In pieces that end at the two places. */
static void decode(const struct vector *v, size_t first, size_t second) {
    struct http_body body;
    struct sink sink = {.n = 0};
    size_t len = strlen(v->text), cuts[] = {0, first, second, len}, taken = 0;
    const char *why = NULL;
    enum http_body_result result = HTTP_BODY_MORE;
    struct guard g;
    guard_init(&g, len);
    begin(&body, v->head);
    for (int i = 0; i < 3 && result == HTTP_BODY_MORE; i++) {
        size_t n = cuts[i + 1] - cuts[i];
        const char *piece = guard_put(&g, v->text + cuts[i], n), *pos = piece;
        result = http_body_decode(&body, &pos, piece + n, put, &sink, &why);
        REQUIRE(result != HTTP_BODY_MORE || pos == piece + n);
        taken += (size_t)(pos - piece);
    }
    check(v, result, &sink, taken, why);
    guard_fini(&g);
}

START_TEST(every_two_cuts)
{
    size_t len = strlen(vectors[_i].text);
    for (size_t first = 0; first <= len; first++)
        for (size_t second = first; second <= len; second++)
            decode(&vectors[_i], first, second);
}
END_TEST

START_TEST(byte_by_byte)
{
    const struct vector *v = &vectors[_i];
    struct http_body body;
    struct sink sink = {.n = 0};
    const char *pos = v->text, *end = pos + strlen(pos), *why = NULL;
    enum http_body_result result = HTTP_BODY_MORE;
    begin(&body, v->head);
    if (body.ended)
        result = http_body_decode(&body, &pos, end, put, &sink, &why);
    while (pos < end && result == HTTP_BODY_MORE)
        result = http_body_decode(&body, &pos, pos + 1, put, &sink, &why);
    check(v, result, &sink, (size_t)(pos - v->text), why);
}
END_TEST

START_TEST(ended_takes_nothing)
{
    struct http_body body;
    struct sink sink = {.n = 0};
    const char *text = "GET", *pos = text, *why = NULL;
    begin(&body, KNOWN(0));
    ck_assert_int_eq(http_body_decode(&body, &pos, text + 3, put, &sink, &why), HTTP_BODY_END);
    ck_assert_ptr_eq(pos, text);
}
END_TEST

static void count(void *arg, const char *data, size_t len) {
    (void)data;
    *(size_t *)arg += len;
}

/* Bytes that are no body have a bound, however they come; those of many chunks do not add up. */
static enum http_body_result decode_long(const char *start, char fill, size_t n, size_t piece) {
    struct http_body body;
    size_t bytes = 0;
    const char *pos = start, *why = NULL;
    char *filler = malloc(n);
    begin(&body, CHUNKED);
    enum http_body_result result = http_body_decode(&body, &pos, start + strlen(start), count, &bytes, &why);
    ck_assert_int_eq(result, HTTP_BODY_MORE);
    memset(filler, fill, n);
    for (size_t at = 0; at < n && result == HTTP_BODY_MORE; at += piece) {
        pos = filler + at;
        result = http_body_decode(&body, &pos, filler + (at + piece < n ? at + piece : n), count, &bytes, &why);
    }
    free(filler);
    return result;
}

START_TEST(framing_is_bounded)
{
    static const size_t pieces[] = {1, 100, 65536};
    static const char *const starts[] = {"1;", "1\r\na\r\n1;x=", "0\r\nX", "0\r\nX: ", "0", "1", "1;x=\""};
    static const char fills[] = "aaaa0 ;";
    for (int i = 0; i < COUNT(starts); i++) {
        ck_assert_int_eq(decode_long(starts[i], fills[i], 10000, pieces[_i]), HTTP_BODY_MORE);
        ck_assert_int_eq(decode_long(starts[i], fills[i], HTTP_FRAMING_MAX + 1, pieces[_i]), HTTP_BODY_BAD);
    }
}
END_TEST

START_TEST(framing_within_one_piece)
{
    struct http_body body;
    size_t bytes = 0;
    char *text = malloc(100000);
    const char *pos = text, *why = NULL;
    size_t n = (size_t)sprintf(text, "1\r\na\r\n1;");
    memset(text + n, 'x', 20000);
    n += 20000;
    n += (size_t)sprintf(text + n, "\r\nb\r\n0\r\n\r\n");
    begin(&body, CHUNKED);
    ck_assert_int_eq(http_body_decode(&body, &pos, text + n, count, &bytes, &why), HTTP_BODY_BAD);
    ck_assert_str_eq(why, "too many bytes of chunk extensions or trailers");
    ck_assert_uint_eq(bytes, 1);
    free(text);
}
END_TEST

START_TEST(trailers_within_one_piece)
{
    struct http_body body;
    size_t bytes = 0;
    char *text = malloc(100000);
    const char *pos = text, *why = NULL;
    size_t n = (size_t)sprintf(text, "0\r\nX: ");
    memset(text + n, 'x', HTTP_FRAMING_MAX);
    n += HTTP_FRAMING_MAX;
    n += (size_t)sprintf(text + n, "\r\n\r\n");
    begin(&body, CHUNKED);
    ck_assert_int_eq(http_body_decode(&body, &pos, text + n, count, &bytes, &why), HTTP_BODY_BAD);
    ck_assert_str_eq(why, "too many bytes of chunk extensions or trailers");
    free(text);
}
END_TEST

START_TEST(many_chunks)
{
    struct http_body body;
    size_t bytes = 0;
    const char *why = NULL;
    begin(&body, CHUNKED);
    for (int i = 0; i < 20000; i++) {
        static const char chunk[] = "1\r\na\r\n";
        const char *pos = chunk;
        REQUIRE(http_body_decode(&body, &pos, chunk + sizeof chunk - 1, count, &bytes, &why) == HTTP_BODY_MORE);
    }
    ck_assert_uint_eq(bytes, 20000);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("http_body");
    TCase *tc = tcase_create("http_body");
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, every_two_cuts, 0, COUNT(vectors));
    tcase_add_loop_test(tc, byte_by_byte, 0, COUNT(vectors));
    tcase_add_test(tc, ended_takes_nothing);
    tcase_add_loop_test(tc, framing_is_bounded, 0, 3);
    tcase_add_test(tc, framing_within_one_piece);
    tcase_add_test(tc, trailers_within_one_piece);
    tcase_add_test(tc, many_chunks);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
