#include "config.h"

#include "process/pid_file.h"

#include "base/ascii.h"
#include "base/descriptors.h"
#include "base/log.h"
#include "base/trusted_open.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

enum { TRIES = 8, TEXT_SIZE = 32 };

/* Mutable held: the main thread; `owner` is read first, and written last, by whoever removes the file. */
static struct held {
    int fd;
    dev_t dev;
    ino_t ino;
    char path[PATH_MAX];
    const char *source;   /* what has named it, while it is opened */
    volatile pid_t owner; /* 0: there is none */
} held = {.fd = -1};

static bool is_at_path(const struct held *h) {
    struct stat st;
    return !stat(h->path, &st) && st.st_dev == h->dev && st.st_ino == h->ino;
}

/* What the file has: the number of a process, 0 when it is empty; -1: something else. */
static pid_t read_pid(int fd) {
    char text[TEXT_SIZE];
    uint64_t pid;
    ssize_t n = pread(fd, text, sizeof text - 1, 0);
    if (n <= 0)
        return n ? -1 : 0;
    text[n] = '\0';
    if (text[n - 1] == '\n')
        text[n - 1] = '\0';
    return ascii_is_number(text, INT_MAX, &pid) ? (pid_t)pid : -1;
}

/* The number of this process, and nothing else. */
static int write_pid(int fd) {
    char text[TEXT_SIZE];
    int n = snprintf(text, sizeof text, "%d\n", (int)getpid());
    if (ftruncate(fd, 0) || fchmod(fd, 0644))
        return -1;
    ssize_t written = pwrite(fd, text, (size_t)n, 0);
    if (written >= 0 && written != n)
        errno = ENOSPC;
    return written == n ? 0 : -1;
}

static int complain(const struct held *h, const char *what) {
    char shown[PATH_MAX];
    log_error("%s: %s %s", h->source, log_escape(shown, sizeof shown, h->path, strlen(h->path)), what);
    return EX_CANTCREAT;
}

static int complain_errno(const struct held *h, int error) {
    char what[300];
    const char *advice = trusted_open_advice(error);
    snprintf(what, sizeof what, "cannot be written: %s%s", strerror(error),
             *advice ? advice : ": its directory must be there, and the server be allowed to write it");
    return complain(h, what);
}

static int complain_locked(const struct held *h) {
    char what[100] = "belongs to another server that runs: stop that one, or choose another path";
    pid_t pid = read_pid(h->fd);
    if (pid > 0)
        snprintf(what, sizeof what,
                 "belongs to another server that runs (pid %d): stop that one, or choose another path", (int)pid);
    (void)complain(h, what);
    return EX_UNAVAILABLE;
}

/* Locks the open file *h. Returns 0; a status after printing; or -1 when it has got another name meanwhile, as whoever
 * had it has ended. */
static int lock(struct held *h, bool made) {
    struct stat st;
    if (fstat(h->fd, &st))
        return complain_errno(h, errno);
    if (!S_ISREG(st.st_mode))
        return complain(h, "is no file: choose another path");
    h->dev = st.st_dev;
    h->ino = st.st_ino;
    if (flock(h->fd, LOCK_EX | LOCK_NB))
        return errno == EWOULDBLOCK ? complain_locked(h) : complain_errno(h, errno);
    if (!is_at_path(h))
        return -1;
    /* Somebody may have taken one option for another one. */
    if (!made && read_pid(h->fd) < 0)
        return complain(h, "has something else in it than the number of a process, and was left alone: remove it, "
                           "or choose another path");
    return 0;
}

/* Returns the descriptor, or -1 with errno. */
static int open_for(const char *path, int access, bool *made) {
    descriptors_lock();
    int fd = descriptors_adopt(trusted_open(path, access | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0644, made));
    descriptors_unlock();
    return fd;
}

/* By a descriptor of its own. Returns as lock. */
static int write_number(const struct held *h) {
    struct stat st;
    bool made;
    int status = 0;
    const int fd = open_for(h->path, O_RDWR, &made);
    if (fd < 0 || fstat(fd, &st))
        status = complain_errno(h, errno);
    else if (st.st_dev != h->dev || st.st_ino != h->ino)
        status = -1;
    else if (write_pid(fd))
        status = complain_errno(h, errno);
    if (fd >= 0)
        descriptors_close(fd);
    return status;
}

/* Root keeps a descriptor that can only be read: with --user the application has it as well, and must not have whoever
 * signals the process in the file signal another one. Returns as lock. */
static int try_open(struct held *h) {
    bool made;
    h->fd = open_for(h->path, geteuid() == 0 ? O_RDONLY : O_RDWR, &made);
    if (h->fd < 0)
        return complain_errno(h, errno);
    int status = lock(h, made);
    if (!status)
        status = write_number(h);
    if (status)
        descriptors_close(h->fd);
    return status;
}

static void keep(const struct held *h) {
    descriptors_guard(h->fd, "that has the lock of the pid file");
    held = *h;
    held.owner = getpid();
}

int pid_file_open(const char *path, const char *source) {
    struct held h = {.fd = -1, .source = source};
    int status = -1;
    if (held.owner && !strcmp(held.path, path))
        return 0;
    if (snprintf(h.path, sizeof h.path, "%s", path) >= (int)sizeof h.path)
        return complain_errno(&h, ENAMETOOLONG);
    for (int i = 0; i < TRIES && status < 0; i++)
        status = try_open(&h);
    if (status)
        return status < 0 ? complain(&h, "is removed again and again while it is opened") : status;
    pid_file_close();
    keep(&h);
    return 0;
}

void pid_file_close(void) {
    pid_file_remove();
    if (held.fd >= 0)
        descriptors_close(held.fd);
    held.fd = -1;
}

int pid_file_resume(int fd, const char *path) {
    struct held h = {.fd = fd};
    struct stat st;
    errno = ENAMETOOLONG;
    if (strlen(path) >= sizeof h.path || fstat(fd, &st) || flock(fd, LOCK_EX | LOCK_NB)) {
        int error = errno;
        descriptors_close(fd);
        errno = error;
        return -1;
    }
    strcpy(h.path, path);
    h.dev = st.st_dev;
    h.ino = st.st_ino;
    keep(&h);
    return 0;
}

int pid_file_fd(void) {
    return held.owner ? held.fd : -1;
}

const char *pid_file_path(void) {
    return held.path;
}

void pid_file_remove(void) {
    if (!held.owner || held.owner != getpid())
        return;
    /* Where it may be written, but not be removed. */
    if (is_at_path(&held) && unlink(held.path)) {
        int failed = ftruncate(held.fd, 0);
        (void)failed;
    }
    held.owner = 0;
}
