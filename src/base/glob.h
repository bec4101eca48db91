/* Patterns of file names, as shells have them, compared byte by byte: fnmatch(3) follows the locale.
 *
 *     ?        one character, as UTF-8 has it
 *     *        any number of them, also none
 *     [abc]    one of these ASCII characters; ranges as in [a-z]; [!abc]: any other one
 *     **       as a whole part of the path: any number of directories, also none
 *
 * Nothing of that matches a slash, nor a dot at the beginning of a name, which has to be written.
 *
 * Threads: any.
 */
#ifndef WSGI_FCGI_BASE_GLOB_H
#define WSGI_FCGI_BASE_GLOB_H

#include <stdbool.h>
#include <stddef.h>

/* Whether the whole of `path` matches. The time it takes grows with the product of both lengths at most, whatever is in
 * them, times the number of ** in the pattern. */
bool glob_match(const char *pattern, const char *path);

/* Whether something below the directory `path`, which has no slash at its end, may match. */
bool glob_may_match_below(const char *pattern, const char *path);

/* The length of the directory in front of the first part that has something special in it, without a slash at its end;
 * 0 for the root, and when the pattern has no directory in front. Everything that matches is below it. */
size_t glob_base(const char *pattern);

/* What is wrong with a pattern; NULL: nothing. */
const char *glob_complain(const char *pattern);

#endif
