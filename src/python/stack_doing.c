#include "config.h"

#include <Python.h>

#include "python/stack_doing.h"

#include "base/ascii.h"
#include "base/descriptors.h"
#include "base/thread_create.h"
#include "sched/taskstat.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    /* Bytes in which all of the lock is: two condition variables, which wait at one word or another, and two mutexes. */
    LOCK_SIZE = 256,
    LEARN_LOOKS = 2000, /* for the wait of the thread that waits */
    LEARN_SURE = 3,     /* of them in a row that found the same */
    LEARN_NS = 500000
};

/* Where a thread waited for the interpreter lock; 0: not known.
 *
 * Mutable lock_at: stack_doing_init. Mutable denied: any thread, the system does not let us see any more. */
static uintptr_t lock_at;
static atomic_bool denied;

/* Reads a file of a thread below /proc. Returns its length; or -1 with errno. The text is terminated. */
static ssize_t read_file(int tid, const char *name, char *text, size_t size) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d/%s", tid, name);
    descriptors_lock();
    int fd = descriptors_adopt(open(path, O_RDONLY | O_CLOEXEC));
    descriptors_unlock();
    if (fd < 0)
        return -1;
    ssize_t n = pread(fd, text, size - 1, 0);
    int error = errno;
    descriptors_close(fd);
    text[n > 0 ? n : 0] = '\0';
    errno = error;
    return n;
}

/* The hexadecimal digits at the beginning; 0 when there are none. */
static uint64_t read_hex(const char *text) {
    uint64_t number = 0;
    for (;; text++) {
        if (*text >= '0' && *text <= '9')
            number = number << 4 | (uint64_t)(*text - '0');
        else if (*text >= 'a' && *text <= 'f')
            number = number << 4 | (uint64_t)(*text - 'a' + 10);
        else
            return number;
    }
}

static bool is_futex(uint64_t number) {
#ifdef SYS_futex
    if (number == SYS_futex)
        return true;
#endif
#ifdef SYS_futex_time64
    if (number == SYS_futex_time64)
        return true;
#endif
    return false;
}

/* The system call that the thread sleeps in, as proc(5) has it: "202 0x7f.. 0x.. ...", "running", or "-1 .." outside of
 * one. *futex is where it waits in futex(2), or 0. Returns STACK_UNKNOWN when that may not be seen. */
static enum stack_state read_syscall(int tid, uint64_t *futex) {
    char text[256];
    uint64_t number;
    *futex = 0;
    ssize_t n = read_file(tid, "syscall", text, sizeof text);
    if (n < 0 && (errno == ENOENT || errno == ESRCH))
        return STACK_GONE;
    if (!n || (n < 0 && (errno == EACCES || errno == EPERM)))
        atomic_store_explicit(&denied, true, memory_order_relaxed);
    if (n <= 0)
        return STACK_UNKNOWN;
    if (!strncmp(text, "running", strlen("running")))
        return STACK_COMPUTES;
    const char *rest = ascii_read_number(text, 10, &number);
    if (rest && is_futex(number) && !strncmp(rest, " 0x", 3))
        *futex = read_hex(rest + 3);
    return STACK_SLEEPS;
}

/* The same without the system call, for a process that may not see it: after setuid(2) it is not dumpable. */
static enum stack_state read_stat(int tid) {
    switch (taskstat_state_of(tid)) {
    case 'R':
        return STACK_COMPUTES;
    case '\0': /* it is gone, or no file can be opened */
        return syscall(SYS_tgkill, getpid(), tid, 0) && errno == ESRCH ? STACK_GONE : STACK_UNKNOWN;
    case 'Z':
    case 'X':
        return STACK_GONE;
    default:
        return STACK_SLEEPS;
    }
}

static bool is_near(uint64_t a, uint64_t b) {
    return a > b ? a - b < LOCK_SIZE : b - a < LOCK_SIZE;
}

enum stack_state stack_doing_more(int tid, bool *locks) {
    uint64_t futex;
    enum stack_state state = read_syscall(tid, &futex);
    *locks = futex && lock_at && !is_near(futex, lock_at);
    if (state == STACK_UNKNOWN) {
        state = read_stat(tid);
        *locks = lock_at && state != STACK_COMPUTES;
        return state;
    }
    return futex && lock_at && !*locks ? STACK_WAITS : state;
}

enum stack_state stack_doing(int tid) {
    bool locks;
    return stack_doing_more(tid, &locks);
}

bool stack_doing_knows_lock(void) {
    return lock_at && !atomic_load_explicit(&denied, memory_order_relaxed);
}

bool stack_doing_time(int tid, uint64_t *ns) {
    return taskstat_time_of(tid, ns);
}

bool stack_doing_blocks(int tid, int number) {
    static const char name[] = "\nSigBlk:\t";
    char text[2048];
    if (read_file(tid, "status", text, sizeof text) <= 0)
        return false;
    const char *at = strstr(text, name);
    return at && read_hex(at + strlen(name)) >> (number - 1) & 1;
}

/* Learning. */

struct learner {
    sem_t started;
    atomic_int tid;
};

static void *wait_for_lock(void *arg) {
    struct learner *learner = arg;
    atomic_store(&learner->tid, (int)gettid());
    sem_post(&learner->started);
    PyGILState_Release(PyGILState_Ensure());
    return NULL;
}

/* Where the thread sleeps, once it does so in the same place for several looks. It may first wait for what guards the
 * lock. */
static uintptr_t look(int tid) {
    uint64_t at = 0, futex;
    for (int i = 0, same = 0; i < LEARN_LOOKS; i++) {
        if (read_syscall(tid, &futex) == STACK_UNKNOWN)
            return 0;
        same = futex && is_near(futex, at) ? same + 1 : 0;
        at = futex;
        if (same == LEARN_SURE)
            return (uintptr_t)at;
        nanosleep(&(struct timespec){.tv_nsec = LEARN_NS}, NULL);
    }
    return 0;
}

bool stack_doing_init(void) {
    struct learner learner = {.tid = 0};
    pthread_t thread;
    sem_init(&learner.started, 0, 0);
    if (thread_create(&thread, NULL, NULL, wait_for_lock, &learner))
        return false;
    while (sem_wait(&learner.started))
        continue;
    lock_at = look(atomic_load(&learner.tid));
    Py_BEGIN_ALLOW_THREADS
    pthread_join(thread, NULL);
    Py_END_ALLOW_THREADS
    sem_destroy(&learner.started);
    return lock_at != 0;
}
