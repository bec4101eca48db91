#include "config.h"

#include "request/body.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    SPOOL_READ_MAX = 262144, /* bytes that are read from the file at a time */
    RESERVE_MAX = 131072     /* memory for bytes that are only announced */
};

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

void body_reset(struct body *b, size_t keep) {
    spool_close(b);
    buf_reset(&b->memory, keep);
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

/* Into memory, which grows once for what is announced: only up to a bound, since nothing else makes that true. */
static int memory_append(struct body *b, size_t limit, const char *data, size_t len) {
    uint64_t announced = b->expected > 0 ? (uint64_t)b->expected - b->received : 0;
    size_t most = limit < RESERVE_MAX ? limit : RESERVE_MAX, room = announced < most ? (size_t)announced : most;
    if (room > len && !buf_len(&b->memory) && buf_reserve(&b->memory, room))
        return -1;
    return buf_append(&b->memory, data, len);
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
                                                                       : memory_append(b, limits->memory, data, len);
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
