#include "config.h"

#include "python/wsgi/file_sending.h"

#include "base/pread.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <sys/vfs.h>

struct file_sending {
    struct request *r;
    struct file_range range; /* what is left */
    bool unread;             /* the next block is not in `block`, but left to the system */
    bool disk_only;          /* waits_for_disk_only of it, if more than a block is */
    char block[REQUEST_FILE_BLOCK];
};

/* Reads the next block. Returns its length, less than asked for only at the end of the file, or -1 with errno. */
static ssize_t read_block(struct file_sending *f) {
    off_t left = f->range.end - f->range.start;
    size_t want = left < REQUEST_FILE_BLOCK ? (size_t)left : REQUEST_FILE_BLOCK;
    struct iovec cached = {f->block, want};
    /* What the system has in memory comes at once; a disk is waited for without the baton. */
    ssize_t n = preadv2(f->range.fd, &cached, 1, f->range.start, RWF_NOWAIT);
    size_t have = n > 0 ? (size_t)n : 0;
    if (n < 0 && errno == EAGAIN)
        (void)sched_will_block(f->r->thread);
    int error;
    have += pread_full(f->range.fd, f->block + have, want - have, f->range.start + (off_t)have, &error);
    if (error) {
        errno = error;
        return -1;
    }
    f->range.start += (off_t)have;
    return (ssize_t)have;
}

/* Whether the file is on a file system that cannot tell whether it would have to wait, but never waits for more than a
 * disk: what others wait for (a server, a process) may never come. */
static bool waits_for_disk_only(int fd) {
    struct statfs s;
    return !fstatfs(fd, &s) && (s.f_type == TMPFS_MAGIC || s.f_type == OVERLAYFS_SUPER_MAGIC);
}

/* Whether a byte of the file is in memory now. */
static bool is_in_memory(const struct file_sending *f, off_t at) {
    char byte;
    struct iovec v = {&byte, 1};
    ssize_t n = preadv2(f->range.fd, &v, 1, at, RWF_NOWAIT);
    if (n < 0 && errno == EOPNOTSUPP && f->disk_only) {
        (void)sched_will_block(f->r->thread);
        n = pread(f->range.fd, &byte, 1, at);
    }
    return n > 0;
}

/* Whether the next block may be sent unread. A file that is truncated meanwhile leaves zeros in it, so that it must not
 * be the last one of the announced length: what comes short is then seen. And it must be in memory: the connection is
 * locked while it is sent. Its two ends stand for the rest; where that is wrong a disk is waited for, with the lock. */
static bool may_go_unread(const struct wsgi_call *call, const struct file_sending *f) {
    off_t first = f->range.start, last = first + REQUEST_FILE_BLOCK - 1;
    return call->length_set && last + 1 < f->range.end && is_in_memory(f, last) && is_in_memory(f, first);
}

/* Makes the next block ready. Returns its length, 0 at the end, or -1 with errno. */
static ssize_t next_block(const struct wsgi_call *call, struct file_sending *f) {
    f->unread = may_go_unread(call, f);
    if (f->unread)
        return REQUEST_FILE_BLOCK;
    return f->range.start < f->range.end ? read_block(f) : 0;
}

/* Returns how many bytes of the file were sent, or -1 with errno. */
static ssize_t send_block(struct file_sending *f, ssize_t n) {
    if (!f->unread)
        return request_send(f->r, f->block, (size_t)n) ? -1 : n;
    n = request_send_file(f->r, f->range.fd, f->range.start);
    if (n > 0)
        f->range.start += n;
    return n;
}

/* Sends the block that was read, of `n` bytes, and what is left; stops at the end of the file. Returns 0, or errno when
 * that was not the peer's doing. Without the GIL. */
static int send_blocks(struct wsgi_call *call, struct file_sending *f, ssize_t n, enum call_sent *sent) {
    while (n > 0) {
        ssize_t count = send_block(f, n);
        if (count < 0) {
            if (errno != EPIPE)
                return errno;
            request_close_answer(f->r);
            *sent = CALL_GONE;
            return 0;
        }
        call->sent += (uint64_t)count;
        if (count < n) /* zeros went out behind it: no more, but the reason if there is one */
            return read_block(f) < 0 ? errno : 0;
        n = next_block(call, f);
    }
    return n < 0 ? errno : 0;
}

/* Reads the first block and decides. False, with nothing done, when there is less in the file than its size says (files
 * of the kernel, in /proc and /sys, have no size that means anything): it has to be read to its end to be known. */
static bool start_file(struct wsgi_call *call, struct file_sending *f, off_t size, ssize_t *n) {
    off_t end = f->range.end;
    if (f->range.end > f->range.start + size)
        f->range.end = f->range.start + size;
    off_t left = f->range.end - f->range.start;
    PyThreadState *state = call_enter(call);
    *n = read_block(f);
    call_leave(call, state);
    f->range.end = end;
    return *n == (left < REQUEST_FILE_BLOCK ? left : REQUEST_FILE_BLOCK);
}

static bool send_file(struct wsgi_call *call, struct file_sending *f, enum call_sent *sent) {
    off_t size = f->range.end - f->range.start;
    ssize_t n;
    *sent = CALL_FAILED;
    /* To find out about the file was to call Python, so that another thread may have begun to send. */
    if (!call_may_send(call))
        return true;
    if (call->length_set)
        f->range.end = f->range.start + (off_t)(call->length - call->sent);
    call->sending = true;
    bool known = size && start_file(call, f, size, &n);
    call->sending = false;
    if (!known)
        return false;
    if (call_set_length(call, (uint64_t)size))
        return true;
    if (call->no_body || f->range.start == f->range.end) {
        *sent = call_put(call, f->block, (size_t)n);
        return true;
    }
    *sent = CALL_SENT;
    call->sending = true;
    PyThreadState *state = call_enter(call);
    f->disk_only = f->range.end - f->range.start > REQUEST_FILE_BLOCK && waits_for_disk_only(f->range.fd);
    int error = send_blocks(call, f, n, sent);
    call_leave(call, state);
    call->sending = false;
    if (error) {
        errno = error;
        PyErr_SetFromErrno(PyExc_OSError);
        *sent = CALL_FAILED;
    }
    return true;
}

bool file_sending_send(struct wsgi_call *call, struct file_range range, enum call_sent *sent) {
    struct file_sending *f = malloc(sizeof *f);
    if (!f) {
        PyErr_NoMemory();
        *sent = CALL_FAILED;
        return true;
    }
    f->r = call->r;
    f->range = range;
    f->unread = false;
    bool done = send_file(call, f, sent);
    free(f);
    return done;
}
