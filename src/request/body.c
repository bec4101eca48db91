#include "config.h"

#include "request/body.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { SPOOL_READ_MAX = 262144 /* bytes that are read from the file at a time */ };

void body_init(struct body *b) {
    *b = (struct body){.spool = -1, .expected = -1};
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->changed, NULL);
}

static void spool_close(struct body *b) {
    if (b->spool >= 0)
        close(b->spool);
    b->spool = -1;
    b->spool_start = b->spool_end = 0;
}

void body_fini(struct body *b) {
    spool_close(b);
    buf_fini(&b->memory);
    pthread_cond_destroy(&b->changed);
    pthread_mutex_destroy(&b->lock);
}

void body_begin(struct body *b, int64_t expected) {
    b->expected = expected;
    b->received = 0;
    b->error = 0;
    b->complete = expected == 0;
}

/* Memory for bodies of some length. */

void body_spares_fini(struct body_spares *s) {
    while (s->count)
        buf_fini(&s->memory[--s->count]);
}

static void spare_put(struct body_spares *s, struct buf *memory) {
    if (!s || s->count == BODY_SPARES_MAX || memory->size > BODY_RESERVE_MAX) {
        buf_fini(memory);
        return;
    }
    s->memory[s->count++] = (struct buf){.data = memory->data, .size = memory->size};
    *memory = (struct buf){0};
}

static void spare_take(struct body_spares *s, struct buf *memory) {
    struct buf spare = s->memory[--s->count];
    spare.end = buf_len(memory);
    if (spare.end)
        memcpy(spare.data, buf_head(memory), spare.end);
    buf_fini(memory);
    *memory = spare;
}

void body_reset(struct body *b, struct body_spares *spares) {
    spool_close(b);
    if (b->memory.size > BODY_KEEP_BYTES)
        spare_put(spares, &b->memory);
    b->memory.start = b->memory.end = 0;
}

static void finish(struct body *b, int error) {
    b->complete = true;
    b->error = error;
    if (b->readers)
        pthread_cond_broadcast(&b->changed);
}

/* O_TMPFILE makes a file that never had a name; file systems without it get one that loses its name at once. */
static int spool_open(const char *dir) {
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);
    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT && errno != EINVAL))
        return fd;
    char path[4096];
    if ((size_t)snprintf(path, sizeof path, "%s/wsgi-fcgi-body-XXXXXX", dir) >= sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        unlink(path);
    return fd;
}

static int spool_write(struct body *b, const char *dir, const char *data, size_t len) {
    if (b->spool < 0 && (b->spool = spool_open(dir)) < 0)
        return -1;
    while (len) {
        ssize_t n = pwrite(b->spool, data, len, b->spool_end);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        data += n;
        len -= (size_t)n;
        b->spool_end += n;
    }
    return 0;
}

/* Into memory, which grows once for what is announced, and by doubling without that. The bound is for peers that announce
 * much and send little; what they do not send, the system does not back with memory either. */
static int memory_append(struct body *b, const struct body_limits *limits, const char *data, size_t len) {
    struct buf *memory = &b->memory;
    uint64_t announced = b->expected > 0 ? (uint64_t)b->expected - b->received : 0;
    size_t most = limits->memory < BODY_RESERVE_MAX ? limits->memory : BODY_RESERVE_MAX;
    size_t room = announced < most ? (size_t)announced : most;
    if (room < len)
        room = len;
    if (memory->size <= BODY_KEEP_BYTES && buf_len(memory) + room > BODY_KEEP_BYTES && limits->spares &&
        limits->spares->count)
        spare_take(limits->spares, memory);
    /* Without so much memory the bytes that are here may still find room. */
    if (!buf_len(memory))
        (void)buf_reserve(memory, room);
    return buf_append(memory, data, len);
}

static enum body_status append_locked(struct body *b, const struct body_limits *limits, const char *data, size_t len) {
    if (b->complete)
        return BODY_OK;
    if (b->expected >= 0 && len > (uint64_t)b->expected - b->received)
        len = (size_t)((uint64_t)b->expected - b->received);
    if (limits->total && len > limits->total - b->received) {
        finish(b, EFBIG);
        return BODY_TOO_LARGE;
    }
    bool spooled = b->spool_end > b->spool_start;
    int failed = spooled || buf_len(&b->memory) + len > limits->memory ? spool_write(b, limits->spool_dir, data, len)
                                                                       : memory_append(b, limits, data, len);
    if (failed) {
        finish(b, errno);
        return BODY_FAILED;
    }
    b->received += len;
    if (b->expected >= 0 && b->received == (uint64_t)b->expected)
        finish(b, 0);
    else if (b->readers)
        pthread_cond_broadcast(&b->changed);
    return BODY_OK;
}

enum body_status body_append(struct body *b, const struct body_limits *limits, const void *data, size_t len) {
    pthread_mutex_lock(&b->lock);
    enum body_status status = append_locked(b, limits, data, len);
    pthread_mutex_unlock(&b->lock);
    return status;
}

void body_end(struct body *b) {
    pthread_mutex_lock(&b->lock);
    if (!b->complete)
        finish(b, body_short(b) ? ECONNABORTED : 0);
    pthread_mutex_unlock(&b->lock);
}

void body_abort(struct body *b, int error) {
    pthread_mutex_lock(&b->lock);
    buf_reset(&b->memory, 0);
    spool_close(b);
    finish(b, error);
    pthread_mutex_unlock(&b->lock);
}

void body_begin_empty(struct body *b) {
    pthread_mutex_lock(&b->lock);
    b->expected = 0;
    finish(b, 0);
    pthread_mutex_unlock(&b->lock);
}

void body_cut(struct body *b, int error) {
    pthread_mutex_lock(&b->lock);
    if (!b->complete)
        finish(b, error);
    pthread_mutex_unlock(&b->lock);
}

bool body_complete(struct body *b) {
    pthread_mutex_lock(&b->lock);
    bool complete = b->complete;
    pthread_mutex_unlock(&b->lock);
    return complete;
}

bool body_whole(struct body *b) {
    pthread_mutex_lock(&b->lock);
    bool whole = b->complete && !b->error;
    pthread_mutex_unlock(&b->lock);
    return whole;
}

int body_error(struct body *b) {
    pthread_mutex_lock(&b->lock);
    int error = b->error;
    pthread_mutex_unlock(&b->lock);
    return error;
}

bool body_short(const struct body *b) {
    return b->expected > 0 && b->received < (uint64_t)b->expected;
}

static ssize_t read_locked(struct body *b, void *out, size_t len) {
    size_t n = buf_len(&b->memory);
    if (!len)
        return 0;
    if (n) {
        n = n < len ? n : len;
        memcpy(out, buf_head(&b->memory), n);
        buf_consume(&b->memory, n);
        return (ssize_t)n;
    }
    if (b->spool_end > b->spool_start) {
        /* The loop's owner may have to wait for the lock. */
        len = len < SPOOL_READ_MAX ? len : SPOOL_READ_MAX;
        off_t unread = b->spool_end - b->spool_start;
        ssize_t got;
        do
            got = pread(b->spool, out, unread < (off_t)len ? (size_t)unread : len, b->spool_start);
        while (got < 0 && errno == EINTR);
        if (got <= 0) {
            errno = got ? errno : EIO;
            return -1;
        }
        b->spool_start += got;
        /* The reader has caught up: give the disk space back, and go on in memory. */
        if (b->spool_start == b->spool_end) {
            b->spool_start = b->spool_end = 0;
            if (ftruncate(b->spool, 0))
                spool_close(b);
        }
        return got;
    }
    if (b->complete && !b->error)
        return 0;
    errno = b->complete ? b->error : EAGAIN;
    return -1;
}

ssize_t body_read(struct body *b, void *out, size_t len) {
    pthread_mutex_lock(&b->lock);
    ssize_t n = read_locked(b, out, len);
    pthread_mutex_unlock(&b->lock);
    return n;
}

void body_wait(struct body *b) {
    pthread_mutex_lock(&b->lock);
    b->readers++;
    while (!b->complete && !buf_len(&b->memory) && b->spool_end == b->spool_start)
        pthread_cond_wait(&b->changed, &b->lock);
    b->readers--;
    pthread_mutex_unlock(&b->lock);
}
