/* Finds what somebody may have meant who has typed something else.
 *
 * Threads: any. No allocation.
 */
#ifndef WSGI_FCGI_CLI_NEAREST_H
#define WSGI_FCGI_CLI_NEAREST_H

#include <stddef.h>

/* Returns the word that is nearest to `text`, letter case aside; NULL if none is near. Ties: the first. */
const char *nearest_word(const char *text, const char *const *words, size_t count);

/* The same among the names of all options that are not left out: `except` is a set of enum option_places. `name` has
 * `len` bytes and no dashes in front; underscores are as good as dashes. */
const char *nearest_option(const char *name, size_t len, unsigned except);

#endif
