#include "config.h"

#include "proto/fcgi_answer.h"

#include "unit/unit.h"

#include <fastcgi.h>

#define END                                                                                                            \
    "\1\3\0\1\0\x08\0\0"                                                                                               \
    "\0\0\0\0\0\0\0\0"

static const struct {
    const char *bytes;
    size_t len;
    unsigned status;
    bool ended, bad;
    const char *errors;
} answers[] = {
#define ANSWER(bytes, ...)                                                                                             \
    { bytes, sizeof(bytes) - 1, __VA_ARGS__ }
    ANSWER("", 0, false, false, ""),
    ANSWER("\1\6\0\1\0\x0d\3\0"
           "Status: 204\n\n"
           "\0\0\0" END,
           204, true, false, ""),
    ANSWER("\1\6\0\1\0\x0e\2\0"
           "status:404 x\n\n"
           "\0\0" END,
           404, true, false, ""),
    /* in two records, the status last, a long line before it, padding between */
    ANSWER("\1\6\0\1\0\x1c\4\0"
           "Location: /a/long/line\r\nStat"
           "####"
           "\1\6\0\1\0\x15\3\0"
           "us: 301 Moved\r\n\r\nbody"
           "###" END,
           301, true, false, ""),
    /* no status; what looks like one is in the body */
    ANSWER("\1\6\0\1\0\x18\0\0"
           "A: b\r\n\r\nStatus: 500\r\n\r\n#" END,
           200, true, false, ""),
    /* the head has not ended */
    ANSWER("\1\6\0\1\0\x0c\4\0"
           "Status: 500\n"
           "\0\0\0\0",
           0, false, false, ""),
    /* no head at all */
    ANSWER(END, 0, true, false, ""),
    /* STDERR, in pieces; what is behind the end does not count */
    ANSWER("\1\7\0\1\0\2\6\0"
           "ab"
           "######"
           "\1\6\0\1\0\x0d\3\0"
           "Status: 500\n\n"
           "###"
           "\1\7\0\1\0\1\7\0"
           "c"
           "#######" END "x",
           500, true, false, "abc"),
    /* cut off, as the server shows it by a record of version 0 */
    ANSWER("\1\6\0\1\0\x0d\3\0"
           "Status: 200\n\n"
           "###"
           "\0\0\0\0\0\0\0\0" END,
           200, false, true, ""),
    ANSWER("HTTP/1.1 200 OK\r\n\r\n", 0, false, true, ""),
};

struct errors {
    char text[32];
    size_t len;
};

static void take_errors(void *arg, const uint8_t *text, size_t len) {
    struct errors *e = arg;
    REQUIRE(len <= sizeof e->text - e->len);
    memcpy(e->text + e->len, text, len);
    e->len += len;
}

static void check(const struct fcgi_answer *a, const struct errors *e, int i) {
    REQUIRE(a->status == answers[i].status);
    REQUIRE(a->ended == answers[i].ended);
    REQUIRE(a->bad == answers[i].bad);
    REQUIRE(e->len == strlen(answers[i].errors));
    REQUIRE(!memcmp(e->text, answers[i].errors, e->len));
}

/* Reads the answer in two parts; each of them byte by byte, if `step` is 1. */
static void feed(struct fcgi_answer *a, struct guard *g, int i, size_t from, size_t to, size_t step, struct errors *e) {
    for (size_t n; from < to; from += n) {
        n = step && step < to - from ? step : to - from;
        fcgi_answer_feed(a, (const uint8_t *)guard_put(g, answers[i].bytes + from, n), n, take_errors, e);
    }
}

START_TEST(answer)
{
    struct guard g;
    guard_init(&g, 4096);
    for (size_t step = 0; step < 2; step++) {
        for (size_t split = 0; split <= answers[_i].len; split++) {
            struct fcgi_answer a = {0};
            struct errors e = {.len = 0};
            feed(&a, &g, _i, 0, split, step, &e);
            feed(&a, &g, _i, split, answers[_i].len, step, &e);
            check(&a, &e, _i);
        }
    }
    guard_fini(&g);
}
END_TEST

START_TEST(nobody_takes_errors)
{
    struct fcgi_answer a = {0};
    fcgi_answer_feed(&a, (const uint8_t *)"\1\7\0\1\0\2\0\0ab" END, 10 + 16, NULL, NULL);
    ck_assert(a.ended);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("fcgi_answer");
    TCase *tc = tcase_create("fcgi_answer");
    tcase_add_loop_test(tc, answer, 0, COUNT(answers));
    tcase_add_test(tc, nobody_takes_errors);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
