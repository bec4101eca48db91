/* A growable byte buffer with a read position.
 *
 * Ownership: the bytes belong to the buffer; pointers into it are valid until the next call that may grow or free it.
 * Threads: one at a time for each buffer; nothing here locks.
 */
#ifndef WSGI_FCGI_BASE_BUF_H
#define WSGI_FCGI_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct buf {
    char *data;   /* NULL while nothing was ever stored */
    size_t start; /* offset of the first byte that was not consumed yet */
    size_t end;   /* offset behind the last byte */
    size_t size;  /* bytes allocated */
};

/* Frees the memory and makes the buffer empty again; it may be used afterwards. */
void buf_fini(struct buf *b);

/* Makes room for `n` more bytes behind `end`, moving unread bytes to the front or growing by doubling.
 * Returns 0, or -1 with errno ENOMEM and the buffer unchanged. */
int buf_reserve_slow(struct buf *b, size_t n);

/* Empties the buffer and keeps its memory, unless more than `keep` bytes are allocated: then they are freed. */
void buf_reset(struct buf *b, size_t keep);

static inline size_t buf_len(const struct buf *b) {
    return b->end - b->start;
}

/* Where the unread bytes begin, and where the next bytes go. NULL until something is stored, because C does not allow
 * adding to NULL, not even 0. */
static inline char *buf_head(const struct buf *b) {
    return b->data ? b->data + b->start : NULL;
}

static inline char *buf_tail(const struct buf *b) {
    return b->data ? b->data + b->end : NULL;
}

static inline int buf_reserve(struct buf *b, size_t n) {
    return b->size - b->end >= n ? 0 : buf_reserve_slow(b, n);
}

/* Appends `n` bytes. Returns 0, or -1 with errno ENOMEM and the buffer unchanged. */
static inline int buf_append(struct buf *b, const void *p, size_t n) {
    if (buf_reserve(b, n))
        return -1;
    if (n)
        memcpy(b->data + b->end, p, n);
    b->end += n;
    return 0;
}

/* Drops `n` bytes (at most buf_len) from the front. */
static inline void buf_consume(struct buf *b, size_t n) {
    b->start += n;
    if (b->start == b->end)
        b->start = b->end = 0;
}

#endif
