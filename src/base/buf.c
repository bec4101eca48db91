#include "config.h"

#include "base/buf.h"

#include <errno.h>
#include <stdlib.h>

enum { BUF_MIN = 512 };

void buf_fini(struct buf *b) {
    free(b->data);
    *b = (struct buf){0};
}

int buf_reserve_slow(struct buf *b, size_t n) {
    size_t len = buf_len(b);
    if (n > SIZE_MAX / 2 - len) {
        errno = ENOMEM;
        return -1;
    }
    /* Moving pays only when it frees at least half of the memory; else a full buffer would move for every byte. */
    if (b->start >= b->size / 2 && b->size - len >= n && b->size) {
        memmove(b->data, b->data + b->start, len);
        b->start = 0;
        b->end = len;
        return 0;
    }
    size_t size = b->size < BUF_MIN ? BUF_MIN : 2 * b->size;
    while (size - len < n)
        size *= 2;
    char *data = malloc(size);
    if (!data)
        return -1;
    if (len)
        memcpy(data, b->data + b->start, len);
    free(b->data);
    *b = (struct buf){.data = data, .end = len, .size = size};
    return 0;
}

void buf_reset(struct buf *b, size_t keep) {
    if (b->size > keep)
        buf_fini(b);
    b->start = b->end = 0;
}
