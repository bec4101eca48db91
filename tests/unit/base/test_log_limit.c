#include "config.h"

#include "base/log_limit.h"

#include "unit/unit.h"

#include <stdio.h>

static const uint64_t SECOND = 1000000000;
static struct log_table table;
static struct log_topic topic, another;
static char more[LOG_TABLE_MORE_SIZE];

static bool due(struct log_topic *about, unsigned peer, uint64_t now) {
    more[0] = '\0';
    return log_table_due(&table, about, &peer, sizeof peer, now, more);
}

static void reset(void) {
    table = (struct log_table){.seed = 7};
    topic = another = (struct log_topic){0};
}

START_TEST(test_one_a_second_and_peer)
{
    uint64_t now = 5 * SECOND;
    reset();
    ck_assert(due(&topic, 1, now));
    ck_assert_str_eq(more, "");
    ck_assert(!due(&topic, 1, now));
    ck_assert(!due(&topic, 1, now + SECOND - 1));
    ck_assert(due(&topic, 2, now)); /* nobody hides another one */
    ck_assert_str_eq(more, "");
    ck_assert(due(&another, 1, now)); /* nor one topic another */
    ck_assert(due(&topic, 1, now + SECOND));
    ck_assert_str_eq(more, " (and 2 more since the last line about this)");
    ck_assert(due(&topic, 1, now + 2 * SECOND));
    ck_assert_str_eq(more, "");
}
END_TEST

/* Whoever comes, there are no more lines than that; all the others are counted. */
START_TEST(test_many_peers)
{
    uint64_t now = SECOND / 2; /* the machine has just started */
    unsigned lines = 0;
    reset();
    for (unsigned peer = 0; peer < 100000; peer++)
        lines += due(&topic, peer, now);
    ck_assert_uint_eq(lines, LOG_TABLE_LINES);
    ck_assert(due(&another, 1, now));
    ck_assert_str_eq(more, "");
    ck_assert(due(&topic, 1000000, now + SECOND));
    ck_assert_str_eq(more, " (and 99990 of others)");
    ck_assert(!due(&topic, 1000000, now + SECOND));
    for (unsigned peer = 0; peer < 20; peer++)
        lines += due(&topic, 2000000 + peer, now + SECOND);
    ck_assert_uint_eq(lines, 2 * LOG_TABLE_LINES - 1);
    ck_assert(due(&topic, 1000000, now + 2 * SECOND));
    ck_assert_str_eq(more, " (and 1 more since the last line about this, and 11 of others)");
}
END_TEST

/* A peer that is in the table, and whose line is due when the topic has had all of its lines. */
START_TEST(test_known_peer_of_a_full_topic)
{
    uint64_t now = 5 * SECOND;
    reset();
    ck_assert(due(&topic, 0, now));
    for (unsigned peer = 1; peer <= LOG_TABLE_LINES; peer++)
        ck_assert(due(&topic, peer, now + SECOND));
    ck_assert(!due(&topic, 0, now + SECOND));
    ck_assert(due(&topic, 0, now + 2 * SECOND));
    ck_assert_str_eq(more, " (and 1 more since the last line about this)");
}
END_TEST

/* Over a long time more peers come than there are places: what was left out of those that were forgotten is told too. */
START_TEST(test_nothing_is_lost)
{
    const unsigned peers = 4 * LOG_TABLE_SETS * LOG_TABLE_WAYS;
    unsigned long told = 0, own, others;
    unsigned lines = 0;
    uint64_t now = SECOND;
    reset();
    for (unsigned peer = 0; peer <= peers; peer++, now += SECOND) {
        REQUIRE(due(&topic, peer, now));
        lines++;
        if (sscanf(more, " (and %lu of others)", &others) == 1)
            told += others;
        REQUIRE(peer == peers || !due(&topic, peer, now));
    }
    for (unsigned peer = 0; peer < peers; peer++, now += SECOND) {
        REQUIRE(due(&topic, peer, now));
        lines++;
        own = others = 0;
        if (sscanf(more, " (and %lu more since the last line about this, and %lu of others)", &own, &others) < 1)
            (void)sscanf(more, " (and %lu of others)", &others);
        told += own + others;
    }
    ck_assert_uint_eq(lines, 2 * peers + 1);
    ck_assert_uint_ge(told, peers - LOG_TABLE_SETS * LOG_TABLE_WAYS); /* but for what is in the table still */
    ck_assert_uint_le(told, peers);
}
END_TEST

START_TEST(test_state_that_goes_on)
{
    struct log_state state = {0}, other = {0};
    double now = 5; /* the machine has just started */
    ck_assert(log_state_is_due(&state, now));
    ck_assert(log_state_due(&state, now)); /* to ask takes no note */
    ck_assert(!log_state_is_due(&state, now));
    ck_assert(!log_state_due(&state, now + LOG_STATE_SECONDS - 0.5));
    ck_assert(log_state_due(&other, now));                     /* one does not hide another */
    ck_assert(log_state_due(&state, now + LOG_STATE_SECONDS)); /* what was not due does not put it off */
    ck_assert(!log_state_due(&state, now + LOG_STATE_SECONDS + 0.5));
    log_state_logged(&other, now + 8);
    ck_assert(!log_state_is_due(&other, now + 8 + LOG_STATE_SECONDS - 0.5));
    ck_assert(log_state_is_due(&other, now + 8 + LOG_STATE_SECONDS));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("log_limit");
    TCase *c = tcase_create("log_limit");
    suite_add_tcase(suite, c);
    tcase_add_test(c, test_one_a_second_and_peer);
    tcase_add_test(c, test_many_peers);
    tcase_add_test(c, test_known_peer_of_a_full_topic);
    tcase_add_test(c, test_nothing_is_lost);
    tcase_add_test(c, test_state_that_goes_on);
    return unit_run(suite);
}
