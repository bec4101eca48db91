/* What a test cannot have from a kernel: a time of day that steps, epoll_ctl(2) and process_vm_readv(2) that fail, and
 * threads that are long in coming. Preloaded into a server; the test writes to the file that TAMPER_FILE names
 * (tamper.py). */
#include "config.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* What the file is. */
struct tampered {
    _Atomic int64_t step;        /* seconds by which the time of day differs from the true one */
    _Atomic int32_t epoll_error; /* errno of every epoll_ctl that is to watch one more descriptor; 0: none fails */
    _Atomic int32_t failed;      /* how many have */
    _Atomic int32_t forbidden;   /* process_vm_readv is, as by a profile of seccomp(2), and /proc/self/mem */
    _Atomic int32_t starter;     /* no thread begins that the one with this number has started; 0: all do */
};

static struct tampered none, *tampered = &none;

__attribute__((constructor)) static void start(void) {
    const char *path = getenv("TAMPER_FILE");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *map = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *tampered, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        abort();
    tampered = map;
    close(fd);
}

int clock_gettime(clockid_t clock, struct timespec *at) {
    long failed = syscall(SYS_clock_gettime, clock, at);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        at->tv_sec += tampered->step;
    return (int)failed;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
    struct timespec now;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &now))
        return -1;
    *at = (struct timeval){.tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000};
    return 0;
}

time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at)
        *at = now.tv_sec;
    return now.tv_sec;
}

/* As from the kernel: only what is to be watched anew needs memory and counts (epoll_ctl(2), ENOMEM, ENOSPC), so that what is
 * watched already is found first, and can be changed at any time. libev takes anything else for a set that is lost. */
int epoll_ctl(int set, int what, int fd, struct epoll_event *event) {
    long failed = syscall(SYS_epoll_ctl, set, what, fd, event);
    int error = tampered->epoll_error;
    if (failed || what != EPOLL_CTL_ADD || !error)
        return (int)failed;
    syscall(SYS_epoll_ctl, set, EPOLL_CTL_DEL, fd, event);
    tampered->failed++;
    errno = error;
    return -1;
}

ssize_t process_vm_readv(pid_t pid, const struct iovec *to, unsigned long nto, const struct iovec *from,
                         unsigned long nfrom, unsigned long flags) {
    if (!tampered->forbidden)
        return syscall(SYS_process_vm_readv, pid, to, nto, from, nfrom, flags);
    errno = EPERM;
    return -1;
}

int open(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;
    va_end(more);
    if (!tampered->forbidden || strcmp(path, "/proc/self/mem") != 0)
        return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
    errno = EACCES;
    return -1;
}

struct beginning {
    void *(*run)(void *);
    void *arg;
    int32_t starter;
};

static void *begin(void *arg) {
    struct beginning b = *(struct beginning *)arg;
    free(arg);
    while (tampered->starter == b.starter)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    return b.run(b.arg);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *arg) {
    int (*create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    void *symbol = dlsym(RTLD_NEXT, "pthread_create");
    memcpy(&create, &symbol, sizeof create);
    struct beginning *b = tampered->starter == gettid() ? malloc(sizeof *b) : NULL;
    if (!b)
        return create(thread, attributes, run, arg);
    *b = (struct beginning){run, arg, gettid()};
    return create(thread, attributes, begin, b);
}
