/* Rate limits for log lines, so that peers and applications cannot fill the log.
 *
 * struct log_limit is for one kind of line, whoever causes it: one line a second.
 *
 * struct log_table is for lines that many peers cause: one line a second for each topic and peer, so that no peer hides
 * what the log has to say about another, and LOG_TABLE_LINES a second for each topic, so that a thousand peers do not
 * fill the log. The table has a fixed size and a keyed hash. When the set of a new peer is full, the peer in it with
 * the oldest line is forgotten; its next line may come too early, but still counts for its topic.
 *
 * Lines left out are counted, and a later line tells how many.
 *
 * struct log_state is for a state that lasts, rather than for events: one line in LOG_STATE_SECONDS, and nothing is
 * counted.
 *
 * Threads: struct log_limit: any. struct log_table with its topics, struct log_state: one at a time.
 */
#ifndef WSGI_FCGI_BASE_LOG_LIMIT_H
#define WSGI_FCGI_BASE_LOG_LIMIT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zeroed at first. */
struct log_limit {
    _Atomic uint64_t reported_at; /* clock_ns of the last line; 0: none yet */
    atomic_ulong left_out;        /* events without a line since then */
};

enum { LOG_MORE_SIZE = 64 };

/* Whether a line about this is due; if not, counts the event. `more` is the text to end the line with: "", or " (and N
 * more since the last line about this)". */
bool log_limit_due(struct log_limit *limit, char more[static LOG_MORE_SIZE]);

enum {
    LOG_TABLE_LINES = 10, /* a second about a topic, whoever causes them */
    LOG_TABLE_SETS = 64,
    LOG_TABLE_WAYS = 4, /* peers in a set; another one that hashes to it replaces one of them */
    LOG_TABLE_MORE_SIZE = 128
};

/* A topic: what lines are about, apart from the peer. Zeroed at first; must stay in place as long as the table is
 * used. */
struct log_topic {
    uint64_t since;         /* clock_ns: when the second began... */
    unsigned lines;         /* ...in which so many were written */
    unsigned long left_out; /* since the last line, of peers that are not in the table */
};

/* Zeroed at first, but for `seed`. */
struct log_table {
    uint64_t seed; /* of hash_seed */
    struct log_table_place {
        struct log_topic *topic; /* NULL: none yet */
        uint64_t key;
        uint64_t at; /* clock_ns of the last line */
        unsigned long left_out;
    } places[LOG_TABLE_SETS][LOG_TABLE_WAYS];
};

/* Whether a line is due about this topic and this peer, whom the `n` bytes at `who` identify; if not, counts the event.
 * `more` is the text to add to the line: "", " (and N more since the last line about this)", " (and N of others)", or
 * both in one: " (and N more since the last line about this, and N of others)". `now`: clock_ns. */
bool log_table_due(struct log_table *table, struct log_topic *topic, const void *who, size_t n, uint64_t now,
                   char more[static LOG_TABLE_MORE_SIZE]);

enum { LOG_STATE_SECONDS = 10 };

/* Zeroed at first. */
struct log_state {
    double logged_at; /* seconds of the monotonic clock; 0: not yet */
};

/* Tells whether a line about this state is due. `now`: in seconds, on the same clock each time. */
bool log_state_is_due(const struct log_state *state, double now);

/* Such a line was written. */
void log_state_logged(struct log_state *state, double now);

/* Both in one, for a line that is always written when it is due. */
bool log_state_due(struct log_state *state, double now);

#endif
