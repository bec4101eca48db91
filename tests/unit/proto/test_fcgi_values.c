#include "config.h"

#include "proto/fcgi_values.h"

#include "unit/unit.h"

#define HEADER(length, padding) "\1\x0a\0\0\0" length padding "\0"
#define CONNS "\x0e\2FCGI_MAX_CONNS32"
#define REQS "\x0d\3FCGI_MAX_REQS100"
#define MPXS "\x0f\1FCGI_MPXS_CONNS1"
#define ASK_CONNS "\x0e\0FCGI_MAX_CONNS"
#define ASK_REQS "\x0d\0FCGI_MAX_REQS"
#define ASK_MPXS "\x0f\0FCGI_MPXS_CONNS"
#define BYTES(literal) (literal), sizeof(literal) - 1

static const struct {
    const char *name;
    const char *query;
    size_t nquery;
    const char *answer;
    size_t nanswer;
} vectors[] = {
    {"nothing", BYTES(""), BYTES(HEADER("\0", "\0"))},
    {"one", BYTES(ASK_REQS), BYTES(HEADER("\x12", "\6") REQS "\0\0\0\0\0\0")},
    {"all three, in our order", BYTES(ASK_MPXS ASK_CONNS ASK_REQS), BYTES(HEADER("\x36", "\2") CONNS REQS MPXS "\0\0")},
    {"one name many times", BYTES(ASK_MPXS ASK_MPXS ASK_MPXS ASK_MPXS ASK_MPXS ASK_MPXS),
     BYTES(HEADER("\x12", "\6") MPXS "\0\0\0\0\0\0")},
    {"a value in the query", BYTES("\x0d\5FCGI_MAX_REQSvalue" ASK_CONNS),
     BYTES(HEADER("\x24", "\4") CONNS REQS "\0\0\0\0")},
    {"unknown names", BYTES("\4\0NAME\x0e\0FCGI_MAX_CONNZ\x0d\1FCGI_MAX_reqs1\1\0F"), BYTES(HEADER("\0", "\0"))},
    {"names of other lengths", BYTES("\x0f\0FCGI_MAX_CONNS\0\x0d\0FCGI_MAX_CONN\0\0"), BYTES(HEADER("\0", "\0"))},
    {"a name of 16, of 17 and of 40 bytes",
     BYTES("\x10\0FCGI_MPXS_CONNS!\x11\0FCGI_MPXS_CONNS!!\x28\2FCGI_MPXS_CONNSFCGI_MPXS_CONNS0123456789vv" ASK_MPXS),
     BYTES(HEADER("\x12", "\6") MPXS "\0\0\0\0\0\0")},
    {"a known name after a long one",
     BYTES("\x20\0"
           "01234567890123456789012345678901" ASK_REQS),
     BYTES(HEADER("\x12", "\6") REQS "\0\0\0\0\0\0")},
    {"four-byte lengths", BYTES("\x80\0\0\x0d\x80\0\0\1FCGI_MAX_REQSx" ASK_MPXS),
     BYTES(HEADER("\x24", "\4") REQS MPXS "\0\0\0\0")},
    {"an empty name with a value", BYTES("\0\3abc" ASK_MPXS), BYTES(HEADER("\x12", "\6") MPXS "\0\0\0\0\0\0")},
    {"cut off inside a name", BYTES("\x0d\0FCGI_MAX_REQ"), BYTES(HEADER("\0", "\0"))},
    {"cut off inside a value", BYTES("\x0d\5FCGI_MAX_REQSvalu"), BYTES(HEADER("\0", "\0"))},
    {"cut off inside a length", BYTES("\x80\0\0"), BYTES(HEADER("\0", "\0"))},
    {"lengths of 2^31-1", BYTES("\xff\xff\xff\xff\xff\xff\xff\xff" ASK_REQS), BYTES(HEADER("\0", "\0"))},
};

static void check_answer(struct fcgi_values *v, int vector, const char *how) {
    static const struct fcgi_values zero;
    uint8_t out[FCGI_VALUES_RESULT_MAX];
    memset(out, '#', sizeof out);
    size_t n = fcgi_values_result(v, out, 32, 100, true);
    ck_assert_msg(n == vectors[vector].nanswer, "%s, %s: %zu bytes", vectors[vector].name, how, n);
    ck_assert_msg(memcmp(out, vectors[vector].answer, n) == 0, "%s, %s", vectors[vector].name, how);
    ck_assert_uint_eq(v->state, zero.state);
    ck_assert_uint_eq(v->asked | v->nlength | v->nname | v->name_left | v->value_left, 0);
}

START_TEST(vector)
{
    struct guard g;
    guard_init(&g, 512);
    struct fcgi_values v = {0};
    const char *query = vectors[_i].query;
    size_t n = vectors[_i].nquery;
    for (size_t cut = 0; cut <= n; cut++) {
        fcgi_values_feed(&v, (uint8_t *)guard_put(&g, query, cut), cut);
        fcgi_values_feed(&v, (uint8_t *)guard_put(&g, query + cut, n - cut), n - cut);
        check_answer(&v, _i, "in two pieces");
    }
    for (size_t i = 0; i < n; i++)
        fcgi_values_feed(&v, (uint8_t *)guard_put(&g, query + i, 1), 1);
    check_answer(&v, _i, "byte by byte");
    guard_fini(&g);
}
END_TEST

START_TEST(numbers)
{
    struct fcgi_values v = {0};
    uint8_t out[FCGI_VALUES_RESULT_MAX];
    static const char query[] = ASK_CONNS ASK_REQS ASK_MPXS;
    fcgi_values_feed(&v, (const uint8_t *)query, sizeof query - 1);
    size_t n = fcgi_values_result(&v, out, 4294967295u, 0, false);
    static const char expect[] = HEADER("\x3c", "\4") "\x0e\x0a"
                                                      "FCGI_MAX_CONNS4294967295"
                                                      "\x0d\1FCGI_MAX_REQS0\x0f\1FCGI_MPXS_CONNS0\0\0\0\0";
    ck_assert_uint_eq(n, sizeof expect - 1);
    ck_assert_mem_eq(out, expect, n);

    fcgi_values_feed(&v, (const uint8_t *)query, sizeof query - 1);
    ck_assert_uint_le(fcgi_values_result(&v, out, 4294967295u, 4294967295u, true), FCGI_VALUES_RESULT_MAX);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("fcgi_values");
    TCase *tc = tcase_create("fcgi_values");
    tcase_add_loop_test(tc, vector, 0, COUNT(vectors));
    tcase_add_test(tc, numbers);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
