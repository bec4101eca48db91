/* Options of other servers (gunicorn, uWSGI and others) that a user may type out of habit, and what to type here
 * instead.
 *
 * Threads: any. No allocation.
 */
#ifndef WSGI_FCGI_CLI_OTHER_SERVERS_H
#define WSGI_FCGI_CLI_OTHER_SERVERS_H

#include <stddef.h>

struct other_servers_row {
    const char *words; /* as typed, with dashes, separated by single spaces; none is an option here */
    const char *whose; /* "gunicorn's" */
    const char *here;  /* the text that follows "here" */
};

/* The whole table, for a test. */
const struct other_servers_row *other_servers_rows(size_t *count);

/* Returns the row that has the word (`len` bytes, with its dashes, without "=value"), or NULL. */
const struct other_servers_row *other_servers_find(const char *word, size_t len);

#endif
