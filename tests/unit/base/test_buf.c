#include "config.h"

#include "base/buf.h"

#include "unit/unit.h"

#include <errno.h>

/* AddressSanitizer ends the process when malloc is asked for too much, unless it is told not to. */
__attribute__((visibility("default"))) const char *__asan_default_options(void);
const char *__asan_default_options(void) {
    return "allocator_may_return_null=1";
}

START_TEST(empty)
{
    struct buf b = {0};
    ck_assert_uint_eq(buf_len(&b), 0);
    ck_assert_int_eq(buf_append(&b, NULL, 0), 0);
    ck_assert_ptr_null(b.data);
    buf_reset(&b, 0);
    buf_fini(&b);
}
END_TEST

START_TEST(append_and_consume)
{
    struct buf b = {0};
    ck_assert_int_eq(buf_append(&b, "hello ", 6), 0);
    ck_assert_int_eq(buf_append(&b, "world", 5), 0);
    ck_assert_uint_eq(buf_len(&b), 11);
    ck_assert_mem_eq(buf_head(&b), "hello world", 11);
    ck_assert_ptr_eq(buf_tail(&b), buf_head(&b) + 11);
    buf_consume(&b, 6);
    ck_assert_mem_eq(buf_head(&b), "world", 5);
    buf_consume(&b, 5);
    ck_assert_uint_eq(buf_len(&b), 0);
    ck_assert_uint_eq(b.start, 0);
    ck_assert_uint_eq(b.end, 0);
    buf_fini(&b);
    ck_assert_ptr_null(b.data);
    ck_assert_int_eq(buf_append(&b, "again", 5), 0);
    ck_assert_mem_eq(buf_head(&b), "again", 5);
    buf_fini(&b);
}
END_TEST

/* A stream through the buffer: bytes are appended and consumed in changing amounts, and come out as they went in. */
START_TEST(stream)
{
    struct buf b = {0};
    size_t in = 0, out = 0;
    for (int round = 0; round < 20000; round++) {
        size_t n = (size_t)round * 31 % 257;
        ck_assert_int_eq(buf_reserve(&b, n), 0);
        ck_assert_uint_ge(b.size - b.end, n);
        for (size_t i = 0; i < n; i++)
            b.data[b.end++] = (char)(in++ % 127);
        size_t take = (size_t)round * 17 % 300;
        take = take < buf_len(&b) ? take : buf_len(&b);
        for (size_t i = 0; i < take; i++)
            if (buf_head(&b)[i] != (char)(out++ % 127))
                ck_abort_msg("byte %zu", out);
        buf_consume(&b, take);
        ck_assert_uint_eq(buf_len(&b), in - out);
    }
    ck_assert_uint_lt(b.size, 65536);
    buf_fini(&b);
}
END_TEST

START_TEST(growth)
{
    struct buf b = {0};
    ck_assert_int_eq(buf_reserve(&b, 1), 0);
    ck_assert_uint_eq(b.size, 512);
    ck_assert_int_eq(buf_reserve(&b, 512), 0);
    ck_assert_uint_eq(b.size, 512);
    ck_assert_int_eq(buf_reserve(&b, 513), 0);
    ck_assert_uint_eq(b.size, 1024);
    ck_assert_int_eq(buf_reserve(&b, 100000), 0);
    ck_assert_uint_eq(b.size, 131072);
    buf_fini(&b);
}
END_TEST

/* When at least half of the memory is free in front, room is made without new memory. */
START_TEST(moving)
{
    static const char zeros[512];
    struct buf b = {0};
    buf_append(&b, zeros, 508);
    buf_append(&b, "tail", 4);
    buf_consume(&b, 508);
    const char *memory = b.data;
    ck_assert_int_eq(buf_append(&b, zeros, 400), 0);
    ck_assert_ptr_eq(b.data, memory);
    ck_assert_uint_eq(b.size, 512);
    ck_assert_uint_eq(b.start, 0);
    ck_assert_mem_eq(buf_head(&b), "tail", 4);

    buf_consume(&b, 100);
    ck_assert_int_eq(buf_append(&b, zeros, 200), 0);
    ck_assert_uint_eq(buf_len(&b), 504);
    ck_assert_uint_ge(b.size, 504);
    buf_fini(&b);
}
END_TEST

START_TEST(reset)
{
    static const char zeros[4096];
    struct buf b = {0};
    buf_append(&b, zeros, 100);
    buf_consume(&b, 10);
    const char *memory = b.data;
    buf_reset(&b, 512);
    ck_assert_ptr_eq(b.data, memory);
    ck_assert_uint_eq(buf_len(&b) + b.start, 0);
    buf_append(&b, zeros, 4096);
    buf_reset(&b, 512);
    ck_assert_ptr_null(b.data);
    ck_assert_uint_eq(b.size + b.start + b.end, 0);
}
END_TEST

static const size_t too_much[] = {SIZE_MAX, SIZE_MAX / 2 + 1, SIZE_MAX / 2 - 1, SIZE_MAX / 4};

START_TEST(no_memory)
{
    struct buf b = {0};
    /* Volatile: compilers that see how short it is warn of the copy, which is never made. */
    const char *volatile source = "";
    buf_append(&b, "kept", 4);
    struct buf before = b;
    errno = 0;
    ck_assert_int_eq(buf_reserve(&b, too_much[_i]), -1);
    ck_assert_int_eq(errno, ENOMEM);
    errno = 0;
    ck_assert_int_eq(buf_append(&b, source, too_much[_i]), -1);
    ck_assert_int_eq(errno, ENOMEM);
    ck_assert_mem_eq(&b, &before, sizeof b);
    ck_assert_mem_eq(buf_head(&b), "kept", 4);
    buf_fini(&b);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("buf");
    TCase *tc = tcase_create("buf");
    tcase_add_test(tc, empty);
    tcase_add_test(tc, append_and_consume);
    tcase_add_test(tc, stream);
    tcase_add_test(tc, growth);
    tcase_add_test(tc, moving);
    tcase_add_test(tc, reset);
    tcase_add_loop_test(tc, no_memory, 0, COUNT(too_much));
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
