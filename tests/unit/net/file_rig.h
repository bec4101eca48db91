/* What tests of the files of bodies share: a disk that is full when a test says so, and a look at every file that is closed.
 * A thread whose call has ended may hold the interpreter lock, until sched_pause is called: to close a file may take long.
 *
 * For local.mk: FILE_RIG_WRAP. */
#ifndef WSGI_FCGI_TESTS_FILE_RIG_H
#define WSGI_FCGI_TESTS_FILE_RIG_H

#include "base/descriptors.h"
#include "sched/sched.h"
#include "unit/unit.h"

#include <errno.h>
#include <sys/stat.h>

void __real_sched_pause(struct sched *s);
void __wrap_sched_pause(struct sched *s);
void __real_descriptors_close(int fd);
void __wrap_descriptors_close(int fd);
ssize_t __real_pwrite(int fd, const void *data, size_t len, off_t offset);
ssize_t __wrap_pwrite(int fd, const void *data, size_t len, off_t offset);

static bool disk_full;
static bool lock_held; /* set by the test */
static int files_closed;

void __wrap_sched_pause(struct sched *s) {
    lock_held = false;
    __real_sched_pause(s);
}

void __wrap_descriptors_close(int fd) {
    struct stat st;
    ck_assert_int_eq(fstat(fd, &st), 0);
    if (S_ISREG(st.st_mode)) {
        files_closed++;
        ck_assert_msg(!lock_held, "a file is closed while the interpreter is held");
    }
    __real_descriptors_close(fd);
}

ssize_t __wrap_pwrite(int fd, const void *data, size_t len, off_t offset) {
    if (!disk_full)
        return __real_pwrite(fd, data, len, offset);
    errno = ENOSPC;
    return -1;
}

#endif
