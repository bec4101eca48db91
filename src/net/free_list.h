/* Keeps used objects of one kind for reuse. All zeros: empty.
 *
 * Threads: as for the objects.
 */
#ifndef WSGI_FCGI_NET_FREE_LIST_H
#define WSGI_FCGI_NET_FREE_LIST_H

#include <stdbool.h>
#include <stddef.h>

/* Worth: without it 7 to 15 % more instructions, and 3 to 11 % more CPU. */
enum { FREE_LIST_MAX = 64 };

struct free_list {
    unsigned count;
    void *items[FREE_LIST_MAX]; /* the last one is used first */
};

/* Takes an object out. Returns NULL if there is none. */
static inline void *free_list_take(struct free_list *p) {
    return p->count ? p->items[--p->count] : NULL;
}

/* Puts an object in. Returns false if the pool is full; the caller frees the object then. */
static inline bool free_list_put(struct free_list *p, void *item) {
    if (p->count == FREE_LIST_MAX)
        return false;
    p->items[p->count++] = item;
    return true;
}

#endif
