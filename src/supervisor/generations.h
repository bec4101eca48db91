/* The workers of the newest generation, and those of older ones whose places they take (supervisor/reload.h).
 *
 * Threads: the main thread.
 */
#ifndef WSGI_FCGI_SUPERVISOR_GENERATIONS_H
#define WSGI_FCGI_SUPERVISOR_GENERATIONS_H

#include <stdbool.h>
#include <stdint.h>

struct supervisor;
struct worker;

/* The worker of this number, of the newest generation, that serves or is to serve. NULL: there is none. */
struct worker *generations_find_new(struct supervisor *s, unsigned number);

/* Whether there is any process of an older generation. */
bool generations_has_old(const struct supervisor *s);

/* Tells all of them to retire that were not told to end yet. */
void generations_retire_old(struct supervisor *s, uint64_t now);

/* One of those that retire which may still accept connections. NULL: none does. */
const struct worker *generations_find_accepting(const struct supervisor *s);

#endif
