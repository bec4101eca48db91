/* Keeps used objects of one kind for reuse. All zeros: empty.
 *
 * Threads: as for the objects.
 */
#ifndef WSGI_FCGI_NET_POOL_H
#define WSGI_FCGI_NET_POOL_H

#include <stdbool.h>
#include <stddef.h>

/* Worth: without it 7 to 15 % more instructions, and 3 to 11 % more CPU. */
enum { POOL_MAX = 64 };

struct pool {
    unsigned count;
    void *items[POOL_MAX]; /* the last one is used first */
};

/* Takes an object out. Returns NULL if there is none. */
static inline void *pool_take(struct pool *p) {
    return p->count ? p->items[--p->count] : NULL;
}

/* Puts an object in. Returns false if the pool is full; the caller frees the object then. */
static inline bool pool_put(struct pool *p, void *item) {
    if (p->count == POOL_MAX)
        return false;
    p->items[p->count++] = item;
    return true;
}

#endif
