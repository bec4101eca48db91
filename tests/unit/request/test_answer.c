#include "config.h"

#include "request/answer.h"

#include "unit/no_threads.h"
#include "unit/unit.h"

#include <stdio.h>

START_TEST(test_every_status)
{
    for (int code = 100; code < 1000; code++) {
        enum answer_content right = code == 204   ? ANSWER_NONE
                                    : code == 205 ? ANSWER_EMPTY
                                    : code == 304 ? ANSWER_DESCRIBED
                                                  : ANSWER_ANY;
        static const char *const reasons[] = {"", " ", " 204", " No Content"};
        for (int i = 0; i < COUNT(reasons); i++) {
            char status[32];
            snprintf(status, sizeof status, "%d%s", code, reasons[i]);
            REQUIRE(answer_content(status) == right);
        }
    }
}
END_TEST

static const struct {
    const char *head, *without; /* as it came, and without Content-Length */
} heads[] = {
    {"", ""},
    {"A: b\r\n", "A: b\r\n"},
    {"Content-Length: 5\r\n", ""},
    {"content-LENGTH: 5\r\nA: b\r\n", "A: b\r\n"},
    {"A: b\r\nContent-Length: 5\r\n", "A: b\r\n"},
    {"A: b\r\nContent-Length: \r\nC: d\r\n", "A: b\r\nC: d\r\n"},
    {"Content-Length: 5\r\nContent-Length: 5\r\n", ""},
    {"X-Content-Length: 5\r\nContent-Length-X: 5\r\nA: Content-Length: 5\r\n",
     "X-Content-Length: 5\r\nContent-Length-X: 5\r\nA: Content-Length: 5\r\n"},
    {"Content-Lengt: 5\r\nContent-Type: a\r\nC: d\r\n", "Content-Lengt: 5\r\nContent-Type: a\r\nC: d\r\n"},
};

static void settle(const char *status, const char *head, const char *right) {
    struct request r;
    request_init(&r);
    /* What was consumed before must not count. */
    ck_assert_int_eq(buf_append(&r.head, "junk", 4), 0);
    ck_assert_int_eq(buf_append(&r.head, head, strlen(head)), 0);
    buf_consume(&r.head, 4);
    strcpy(r.status, status);
    ck_assert_int_eq(answer_settle_head(&r), 0);
    ck_assert_uint_eq(buf_len(&r.head), strlen(right));
    if (*right)
        ck_assert_mem_eq(buf_head(&r.head), right, strlen(right));
    request_fini(&r);
}

START_TEST(test_heads)
{
    char empty[200];
    snprintf(empty, sizeof empty, "%sContent-Length: 0\r\n", heads[_i].without);
    settle("200 OK", heads[_i].head, heads[_i].head);
    settle("304 Not Modified", heads[_i].head, heads[_i].head);
    settle("204 No Content", heads[_i].head, heads[_i].without);
    settle("205", heads[_i].head, empty);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("answer");
    TCase *tc = tcase_create("answer");
    tcase_add_test(tc, test_every_status);
    tcase_add_loop_test(tc, test_heads, 0, COUNT(heads));
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
