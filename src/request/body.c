#include "config.h"

#include "request/body.h"

#include "base/descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SPOOL_READ_MAX = 262144 /* bytes that are read from the file at a time */ };

void body_init(struct body *b) {
    *b = (struct body){.spool = -1, .expected = -1};
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->changed, NULL);
}

/* Freeing the space of a large file takes time, and others wait while a descriptor is closed (base/descriptors.h), so
 * the file is emptied before. In a child, or if the application has closed it, the number may belong to another file,
 * which has a name. */
static void spool_empty(const struct body *b) {
    struct stat st;
    if (b->spool_end && descriptors_is_own(b->spool) && !fstat(b->spool, &st) && !st.st_nlink) {
        int failed = ftruncate(b->spool, 0);
        (void)failed; /* then it is freed when it is closed */
    }
}

static inline void spool_close(struct body *b) {
    if (b->spool >= 0) {
        spool_empty(b);
        descriptors_close(b->spool);
    }
    b->spool = -1;
    b->spool_start = b->spool_end = 0;
}

void body_fini(struct body *b) {
    spool_close(b);
    buf_fini(&b->memory);
    buf_fini(&b->held);
    pthread_cond_destroy(&b->changed);
    pthread_mutex_destroy(&b->lock);
}

void body_begin(struct body *b, int64_t expected) {
    b->expected = expected;
    b->received = b->taken = b->spooled = 0;
    b->error = b->held_error = 0;
    b->has_reader = b->unspooled = b->abandoned = false;
    b->complete = expected == 0;
}

/* Memory for bodies of some length. Worth: without it 1.7 to 2.3 times the CPU of an upload of 100 KB that is echoed. */

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
    b->received = b->spooled = 0;
    if (b->held.data)
        buf_fini(&b->held);
}

static void finish(struct body *b, int error) {
    b->complete = true;
    b->error = error;
    if (b->readers)
        pthread_cond_broadcast(&b->changed);
}

/* O_TMPFILE makes a file that never had a name. On file systems without it the file loses its name at once. */
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
    if (b->spool < 0) {
        descriptors_lock();
        b->spool = descriptors_adopt(spool_open(dir));
        descriptors_unlock();
        if (b->spool < 0)
            return -1;
    }
    while (len) {
        ssize_t n = pwrite(b->spool, data, len, b->spool_end);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        data += n;
        len -= (size_t)n;
        b->spool_end += n;
        b->spooled += (uint64_t)n;
    }
    return 0;
}

/* Stores bytes in memory. Memory grows once to what is announced, or by doubling. The bound is for peers that announce
 * much and send little; besides, the system does not back memory that is never written. */
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
    /* Even if there is not that much memory, the bytes at hand may still fit. */
    if (!buf_len(memory))
        (void)buf_reserve(memory, room);
    return buf_append(memory, data, len);
}

/* Stores bytes in the file, or holds them behind it if the file cannot take them all. Only the reader moves what is
 * held; until then everything is put behind it. */
static int file_append(struct body *b, const struct body_limits *limits, const char *data, size_t len) {
    if (!buf_len(&b->held)) {
        off_t before = b->spool_end;
        if (!spool_write(b, limits->spool_dir, data, len))
            return 0;
        if (!b->has_reader)
            return -1;
        b->held_error = errno;
        data += b->spool_end - before;
        len -= (size_t)(b->spool_end - before);
    }
    return buf_append(&b->held, data, len);
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
    bool behind = b->spool_end > b->spool_start || buf_len(&b->held);
    int failed = behind || buf_len(&b->memory) + len > limits->memory ? file_append(b, limits, data, len)
                                                                      : memory_append(b, limits, data, len);
    if (failed) {
        b->unspooled = true;
        finish(b, errno);
        return BODY_FAILED;
    }
    b->received += len;
    if (b->expected >= 0 && b->received == (uint64_t)b->expected)
        finish(b, 0);
    else if (b->readers)
        pthread_cond_broadcast(&b->changed);
    return buf_len(&b->held) && !b->complete ? BODY_HELD : BODY_OK;
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

static void discard_locked(struct body *b, int error) {
    buf_reset(&b->memory, 0);
    buf_reset(&b->held, 0);
    spool_close(b);
    finish(b, error);
}

void body_abort(struct body *b, int error) {
    pthread_mutex_lock(&b->lock);
    discard_locked(b, error);
    pthread_mutex_unlock(&b->lock);
}

void body_abandon(struct body *b) {
    pthread_mutex_lock(&b->lock);
    b->abandoned = true;
    pthread_cond_broadcast(&b->changed);
    pthread_mutex_unlock(&b->lock);
}

bool body_is_held(struct body *b, uint64_t *taken) {
    pthread_mutex_lock(&b->lock);
    bool held = buf_len(&b->held) > 0;
    *taken = b->taken;
    pthread_mutex_unlock(&b->lock);
    return held;
}

void body_give_up_held(struct body *b) {
    pthread_mutex_lock(&b->lock);
    b->unspooled = true;
    discard_locked(b, b->held_error);
    pthread_mutex_unlock(&b->lock);
}

bool body_unspooled(struct body *b) {
    pthread_mutex_lock(&b->lock);
    bool unspooled = b->unspooled;
    pthread_mutex_unlock(&b->lock);
    return unspooled;
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

/* The reader has reached what is held: that becomes what is kept in memory, and the file is empty. */
static bool held_to_memory(struct body *b) {
    if (!buf_len(&b->held) || buf_len(&b->memory) || b->spool_end > b->spool_start)
        return false;
    buf_fini(&b->memory);
    b->memory = b->held;
    b->held = (struct buf){0};
    return true;
}

static ssize_t read_locked(struct body *b, void *out, size_t len) {
    size_t n = buf_len(&b->memory);
    if (!len)
        return 0;
    if (n) {
        n = n < len ? n : len;
        memcpy(out, buf_head(&b->memory), n);
        buf_consume(&b->memory, n);
        b->taken += n;
        return (ssize_t)n;
    }
    if (b->spool_end > b->spool_start) {
        /* The owner of the loop may have to wait for the lock. */
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
        b->taken += (uint64_t)got;
        /* The reader has caught up: frees the disk space, and continues in memory. */
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
    bool room = !b->abandoned && held_to_memory(b);
    errno = ECONNRESET;
    ssize_t n = b->abandoned ? -1 : read_locked(b, out, len);
    int error = errno;
    pthread_mutex_unlock(&b->lock);
    if (room && b->room)
        b->room(b);
    errno = error;
    return n;
}

void body_wait(struct body *b) {
    pthread_mutex_lock(&b->lock);
    b->readers++;
    while (!b->complete && !b->abandoned && !buf_len(&b->memory) && b->spool_end == b->spool_start &&
           !buf_len(&b->held))
        pthread_cond_wait(&b->changed, &b->lock);
    b->readers--;
    pthread_mutex_unlock(&b->lock);
}
