#include "config.h"

#include "base/log_file.h"

#include "base/log.h"
#include "base/trusted_open.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

/* Mutable path: log_file_open or log_file_inherit, before there is a second thread. Empty: none.
 * Mutable owner: likewise. */
static char path[PATH_MAX];
static struct {
    uid_t uid;
    gid_t gid;
} owner;

/* Programs inherit the copy, unlike the original. */
static int put_in_place(int fd) {
    int to;
    if (fd == STDERR_FILENO) /* something had closed that */
        return fcntl(fd, F_SETFD, 0);
    do {
        to = dup2(fd, STDERR_FILENO);
    } while (to < 0 && (errno == EINTR || errno == EBUSY)); /* another thread opens something in its place */
    return to < 0 ? -1 : 0;
}

int log_file_make(const char *name, uid_t uid, gid_t gid) {
    bool made;
    int fd = trusted_open(name, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640, &made);
    if (fd < 0 || !((made && fchown(fd, uid, gid)) || fcntl(fd, F_SETFL, O_APPEND)))
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

/* A child that is forked meanwhile gets another descriptor of the file that its standard error is: nobody minds. */
static int use(const char *name, uid_t uid, gid_t gid) {
    int fd = log_file_make(name, uid, gid);
    if (fd < 0)
        return -1;
    int failed = put_in_place(fd), error = errno;
    if (fd != STDERR_FILENO)
        close(fd);
    errno = error;
    return failed;
}

static int note(const char *name, uid_t uid, gid_t gid) {
    size_t len = strlen(name);
    if (len >= sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(path, name, len + 1);
    owner.uid = uid;
    owner.gid = gid;
    return 0;
}

int log_file_open(const char *name, uid_t uid, gid_t gid) {
    char before[PATH_MAX];
    memcpy(before, path, sizeof before);
    if (note(name, uid, gid))
        return -1;
    if (use(name, uid, gid)) {
        memcpy(path, before, sizeof path);
        return -1;
    }
    log_init();
    return 0;
}

int log_file_inherit(const char *name) {
    return note(name, (uid_t)-1, (gid_t)-1);
}

int log_file_take(int fd) {
    return put_in_place(fd);
}

int log_file_reopen(void) {
    return use(path, owner.uid, owner.gid);
}

const char *log_file_path(void) {
    return *path ? path : NULL;
}
