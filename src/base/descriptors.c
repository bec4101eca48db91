#include "config.h"

#include "base/descriptors.h"

#include "base/fdtable.h"
#include "base/log.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sysexits.h>
#include <unistd.h>

enum { WORD_BITS = sizeof(unsigned long) * CHAR_BIT, WORDS_MIN = 16 };

struct guarded {
    int fd;
    const char *what;
    dev_t dev;
    ino_t ino;
};

/* Which descriptors are the server's: a bit for each number. Grown as numbers rise, because the limit of open files may
 * be raised at any time, and may be a thousand million.
 * Mutable books: whoever has its lock, which a fork takes as well, so that the child finds it in order. */
static struct books {
    pthread_mutex_t lock;
    unsigned long *words;
    size_t nwords;
    bool in_child;
    struct guarded guarded[DESCRIPTORS_GUARDED];
    int nguarded;
} books = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* What to do when a descriptor is lost.
 * Mutable loss: set by the main thread, read by any thread, also while the lock is held. */
static struct loss {
    void (*_Atomic leave)(void);
    void (*_Atomic describe)(void *arg, char *out, size_t size);
    void *_Atomic describe_arg;
    _Atomic pid_t process; /* that watches */
    atomic_flag said;
} loss = {.said = ATOMIC_FLAG_INIT};

static const char lost_in_use[] = "that of a connection or a file";

static unsigned long bit_of(int fd) {
    return 1ul << ((unsigned)fd % WORD_BITS);
}

static bool is_marked(int fd) {
    size_t at = (unsigned)fd / WORD_BITS;
    return at < books.nwords && books.words[at] & bit_of(fd);
}

static int reserve(size_t count) {
    if (count <= books.nwords)
        return 0;
    size_t size = books.nwords ? books.nwords : WORDS_MIN;
    while (size < count)
        size *= 2;
    unsigned long *larger = realloc(books.words, size * sizeof *larger);
    if (!larger)
        return -1;
    memset(larger + books.nwords, 0, (size - books.nwords) * sizeof *larger);
    books.words = larger;
    books.nwords = size;
    return 0;
}

/* Closes the descriptors from `first` to `last`, which are all marked. Linux has close_range(2) from 5.9 on. */
static void close_run(int first, int last) {
#ifdef SYS_close_range
    if (first < last && !syscall(SYS_close_range, first, last, 0))
        return;
#endif
    for (int fd = first; fd <= last; fd++)
        close(fd);
}

static void close_all(void) {
    int end = (int)(books.nwords * WORD_BITS);
    for (int fd = 0; fd < end; fd++) {
        if (!books.words[(unsigned)fd / WORD_BITS]) {
            fd += WORD_BITS - 1;
            continue;
        }
        int first = fd;
        while (fd < end && is_marked(fd))
            fd++;
        if (fd > first)
            close_run(first, fd - 1);
    }
}

/* Async-signal-safe, as it must be in the child of a process with threads. A child of the child finds nothing left. */
static void forked_cb(void) {
    close_all();
    books.nwords = 0;
    books.in_child = true;
    pthread_mutex_unlock(&books.lock);
}

int descriptors_init(void) {
    int error = pthread_atfork(descriptors_lock, descriptors_unlock, forked_cb);
    if (error)
        errno = error;
    return error ? -1 : 0;
}

void descriptors_restart(void) {
    books.in_child = false;
    books.nguarded = 0;
    atomic_flag_clear(&loss.said);
}

void descriptors_lock(void) {
    pthread_mutex_lock(&books.lock);
}

void descriptors_unlock(void) {
    pthread_mutex_unlock(&books.lock);
}

int descriptors_note(int fd) {
    if (books.in_child)
        return 0;
    if (reserve((unsigned)fd / WORD_BITS + 1))
        return -1;
    books.words[(unsigned)fd / WORD_BITS] |= bit_of(fd);
    return 0;
}

/* An open descriptor has its number to itself. If the books have this number already, somebody else has closed the
 * descriptor that had it, and whatever was meant for that would go to the new one. */
static void check_new(int fd) {
    if (!books.in_child && is_marked(fd))
        descriptors_lost(fd, lost_in_use);
}

static int adopt(int fd, int raised) {
    check_new(fd);
    if (raised != fd)
        check_new(raised);
    if (!descriptors_note(raised))
        return raised;
    close(raised);
    errno = ENOMEM;
    return -1;
}

int descriptors_adopt(int fd) {
    return fd < 0 ? -1 : adopt(fd, fdtable_raise(fd));
}

int descriptors_adopt_connection(int fd) {
    return fd < 0 ? -1 : adopt(fd, fdtable_raise_connection(fd));
}

static void unguard(int fd) {
    for (int i = 0; i < books.nguarded; i++) {
        if (books.guarded[i].fd == fd)
            books.guarded[i--] = books.guarded[--books.nguarded];
    }
}

void descriptors_forget(int fd) {
    if (!is_marked(fd))
        return;
    books.words[(unsigned)fd / WORD_BITS] &= ~bit_of(fd);
    unguard(fd);
}

void descriptors_close(int fd) {
    int error = errno;
    descriptors_lock();
    if (!books.in_child) {
        bool own = is_marked(fd);
        descriptors_forget(fd);
        if (close(fd) && errno == EBADF && own)
            descriptors_lost(fd, lost_in_use);
    }
    descriptors_unlock();
    errno = error;
}

bool descriptors_is_own(int fd) {
    descriptors_lock();
    bool own = is_marked(fd);
    descriptors_unlock();
    return own;
}

void descriptors_on_loss(void (*leave)(void)) {
    atomic_store(&loss.process, getpid());
    atomic_store(&loss.leave, leave);
}

void descriptors_describe(void (*describe)(void *arg, char *out, size_t size), void *arg) {
    atomic_store(&loss.describe_arg, arg);
    atomic_store(&loss.describe, describe);
}

void descriptors_guard(int fd, const char *what) {
    struct stat st;
    descriptors_lock();
    if (books.nguarded < DESCRIPTORS_GUARDED && is_marked(fd) && !fstat(fd, &st))
        books.guarded[books.nguarded++] = (struct guarded){.fd = fd, .what = what, .dev = st.st_dev, .ino = st.st_ino};
    descriptors_unlock();
}

static bool is_same(const struct guarded *g) {
    struct stat st;
    return !fstat(g->fd, &st) && st.st_dev == g->dev && st.st_ino == g->ino;
}

void descriptors_check(void) {
    descriptors_lock();
    for (int i = 0; i < books.nguarded && !books.in_child; i++) {
        if (!is_same(&books.guarded[i]))
            descriptors_lost(books.guarded[i].fd, books.guarded[i].what);
    }
    descriptors_unlock();
}

/* Several threads may notice it at the same time, and one that waits for the end may hold the lock. */
void descriptors_lost(int fd, const char *what) {
    void (*leave)(void) = atomic_load(&loss.leave);
    void (*describe)(void *arg, char *out, size_t size) = atomic_load(&loss.describe);
    char number[32] = "a descriptor", more[1000] = "";
    if (!leave || getpid() != atomic_load(&loss.process))
        return;
    while (atomic_flag_test_and_set(&loss.said))
        pause();
    if (fd >= 0)
        snprintf(number, sizeof number, "descriptor %d", fd);
    if (describe)
        describe(atomic_load(&loss.describe_arg), more, sizeof more);
    log_error(
        "%s, %s, was closed by the application or one of its extensions, whose it is not (os.close, os.closerange, "
        "a library that makes a daemon, a double close): ending, as nothing can be served%s",
        number, what, more);
    leave();
    log_flush();
    _exit(EX_IOERR);
}
