#include "config.h"

#include "sched/backlog.h"

#include "unit/unit.h"

static const uint64_t S = 1000000000u, MS = 1000000u;
static const uint64_t START = 7200000000000u; /* before any job came */

static struct backlog_limits limits;
static struct backlog b;

/* So many wait from START on, with 10 s and 1.5 s. */
static void begin(unsigned waiting) {
    limits = backlog_limits_of(10 * S, 1);
    b = (struct backlog){.waiting = waiting, .taken = UINT32_MAX - 2}; /* which wraps around */
    backlog_begin(&b, START);
}

/* Looks every 10 ms up to `until`; one is taken, and another comes, each `every` (0: never). */
static void pass(uint64_t from, uint64_t until, uint64_t every) {
    for (uint64_t t = from + 10 * MS; t <= until; t += 10 * MS) {
        if (every && (t - from) % every == 0)
            b.taken++;
        backlog_look(&b, &limits, START + t);
    }
}

static enum backlog_verdict judge(uint64_t a, uint64_t now) {
    return backlog_judge(&b, &limits, START + now - a, START + now);
}

static bool newest(uint64_t a, uint64_t now) {
    return backlog_takes_newest(&b, &limits, START + now - a, START + now);
}

START_TEST(test_limits)
{
    static const struct {
        uint64_t most, patience;
    } cases[] = {{10000000000u, 1500000000u}, {1500000000u, 1500000000u}, {1000000u, 1000000u}, {0, 1500000000u}};
    for (int i = 0; i < COUNT(cases); i++) {
        limits = backlog_limits_of(cases[i].most, 1);
        ck_assert_uint_eq(limits.most, cases[i].most);
        ck_assert_uint_eq(limits.patience, cases[i].patience);
    }
}
END_TEST

/* D is over two windows, of which the older one counts whole; what was before is forgotten. */
START_TEST(test_length)
{
    begin(10);
    pass(0, 500 * MS, 100 * MS);
    ck_assert_uint_eq(backlog_length(&b, &limits, START + 500 * MS), 1 * S);
    pass(500 * MS, 3 * S, 100 * MS);
    ck_assert_uint_ge(backlog_length(&b, &limits, START + 3 * S), 900 * MS);
    ck_assert_uint_le(backlog_length(&b, &limits, START + 3 * S), 1100 * MS);
    /* Ten times as fast, and the slow time is forgotten after two windows. */
    pass(3 * S, 4600 * MS, 10 * MS);
    ck_assert_uint_le(backlog_length(&b, &limits, START + 4600 * MS), 101 * MS);
    backlog_begin(&b, START + 7 * S);
    b.taken++;
    ck_assert_uint_eq(backlog_length(&b, &limits, START + 7 * S + 20 * MS), 10 * 20 * MS);
    b.waiting = 0;
    ck_assert_uint_eq(backlog_length(&b, &limits, START + 8 * S), 0);
}
END_TEST

/* While none is taken each thread is supposed to take one whenever so much time has passed as has already. */
START_TEST(test_none_taken)
{
    begin(11);
    limits.threads = 5;
    ck_assert_uint_eq(backlog_length(&b, &limits, START), 0);
    ck_assert_uint_eq(backlog_length(&b, &limits, START + 2 * S), 4 * S);
    pass(0, 3 * S, 0);
    ck_assert_uint_eq(backlog_length(&b, &limits, START + 3 * S), 6 * S);
    /* What was taken is known for two windows, and then when that was. */
    pass(3 * S, 6 * S, 100 * MS);
    pass(6 * S, 6600 * MS, 0);
    ck_assert_uint_le(backlog_length(&b, &limits, START + 6600 * MS), 3 * S);
    pass(6600 * MS, 9 * S, 0);
    uint64_t length = backlog_length(&b, &limits, START + 9 * S);
    ck_assert_uint_ge(length, 10 * 2250 * MS / 5);
    ck_assert_uint_le(length, 10 * 3000 * MS / 5);
    /* A new backlog knows nothing of that. */
    backlog_begin(&b, START + 10 * S);
    ck_assert_uint_eq(backlog_length(&b, &limits, START + 10 * S + 5 * MS), 10 * MS);
    b.waiting = 0;
    ck_assert_uint_eq(backlog_length(&b, &limits, START + 11 * S), 0);
}
END_TEST

/* Those that began together end together. When the first of them have ended nobody takes it for the rate at which jobs end. */
START_TEST(test_few_taken)
{
    begin(41);
    limits.threads = 32;
    pass(0, 3 * S, 0);
    for (unsigned taken = 0; taken < 31; taken++) {
        ck_assert_uint_le(backlog_length(&b, &limits, START + 3 * S), 40 * 3 * S / 32);
        backlog_note_end(&b, &limits, 3 * S);
        ck_assert_uint_le(backlog_length(&b, &limits, START + 3 * S), 40 * (3 * S / 32));
        b.taken++;
    }
    backlog_note_end(&b, &limits, 3 * S);
    b.taken++;
    ck_assert_uint_le(backlog_length(&b, &limits, START + 3 * S), 41 * 1500 * MS / 32);
}
END_TEST

/* Who asks for what takes long waits for longer. */
START_TEST(test_patience)
{
    begin(1);
    ck_assert_uint_eq(backlog_patience(&b, &limits), 1500 * MS);
    backlog_note_end(&b, &limits, 3 * S);
    b.taken++;
    ck_assert_uint_eq(backlog_patience(&b, &limits), 6 * S);
    ck_assert(!newest(5 * S, 5 * S));
    ck_assert(newest(6 * S + 1, 6 * S + 1));
    b.taken += 2; /* of which nobody tells, since they were quick */
    ck_assert_uint_eq(backlog_patience(&b, &limits), 2 * S);
    /* That is known until something else is. */
    pass(0, 20 * S, 0);
    ck_assert_uint_eq(backlog_patience(&b, &limits), 2 * S);
    b.taken += limits.threads; /* they may run still */
    ck_assert_uint_eq(backlog_patience(&b, &limits), 2 * S);
    pass(20 * S, 23 * S, 0);
    ck_assert_uint_eq(backlog_patience(&b, &limits), 2 * S);
    b.taken += limits.threads + 1;
    ck_assert_uint_eq(backlog_patience(&b, &limits), 2 * S);
    pass(23 * S, 24 * S, 0);
    ck_assert_uint_eq(backlog_patience(&b, &limits), 1500 * MS);
    /* No job counts for more than T, and nobody waits for longer. */
    backlog_note_end(&b, &limits, 3600 * S);
    ck_assert_uint_eq(b.ran, 13 * S);
    ck_assert_uint_eq(backlog_patience(&b, &limits), 10 * S);
    backlog_begin(&b, START + 25 * S);
    ck_assert_uint_eq(backlog_patience(&b, &limits), 1500 * MS);
}
END_TEST

/* Where the oldest goes first it does not wait for all others. */
START_TEST(test_judge_in_order)
{
    begin(9);
    for (int i = 0; i < 3; i++)
        backlog_note_end(&b, &limits, 5 * S);
    b.taken += 3; /* D is 1 s at 3 s */
    ck_assert_int_eq(judge(3 * S, 3 * S), BACKLOG_KEEP);
    b.waiting = 11;
    ck_assert_int_eq(judge(3 * S, 3 * S), BACKLOG_REFUSE_ANY);
}
END_TEST

/* A length beyond what 64 bits of nanoseconds have is none: 65,536 jobs at one in 10 s. */
START_TEST(test_long)
{
    begin(65536);
    b.taken++;
    ck_assert_uint_eq(backlog_length(&b, &limits, START + 10 * S), 655360 * S);
}
END_TEST

START_TEST(test_judge)
{
    begin(10);
    pass(0, 3 * S, 100 * MS); /* W is about 1 s */
    ck_assert_int_eq(judge(1500 * MS, 3 * S), BACKLOG_KEEP);
    ck_assert_int_eq(judge(1500 * MS + 1, 3 * S), BACKLOG_KEEP);
    uint64_t length = backlog_length(&b, &limits, START + 3 * S);
    ck_assert_int_eq(judge(10 * S - length, 3 * S), BACKLOG_KEEP);
    ck_assert_int_eq(judge(10 * S - length + 1, 3 * S), BACKLOG_REFUSE_ANY);
    ck_assert_int_eq(judge(10 * S, 3 * S), BACKLOG_REFUSE_ANY);
    ck_assert_int_eq(judge(10 * S + 1, 3 * S), BACKLOG_REFUSE_OLDEST);
    b.waiting = 100; /* W is about 10 s */
    ck_assert_int_eq(judge(1500 * MS, 3 * S), BACKLOG_KEEP);
    ck_assert_int_eq(judge(1500 * MS + 1, 3 * S), BACKLOG_REFUSE_ANY);
    b.waiting = 80;
    ck_assert_int_eq(judge(1500 * MS + 1, 3 * S), BACKLOG_KEEP);
    /* Nobody is served, for 3 s by now. With eleven, who would need another 6 s, the oldest can wait for 4 s. */
    begin(11);
    limits.threads = 5;
    pass(0, 3 * S, 0);
    ck_assert_int_eq(judge(4 * S, 3 * S), BACKLOG_KEEP);
    ck_assert_int_eq(judge(4 * S + 1, 3 * S), BACKLOG_REFUSE_ANY);
    b.waiting = 1;
    ck_assert_int_eq(judge(4 * S + 1, 3 * S), BACKLOG_KEEP);
    b.waiting = 20;
    ck_assert_int_eq(judge(1500 * MS, 3 * S), BACKLOG_KEEP);
    ck_assert_int_eq(judge(1500 * MS + 1, 3 * S), BACKLOG_REFUSE_ANY);
}
END_TEST

START_TEST(test_order)
{
    begin(10);
    pass(0, 3 * S, 100 * MS); /* W is about 1 s */
    ck_assert(!newest(0, 3 * S));
    ck_assert(!newest(1500 * MS, 3 * S));
    ck_assert(newest(1500 * MS + 1, 3 * S));
    b.waiting = 20; /* W is about 2 s */
    ck_assert(!newest(750 * MS, 3 * S));
    ck_assert(newest(750 * MS + 1, 3 * S));
}
END_TEST

/* With 0 nobody is refused, and all go in order, whatever happens. */
START_TEST(test_for_ever)
{
    begin(100000);
    limits = backlog_limits_of(0, 1);
    ck_assert_int_eq(judge(3600 * S, 3600 * S), BACKLOG_KEEP);
    ck_assert(!newest(3600 * S, 3600 * S));
    ck_assert(!backlog_is_late(&limits, START, START + 3600 * S));
    ck_assert_uint_eq(backlog_next_look(&limits, START, START + 3600 * S), UINT64_MAX);
}
END_TEST

/* T below 1.5 s is T1 as well: nobody waits for longer, and the newest goes first in the second half of it. */
START_TEST(test_short)
{
    begin(10);
    limits = backlog_limits_of(100 * MS, 1);
    b.taken++;
    ck_assert_int_eq(judge(100 * MS, 100 * MS), BACKLOG_KEEP);
    ck_assert_int_eq(judge(100 * MS + 1, 100 * MS), BACKLOG_REFUSE_OLDEST);
    ck_assert(!newest(50 * MS, 100 * MS));
    ck_assert(newest(50 * MS + 1, 100 * MS));
}
END_TEST

START_TEST(test_next_look)
{
    begin(1);
    ck_assert_uint_eq(backlog_next_look(&limits, START, START), START + 1500 * MS);
    ck_assert_uint_eq(backlog_next_look(&limits, START, START + 1499 * MS), START + 1500 * MS);
    ck_assert_uint_eq(backlog_next_look(&limits, START, START + 1500 * MS), START + 1520 * MS);
    ck_assert_uint_eq(backlog_next_look(&limits, START, START + 9 * S), START + 9 * S + 20 * MS);
    ck_assert(!backlog_is_late(&limits, START, START + 750 * MS));
    ck_assert(backlog_is_late(&limits, START, START + 750 * MS + 1));
}
END_TEST

START_TEST(test_goes_first)
{
    static const struct {
        struct backlog_turn a, b;
        bool first;
    } cases[] = {
        {{false, 1}, {false, 2}, true}, {{false, 2}, {false, 1}, false}, {{false, 1}, {false, 1}, true},
        {{true, 1}, {true, 2}, false},  {{true, 2}, {true, 1}, true},    {{true, 1}, {true, 1}, true},
        {{false, 2}, {true, 1}, true},  {{false, 1}, {true, 2}, true},   {{true, 2}, {false, 1}, false},
        {{true, 1}, {false, 2}, false},
    };
    for (int i = 0; i < COUNT(cases); i++)
        ck_assert_int_eq(backlog_goes_first(&cases[i].a, &cases[i].b), cases[i].first);
}
END_TEST

START_TEST(test_retry_after)
{
    static const struct {
        unsigned waiting, seconds;
    } cases[] = {{0, 1}, {1, 1}, {10, 1}, {11, 2}, {200, 20}, {295, 30}, {100000, 30}};
    begin(0);
    ck_assert_uint_eq(backlog_retry_after(&b, &limits, START), 1);
    ck_assert_uint_eq(backlog_retry_after(&b, &limits, START + 749 * MS), 1);
    ck_assert_uint_eq(backlog_retry_after(&b, &limits, START + 750 * MS), 30); /* nobody is served */
    b.taken += 7;
    for (int i = 0; i < COUNT(cases); i++) {
        b.waiting = cases[i].waiting;
        ck_assert_uint_eq(backlog_retry_after(&b, &limits, START + 700 * MS), cases[i].seconds);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("sched_backlog");
    TCase *c = tcase_create("sched_backlog");
    suite_add_tcase(suite, c);
    tcase_add_test(c, test_limits);
    tcase_add_test(c, test_length);
    tcase_add_test(c, test_none_taken);
    tcase_add_test(c, test_few_taken);
    tcase_add_test(c, test_patience);
    tcase_add_test(c, test_judge_in_order);
    tcase_add_test(c, test_long);
    tcase_add_test(c, test_judge);
    tcase_add_test(c, test_order);
    tcase_add_test(c, test_for_ever);
    tcase_add_test(c, test_short);
    tcase_add_test(c, test_next_look);
    tcase_add_test(c, test_goes_first);
    tcase_add_test(c, test_retry_after);
    return unit_run(suite);
}
