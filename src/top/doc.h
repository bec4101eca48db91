/* The document that a status page is, as JSON of version 1. What is missing, or of another type than expected, is as if
 * it were unknown: a server of another version may have less, or more.
 *
 * Threads: one at a time. References are borrowed from the document.
 */
#ifndef WSGI_FCGI_TOP_DOC_H
#define WSGI_FCGI_TOP_DOC_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum { DOC_VERSION = 1 };

/* Returns a new reference; or NULL, and what is wrong is in `error`. */
json_t *doc_read(const char *text, size_t len, char *error, size_t size);

/* Below: `value` may be NULL, or anything. */

/* A member of an object, or NULL. */
json_t *doc_at(const json_t *value, const char *key);
/* A number; `otherwise`: there is none. */
double doc_number(const json_t *value, const char *key, double otherwise);
/* The same without what is behind the point, and not beyond 10^15. */
long long doc_integer(const json_t *value, const char *key, long long otherwise);
/* A text; "": there is none. */
const char *doc_text(const json_t *value, const char *key);
bool doc_true(const json_t *value, const char *key);
/* The sum of all numbers in it, whatever they are counted by. */
double doc_sum(const json_t *value);

#endif
