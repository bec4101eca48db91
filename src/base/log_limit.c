#include "config.h"

#include "base/log_limit.h"

#include "base/clock.h"
#include "base/hash.h"

#include <stdio.h>

static const uint64_t SECOND = 1000000000;

bool log_limit_due(struct log_limit *limit, char more[static LOG_MORE_SIZE]) {
    uint64_t now = clock_ns(), last = atomic_load(&limit->reported_at);
    if ((last && now - last < SECOND) || !atomic_compare_exchange_strong(&limit->reported_at, &last, now)) {
        atomic_fetch_add(&limit->left_out, 1);
        return false;
    }
    unsigned long left_out = atomic_exchange(&limit->left_out, 0);
    more[0] = '\0';
    if (left_out)
        snprintf(more, LOG_MORE_SIZE, " (and %lu more since the last line about this)", left_out);
    return true;
}

/* The place of the peer, or the one to replace by it. */
static struct log_table_place *find(struct log_table *table, const struct log_topic *topic, uint64_t key) {
    struct log_table_place *set = table->places[key % LOG_TABLE_SETS], *oldest = set;
    for (struct log_table_place *p = set; p < set + LOG_TABLE_WAYS; p++) {
        if (p->topic == topic && p->key == key)
            return p;
        if (p->at < oldest->at)
            oldest = p;
    }
    return oldest;
}

static bool topic_is_full(struct log_topic *topic, uint64_t now) {
    if (now - topic->since >= SECOND) {
        topic->since = now;
        topic->lines = 0;
    }
    return topic->lines >= LOG_TABLE_LINES;
}

static void put_more(char more[static LOG_TABLE_MORE_SIZE], unsigned long own, unsigned long others) {
    more[0] = '\0';
    if (own && others)
        snprintf(more, LOG_TABLE_MORE_SIZE, " (and %lu more since the last line about this, and %lu of others)", own,
                 others);
    else if (own)
        snprintf(more, LOG_TABLE_MORE_SIZE, " (and %lu more since the last line about this)", own);
    else if (others)
        snprintf(more, LOG_TABLE_MORE_SIZE, " (and %lu of others)", others);
}

bool log_table_due(struct log_table *table, struct log_topic *topic, const void *who, size_t n, uint64_t now,
                   char more[static LOG_TABLE_MORE_SIZE]) {
    uint64_t key = hash_bytes(hash_fold(table->seed, (uint64_t)(uintptr_t)topic), who, n);
    struct log_table_place *place = find(table, topic, key);
    bool known = place->topic == topic && place->key == key;
    if (known && now - place->at < SECOND) {
        place->left_out++;
        return false;
    }
    if (topic_is_full(topic, now)) {
        if (known)
            place->left_out++;
        else
            topic->left_out++;
        return false;
    }
    topic->lines++;
    if (!known && place->topic)
        place->topic->left_out += place->left_out;
    put_more(more, known ? place->left_out : 0, topic->left_out);
    topic->left_out = 0;
    *place = (struct log_table_place){.topic = topic, .key = key, .at = now};
    return true;
}

bool log_state_is_due(const struct log_state *state, double now) {
    return !(state->logged_at > 0 && state->logged_at + LOG_STATE_SECONDS > now);
}

void log_state_logged(struct log_state *state, double now) {
    state->logged_at = now;
}

bool log_state_due(struct log_state *state, double now) {
    if (!log_state_is_due(state, now))
        return false;
    log_state_logged(state, now);
    return true;
}
