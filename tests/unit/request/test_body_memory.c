#include "config.h"

#include "request/body.h"

#include "unit/unit.h"

#include <errno.h>

static struct body body;

static void setup(void) {
    body_init(&body);
    body_begin(&body, -1);
}

static void teardown(void) {
    body_fini(&body);
}

/* Takes the place of malloc (local.mk: --wrap), of which there is only so much at a time. */
static size_t malloc_most = SIZE_MAX;
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);

void *__wrap_malloc(size_t size) {
    if (size <= malloc_most)
        return __real_malloc(size);
    errno = ENOMEM;
    return NULL;
}

/* Memory is taken once for what is announced, up to a bound, and never more than is allowed. */
static const struct {
    size_t limit;
    int64_t expected;
    size_t least, most;
} reserves[] = {
    {1 << 20, 100000, 100000, 131072},
    {1 << 20, INT64_MAX, BODY_RESERVE_MAX, BODY_RESERVE_MAX},
    {1 << 20, 2000, 2000, 2048},
    {1 << 20, 1, 1, 512},
    {1 << 20, -1, 1, 512},
    {1000, 100000, 1000, 1024},
};

START_TEST(test_reserve)
{
    struct body_limits some = {.memory = reserves[_i].limit};
    body_begin(&body, reserves[_i].expected);
    ck_assert_int_eq(body_append(&body, &some, "x", 1), BODY_OK);
    ck_assert_uint_ge(body.memory.size, reserves[_i].least);
    ck_assert_uint_le(body.memory.size, reserves[_i].most);
}
END_TEST

/* What is announced finds no memory, but what has come does. */
START_TEST(test_no_reserve)
{
    struct body_limits some = {.memory = 1 << 20};
    body_begin(&body, 100000);
    malloc_most = 512;
    enum body_status status = body_append(&body, &some, "0123456789", 10);
    malloc_most = SIZE_MAX;
    ck_assert_int_eq(status, BODY_OK);
    ck_assert_uint_eq(buf_len(&body.memory), 10);
    ck_assert_mem_eq(buf_head(&body.memory), "0123456789", 10);
}
END_TEST

/* Memory of long bodies. */

enum { BURST = BODY_SPARES_MAX + 4, LONG = 100000 };

static struct body_spares spares;
static struct body burst[BURST];

static const char *put_long(struct body *b, size_t len) {
    static const char big[2 * BODY_RESERVE_MAX];
    struct body_limits some = {.memory = 1 << 20, .spares = &spares};
    body_begin(b, (int64_t)len);
    ck_assert_int_eq(body_append(b, &some, "x", 1), BODY_OK);
    ck_assert_int_eq(body_append(b, &some, big, len - 1), BODY_OK);
    ck_assert_uint_eq(buf_len(&b->memory), len);
    ck_assert_int_eq(*buf_head(&b->memory), 'x');
    return b->memory.data;
}

static void setup_burst(void) {
    setup();
    for (int i = 0; i < BURST; i++) {
        body_init(&burst[i]);
        put_long(&burst[i], LONG);
    }
    for (int i = 0; i < BURST; i++)
        body_reset(&burst[i], &spares);
}

static void teardown_burst(void) {
    for (int i = 0; i < BURST; i++)
        body_fini(&burst[i]);
    body_spares_fini(&spares);
    ck_assert_uint_eq(spares.count, 0);
    teardown();
}

/* Whichever of many requests are in use after a burst, first to end or last, these find the memory. */
START_TEST(test_spares)
{
    ck_assert_uint_eq(spares.count, BODY_SPARES_MAX);
    for (int i = 0; i < BURST; i++) {
        const char *memory = spares.memory[BODY_SPARES_MAX - 1].data;
        ck_assert_ptr_eq(put_long(&burst[i], LONG), memory);
        ck_assert_uint_eq(spares.count, BODY_SPARES_MAX - 1);
        body_reset(&burst[i], &spares);
        ck_assert_uint_eq(spares.count, BODY_SPARES_MAX);
        ck_assert_uint_eq(burst[i].memory.size, 0);
    }
}
END_TEST

/* Short bodies have their own, and leave it where it is; what is beyond the bound is not kept. */
START_TEST(test_short_and_huge)
{
    const char *memory = put_long(&burst[0], BODY_KEEP_BYTES);
    ck_assert_uint_eq(spares.count, BODY_SPARES_MAX);
    body_reset(&burst[0], &spares);
    ck_assert_ptr_eq(put_long(&burst[0], 100), memory);
    ck_assert_uint_eq(spares.count, BODY_SPARES_MAX);
    put_long(&burst[1], BODY_RESERVE_MAX + 1);
    ck_assert_uint_eq(spares.count, BODY_SPARES_MAX - 1);
    ck_assert_uint_gt(burst[1].memory.size, BODY_RESERVE_MAX);
    body_reset(&burst[1], &spares);
    ck_assert_uint_eq(spares.count, BODY_SPARES_MAX - 1);
}
END_TEST

/* A length that nobody announced. */
START_TEST(test_growing_into_a_spare)
{
    struct body_limits some = {.memory = 1 << 20, .spares = &spares};
    for (int i = 0; i < 2 * BODY_KEEP_BYTES / 16; i++)
        ck_assert_int_eq(body_append(&body, &some, "0123456789abcdef", 16), BODY_OK);
    ck_assert_uint_eq(spares.count, BODY_SPARES_MAX - 1);
    ck_assert_uint_eq(buf_len(&body.memory), 2 * BODY_KEEP_BYTES);
    for (int i = 0; i < 2 * BODY_KEEP_BYTES / 16; i++)
        REQUIRE(!memcmp(buf_head(&body.memory) + 16 * i, "0123456789abcdef", 16));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("body_memory");
    TCase *c = tcase_create("reserve"), *after_burst = tcase_create("after a burst");
    suite_add_tcase(suite, c);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_loop_test(c, test_reserve, 0, COUNT(reserves));
    tcase_add_test(c, test_no_reserve);
    suite_add_tcase(suite, after_burst);
    tcase_add_checked_fixture(after_burst, setup_burst, teardown_burst);
    tcase_add_test(after_burst, test_spares);
    tcase_add_test(after_burst, test_short_and_huge);
    tcase_add_test(after_burst, test_growing_into_a_spare);
    return unit_run(suite);
}
