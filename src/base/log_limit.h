/* Which of the lines that peers can cause at will are written, when many peers do: one a second about the same topic and
 * the same peer, so that no peer hides what the log has to say of another, and LOG_TABLE_LINES a second about the same
 * topic, so that a thousand peers do not fill the log. What is left out is counted, and told by a later line.
 *
 * The table has a fixed size and a keyed hash: a peer that was not heard of for longest is forgotten for another one. It
 * may have a line too early then, which counts as one of its topic all the same.
 *
 * Threads: one at a time has a table and the topics that are used with it.
 */
#ifndef WSGI_FCGI_BASE_LOG_LIMIT_H
#define WSGI_FCGI_BASE_LOG_LIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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

#endif
