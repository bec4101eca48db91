#include "config.h"

#include "process/memory_growth.h"

#include "unit/unit.h"

#include <string.h>

#define MIB (UINT64_C(1) << 20)

static char line[MEMORY_GROWTH_LINE_SIZE], block[MEMORY_GROWTH_BLOCK_SIZE];

/* From 100 MiB to `after`, of which Python holds `bytes` at one line and had `peak`. */
static enum log_level grow(uint64_t after, uint64_t bytes, uint64_t peak, enum allocations_result result) {
    const struct memory_growth g = {
        .before = 100 * MIB,
        .after = after * MIB,
        .ns = UINT64_C(4250000000),
        .result = result,
        .found = {.bytes = bytes * MIB,
                  .peak = peak * MIB,
                  .blocks = 2,
                  .count = bytes ? 1 : 0,
                  .lines = {{.file = "/srv/app.py", .line = 9, .bytes = bytes * MIB, .blocks = 2}}},
    };
    return memory_growth_describe(&g, line, block);
}

static bool says(const char *text) {
    return strstr(line, text) != NULL;
}

START_TEST(by_python)
{
    ck_assert_int_eq(grow(140, 40, 40, ALLOCATIONS_OK), LOG_LEVEL_WARNING);
    ck_assert_str_eq(line,
                     "memory has grown by 40.0 MiB in 4.2 s (--trace-memory), to 140.0 MiB; of what came since Python "
                     "holds 40.0 MiB; most at:");
    ck_assert_str_eq(block, "  File \"/srv/app.py\", line 9: 40.0 MiB in 2 blocks\n");
}
END_TEST

START_TEST(elsewhere)
{
    ck_assert_int_eq(grow(140, 0, 0, ALLOCATIONS_OK), LOG_LEVEL_WARNING);
    ck_assert(says("; none of it by Python; 40.0 MiB were allocated elsewhere (C extensions, libraries)"));
    ck_assert_str_eq(block, "");
}
END_TEST

START_TEST(in_part)
{
    grow(140, 10, 10, ALLOCATIONS_OK);
    ck_assert(says("Python holds 10.0 MiB; 30.0 MiB were allocated elsewhere"));
}
END_TEST

START_TEST(freed)
{
    grow(140, 0, 40, ALLOCATIONS_OK);
    ck_assert(says("up to 40.0 MiB were in use by it at a time, and what it frees may stay with the process"));
    ck_assert(!says("elsewhere"));
}
END_TEST

START_TEST(little)
{
    ck_assert_int_eq(grow(101, 1, 1, ALLOCATIONS_OK), LOG_LEVEL_INFO);
    ck_assert(says("that is little") && says("most at:"));
    ck_assert_int_eq(grow(90, 1, 1, ALLOCATIONS_OK), LOG_LEVEL_INFO);
    ck_assert(says("grown by 0.0 MiB"));
}
END_TEST

START_TEST(without_a_list)
{
    grow(140, 0, 0, ALLOCATIONS_FAILED);
    ck_assert(says("cannot be told") && !says("elsewhere") && !*block);
    grow(140, 0, 0, ALLOCATIONS_MANY);
    ck_assert(says("too many blocks for a list"));
    grow(140, 40, 40, ALLOCATIONS_FOREIGN);
    ck_assert(says("since the application has begun to trace memory itself, Python holds 40.0 MiB"));
}
END_TEST

/* The longest of what there may be has room. */
START_TEST(long_names)
{
    struct memory_growth g = {.before = UINT64_MAX / 16, .after = UINT64_MAX / 8, .ns = UINT64_MAX / 4};
    for (unsigned i = 0; i < ALLOCATIONS_LINES; i++) {
        struct allocations_line *at = &g.found.lines[g.found.count++];
        memset(at->file, 'a', sizeof at->file - 1);
        *at = (struct allocations_line){.line = UINT32_MAX, .bytes = UINT64_MAX / 16, .blocks = UINT64_MAX};
        memset(at->file, 'a', sizeof at->file - 1);
    }
    memory_growth_describe(&g, line, block);
    ck_assert(says("most at:"));
    ck_assert_int_eq(block[strlen(block) - 1], '\n');
}
END_TEST

START_TEST(outside_of_python)
{
    struct memory_growth g = {.before = MIB, .after = 9 * MIB, .found = {.bytes = 8 * MIB, .count = 1}};
    g.found.lines[0] = (struct allocations_line){.file = "<unknown>", .bytes = 8 * MIB, .blocks = 1};
    memory_growth_describe(&g, line, block);
    ck_assert_str_eq(block, "  outside of code in Python: 8.0 MiB in 1 block\n");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("memory_growth");
    TCase *tc = tcase_create("core");
    tcase_add_test(tc, by_python);
    tcase_add_test(tc, elsewhere);
    tcase_add_test(tc, in_part);
    tcase_add_test(tc, freed);
    tcase_add_test(tc, little);
    tcase_add_test(tc, without_a_list);
    tcase_add_test(tc, long_names);
    tcase_add_test(tc, outside_of_python);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
