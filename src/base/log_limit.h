/* Keeps what others can cause at will from filling the log.
 *
 * struct log_limit is for one thing, whoever causes it: one line a second.
 *
 * struct log_table is for what many peers cause: one line a second about the same topic and the same peer, so that no peer
 * hides what the log has to say of another, and LOG_TABLE_LINES a second about the same topic, so that a thousand peers do
 * not fill the log. It has a fixed size and a keyed hash: a peer that was not heard of for longest is forgotten for another
 * one. It may have a line too early then, which counts as one of its topic all the same.
 *
 * What is left out is counted, and told by a later line.
 *
 * struct log_state is for a state that goes on, rather than for events: one line in LOG_STATE_SECONDS, and nothing is
 * counted.
 *
 * Threads: any has a limit; one at a time has a table and the topics that are used with it, or a state.
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

/* Tells whether a line about this is due, and takes note of the event when it is not. `more` is then the text to end
 * the line with: "", or " (and N more since the last line about this)". */
bool log_limit_due(struct log_limit *limit, char more[static LOG_MORE_SIZE]);

enum {
    LOG_TABLE_LINES = 10, /* a second about a topic, whoever causes them */
    LOG_TABLE_SETS = 64,
    LOG_TABLE_WAYS = 4, /* peers of which one is forgotten when another falls on the same set */
    LOG_TABLE_MORE_SIZE = 128
};

/* What lines are about, beside the peer. Zeroed at first; stays where it is as long as the table is used. */
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

/* Tells whether a line about this topic and the peer whose identity is the `n` bytes at `who` is due, and takes note of the
 * event when it is not. `more` is then a part of the line: "", or " (and N more since the last line about this)", or "...,
 * and N of others)". `now`: clock_ns. */
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

/* Both in one: a line that is due is written for sure. */
bool log_state_due(struct log_state *state, double now);

#endif
