#include "config.h"

#include "base/trusted_open.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { LINKS_MAX = 40, TRIES = 4, DIRECTORY = O_PATH | O_DIRECTORY | O_CLOEXEC };

struct walk {
    int dir;             /* O_PATH; where `rest` starts */
    char rest[PATH_MAX]; /* what is still to be walked */
    unsigned links;      /* followed so far */
};

/* Takes the place of the directory. Returns 0, or -1 with errno. */
static int enter(struct walk *w, int dir) {
    if (dir < 0)
        return -1;
    close(w->dir);
    w->dir = dir;
    return 0;
}

static bool is_roots(const struct stat *dir) {
    return dir->st_uid == 0 && !(dir->st_mode & (S_IWGRP | S_IWOTH));
}

/* Whether nobody but root can have put the entry into the directory, whose state goes to *dir. */
static bool is_trusted(const struct walk *w, const struct stat *entry, struct stat *dir) {
    if (fstat(w->dir, dir))
        return false;
    return is_roots(dir) || (dir->st_uid == 0 && dir->st_mode & S_ISVTX && entry->st_uid == 0);
}

/* Links there are no text: /proc/self/fd/2 is a file that may have no name. They are the kernel's. */
static bool is_proc(const struct walk *w) {
    struct statfs fs;
    return !fstatfs(w->dir, &fs) && fs.f_type == PROC_SUPER_MAGIC;
}

/* Puts what the link says in front of `after`, in the place of w->rest. Returns 0, or -1 with errno. */
static int follow(struct walk *w, const char *name, const char *after) {
    char text[PATH_MAX], rest[2 * PATH_MAX];
    ssize_t n = readlinkat(w->dir, name, text, sizeof text);
    if (n < 0)
        return -1;
    int len = snprintf(rest, sizeof rest, "%.*s/%s", (int)n, text, after);
    if (++w->links > LINKS_MAX || len >= (int)sizeof w->rest) {
        errno = w->links > LINKS_MAX ? ELOOP : ENAMETOOLONG;
        return -1;
    }
    if (!*after)
        rest[--len] = '\0'; /* a slash at the end would ask for a directory */
    memcpy(w->rest, rest, (size_t)len + 1);
    return *w->rest == '/' ? enter(w, open("/", DIRECTORY)) : 0;
}

/* Whether an open file that is not the caller's own has, or has had when it was opened, a further name that others than
 * root can have given it. Only what is found by the name tells, at one moment: that of a file whose other name was there
 * a moment ago may be gone. */
static bool may_be_anothers(const struct walk *w, const char *name, const struct stat *file) {
    struct stat now, dir;
    if (!S_ISREG(file->st_mode) || is_trusted(w, file, &dir))
        return false;
    return fstatat(w->dir, name, &now, AT_SYMLINK_NOFOLLOW) || now.st_dev != file->st_dev ||
           now.st_ino != file->st_ino || now.st_nlink > 1;
}

/* The last component. Retries when it comes or goes in between. */
static int open_last(const struct walk *w, const char *name, int flags, mode_t mode, bool *made) {
    struct stat st;
    int fd = -1;
    for (int i = 0; i < TRIES && fd < 0; i++) {
        fd = openat(w->dir, name, flags | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
        *made = fd >= 0;
        if (fd < 0 && errno == EEXIST)
            fd = openat(w->dir, name, flags | O_NOFOLLOW);
        if (fd < 0 && errno != ENOENT)
            return -1;
    }
    if (fd < 0 || *made || fstat(fd, &st) || !may_be_anothers(w, name, &st))
        return fd;
    close(fd);
    errno = EMLINK;
    return -1;
}

/* Walks one component. Returns whether that was the last one: *fd is what has come of it, -1 with errno. */
static bool step(struct walk *w, int flags, mode_t mode, bool *made, int *fd) {
    char name[NAME_MAX + 1];
    struct stat entry, dir;
    const char *start = w->rest + strspn(w->rest, "/"), *after = start + strcspn(start, "/");
    const bool is_last = !*after;
    *fd = -1;
    if (snprintf(name, sizeof name, "%.*s", (int)(after - start), start) >= (int)sizeof name) {
        errno = ENAMETOOLONG;
        return true;
    }
    after += strspn(after, "/");
    if (!*name) {
        errno = EISDIR;
        return true;
    }
    const bool is_link = !fstatat(w->dir, name, &entry, AT_SYMLINK_NOFOLLOW) && S_ISLNK(entry.st_mode);
    if (is_link && !is_trusted(w, &entry, &dir)) {
        errno = ELOOP;
        return true;
    }
    if (is_link && !is_proc(w))
        return follow(w, name, after) != 0;
    if (is_last) {
        *fd = is_link ? openat(w->dir, name, flags) : open_last(w, name, flags, mode, made);
        return true;
    }
    memmove(w->rest, after, strlen(after) + 1);
    return enter(w, openat(w->dir, name, DIRECTORY | (is_link ? 0 : O_NOFOLLOW))) != 0;
}

int trusted_open(const char *path, int flags, mode_t mode, bool *made) {
    struct walk w = {.links = 0};
    int fd;
    *made = false;
    if (geteuid() != 0)
        return open(path, flags | O_CREAT, mode);
    if (!*path || strlen(path) >= sizeof w.rest) {
        errno = *path ? ENAMETOOLONG : ENOENT;
        return -1;
    }
    strcpy(w.rest, path);
    w.dir = open(*path == '/' ? "/" : ".", DIRECTORY);
    if (w.dir < 0)
        return -1;
    while (!step(&w, flags, mode, made, &fd))
        ;
    int error = errno;
    close(w.dir);
    errno = error;
    return fd;
}

const char *trusted_open_advice(int error) {
    if (error == ELOOP)
        return ": a symbolic link on the way could have been made by others than root: write the path without";
    if (error == EMLINK)
        return ": it has a further name, which others than root may have given it: remove the file";
    return "";
}
