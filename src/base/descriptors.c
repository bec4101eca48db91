#include "config.h"

#include "base/descriptors.h"

#include "base/fdtable.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { WORD_BITS = sizeof(unsigned long) * CHAR_BIT, WORDS_MIN = 16 };

/* A bit for each number, which is grown as they rise: the limit of open files may be raised at any time, and may be a
 * thousand million. All of it is guarded by the lock, which a fork takes, so that the child finds it in order. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned long *words;
static size_t nwords;
static bool in_child;

static unsigned long bit_of(int fd) {
    return 1ul << ((unsigned)fd % WORD_BITS);
}

static bool is_marked(int fd) {
    size_t at = (unsigned)fd / WORD_BITS;
    return at < nwords && words[at] & bit_of(fd);
}

static int reserve(size_t count) {
    if (count <= nwords)
        return 0;
    size_t size = nwords ? nwords : WORDS_MIN;
    while (size < count)
        size *= 2;
    unsigned long *larger = realloc(words, size * sizeof *larger);
    if (!larger)
        return -1;
    memset(larger + nwords, 0, (size - nwords) * sizeof *larger);
    words = larger;
    nwords = size;
    return 0;
}

/* Those from `first` to `last`, which are all marked. Linux has close_range(2) from 5.9 on. */
static void close_run(int first, int last) {
#ifdef SYS_close_range
    if (first < last && !syscall(SYS_close_range, first, last, 0))
        return;
#endif
    for (int fd = first; fd <= last; fd++)
        close(fd);
}

static void close_all(void) {
    int end = (int)(nwords * WORD_BITS);
    for (int fd = 0; fd < end; fd++) {
        if (!words[(unsigned)fd / WORD_BITS]) {
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

/* Async-signal-safe, as the child of a process with threads has to be. A child of the child finds nothing left. */
static void forked_cb(void) {
    close_all();
    nwords = 0;
    in_child = true;
    pthread_mutex_unlock(&lock);
}

int descriptors_init(void) {
    int error = pthread_atfork(descriptors_lock, descriptors_unlock, forked_cb);
    if (error)
        errno = error;
    return error ? -1 : 0;
}

void descriptors_lock(void) {
    pthread_mutex_lock(&lock);
}

void descriptors_unlock(void) {
    pthread_mutex_unlock(&lock);
}

int descriptors_note(int fd) {
    if (in_child)
        return 0;
    if (reserve((unsigned)fd / WORD_BITS + 1))
        return -1;
    words[(unsigned)fd / WORD_BITS] |= bit_of(fd);
    return 0;
}

static int adopt(int fd) {
    if (!descriptors_note(fd))
        return fd;
    close(fd);
    errno = ENOMEM;
    return -1;
}

int descriptors_adopt(int fd) {
    return fd < 0 ? -1 : adopt(fdtable_raise(fd));
}

int descriptors_adopt_connection(int fd) {
    return fd < 0 ? -1 : adopt(fdtable_raise_connection(fd));
}

void descriptors_forget(int fd) {
    if (is_marked(fd))
        words[(unsigned)fd / WORD_BITS] &= ~bit_of(fd);
}

void descriptors_close(int fd) {
    int error = errno;
    descriptors_lock();
    if (!in_child) {
        descriptors_forget(fd);
        close(fd);
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
