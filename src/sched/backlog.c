#include "config.h"

#include "sched/backlog.h"

struct backlog_limits backlog_limits_of(uint64_t most, unsigned threads) {
    return (struct backlog_limits){
        .most = most,
        .patience = most && most < BACKLOG_PATIENCE_NS ? most : BACKLOG_PATIENCE_NS,
        .threads = threads,
    };
}

static uint64_t age(uint64_t since, uint64_t now) {
    return now > since ? now - since : 0;
}

/* What is known of the present. */

static struct backlog_window window(const struct backlog *b, uint64_t now) {
    return (struct backlog_window){
        .begun = now, .taken_before = b->taken, .ended_before = b->ended, .ran_before = b->ran};
}

/* Jobs that were taken, or as many as have ended, for each of which one can be taken. */
static unsigned count_of_late(const struct backlog *b) {
    unsigned ended = b->ended - b->older.ended_before, taken = b->taken - b->older.taken_before;
    return ended > taken ? ended : taken;
}

/* Nobody has told of those that were quick. */
uint64_t backlog_duration(const struct backlog *b) {
    unsigned count = count_of_late(b);
    uint64_t late = count ? (b->ran - b->older.ran_before) / count : 0;
    return late > b->usual ? late : b->usual;
}

void backlog_begin(struct backlog *b, uint64_t now) {
    b->older = b->newer = window(b, now);
    b->none_since = now;
    b->usual = 0;
}

void backlog_note_end(struct backlog *b, const struct backlog_limits *limits, uint64_t ran) {
    b->ended++;
    b->ran += limits->most && ran > limits->most ? limits->most : ran; /* some take hours */
}

void backlog_look(struct backlog *b, const struct backlog_limits *limits, uint64_t now) {
    if (age(b->newer.begun, now) < limits->patience / 2)
        return;
    if (b->taken != b->newer.taken_before)
        b->none_since = now;
    /* While none has ended, as many as there are threads may run still. */
    if (b->ended != b->older.ended_before || count_of_late(b) > limits->threads)
        b->usual = (b->ran - b->older.ran_before) / count_of_late(b);
    b->older = b->newer;
    b->newer = window(b, now);
}

uint64_t backlog_length(const struct backlog *b, const struct backlog_limits *limits, uint64_t now) {
    unsigned count = count_of_late(b);
    uint64_t each = count ? age(b->older.begun, now) / count : UINT64_MAX;
    if (count >= limits->threads)
        return b->waiting * each;
    uint64_t turn = (count ? backlog_duration(b) : age(b->none_since, now)) / limits->threads;
    return b->waiting ? (b->waiting - 1) * (turn < each ? turn : each) : 0;
}

uint64_t backlog_patience(const struct backlog *b, const struct backlog_limits *limits) {
    uint64_t patience = BACKLOG_PATIENCE_JOBS * backlog_duration(b);
    if (patience < limits->patience)
        return limits->patience;
    return patience > limits->most ? limits->most : patience;
}

/* What to do now. */

bool backlog_is_late(const struct backlog_limits *limits, uint64_t since, uint64_t now) {
    return limits->most && age(since, now) > limits->patience / 2;
}

bool backlog_takes_newest(const struct backlog *b, const struct backlog_limits *limits, uint64_t since, uint64_t now) {
    if (!backlog_is_late(limits, since, now))
        return false;
    uint64_t patience = backlog_patience(b, limits);
    return age(since, now) > patience || backlog_length(b, limits, now) > patience;
}

enum backlog_verdict backlog_judge(const struct backlog *b, const struct backlog_limits *limits, uint64_t since,
                                   uint64_t now) {
    uint64_t a = age(since, now);
    if (!limits->most || a <= limits->patience)
        return BACKLOG_KEEP;
    if (a > limits->most)
        return BACKLOG_REFUSE_OLDEST;
    uint64_t left = backlog_takes_newest(b, limits, since, now) ? limits->most - a : limits->most;
    return backlog_length(b, limits, now) > left ? BACKLOG_REFUSE_ANY : BACKLOG_KEEP;
}

bool backlog_goes_first(const struct backlog_turn *a, const struct backlog_turn *b) {
    if (a->newest != b->newest)
        return b->newest;
    return a->newest ? a->since >= b->since : a->since <= b->since;
}

uint64_t backlog_next_look(const struct backlog_limits *limits, uint64_t since, uint64_t now) {
    if (!limits->most)
        return UINT64_MAX;
    uint64_t due = since + limits->patience;
    return due > now ? due : now + BACKLOG_LOOK_NS;
}

unsigned backlog_retry_after(const struct backlog *b, const struct backlog_limits *limits, uint64_t now) {
    const uint64_t second = 1000000000u;
    uint64_t length = backlog_length(b, limits, now);
    /* That none was taken yet says nothing so early. */
    if (!count_of_late(b))
        return age(b->older.begun, now) < limits->patience / 2 ? 1 : BACKLOG_RETRY_MOST;
    if (length >= BACKLOG_RETRY_MOST * second)
        return BACKLOG_RETRY_MOST;
    return length ? (unsigned)((length + second - 1) / second) : 1;
}
