#include "config.h"

#include "base/hash.h"

#include "unit/unit.h"

enum { LENGTH_MAX = 40 };

/* Each bit of each byte, the length, and the key count; nothing behind the end is read. */
START_TEST(test_all_counts)
{
    char bytes[LENGTH_MAX];
    struct guard guard;
    guard_init(&guard, sizeof bytes);
    for (unsigned i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)('A' + i % 26);
    for (size_t n = 0; n <= sizeof bytes; n++) {
        uint64_t hash = hash_bytes(1, guard_put(&guard, bytes, n), n);
        REQUIRE(hash == hash_bytes(1, bytes, n));
        REQUIRE(hash != hash_bytes(2, bytes, n));
        REQUIRE(!n || hash != hash_bytes(1, bytes, n - 1));
        for (size_t bit = 0; bit < 8 * n; bit++) {
            char *other = guard_put(&guard, bytes, n);
            other[bit / 8] = (char)(other[bit / 8] ^ 1 << bit % 8);
            REQUIRE(hash_bytes(1, other, n) != hash);
        }
    }
    guard_fini(&guard);
}
END_TEST

START_TEST(test_seeds_differ)
{ ck_assert_uint_ne(hash_seed(), hash_seed()); }
END_TEST

/* Each remainder comes about as often as the others. */
START_TEST(test_next)
{
    enum { DRAWN = 16000, SIDES = 16 };
    unsigned came[SIDES] = {0};
    uint64_t state = 0, before = 0;
    for (int i = 0; i < DRAWN; i++) {
        uint64_t next = hash_next(&state);
        REQUIRE(next != before);
        came[next % SIDES]++;
        before = next;
    }
    for (int i = 0; i < SIDES; i++) {
        ck_assert_uint_gt(came[i], DRAWN / SIDES * 3 / 4);
        ck_assert_uint_lt(came[i], DRAWN / SIDES * 5 / 4);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("hash");
    TCase *c = tcase_create("hash");
    suite_add_tcase(suite, c);
    tcase_add_test(c, test_all_counts);
    tcase_add_test(c, test_seeds_differ);
    tcase_add_test(c, test_next);
    return unit_run(suite);
}
