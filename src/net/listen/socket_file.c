#include "config.h"

#include "net/listen/socket_file.h"

#include "base/descriptors.h"
#include "base/log.h"
#include "base/path.h"
#include "net/listen/id.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

enum { OPEN_TRIES = 8, LOCK_TRIES = 200, LOCK_PAUSE_NS = 10 * 1000 * 1000 };

/* What is needed between checking the path and listening there. */
struct attempt {
    const struct address *address;
    const struct listener_settings *settings;
    uid_t uid; /* -1: unchanged */
    gid_t gid;
    char *path;       /* absolute */
    const char *base; /* the last component of `path` */
    char shown[ADDRESS_TEXT_SIZE];
    int dir;  /* the directory of `path` */
    int lock; /* the same, open for flock(2), or -1 */
    int fd;
    bool bound;     /* `fd` has made its file */
    struct stat st; /* of that */
};

static const char *own_name(void) {
    const struct passwd *pw = getpwuid(geteuid());
    return pw ? pw->pw_name : "of this process";
}

static int find_owner(struct attempt *t) {
    char shown[64];
    const char *user = t->settings->owner, *group = t->settings->group;
    const struct passwd *pw = user ? getpwnam(user) : NULL;
    const struct group *gr = group ? getgrnam(group) : NULL;
    const struct listener_user *otherwise = t->settings->user;
    t->uid = pw ? pw->pw_uid : otherwise ? otherwise->uid : (uid_t)-1;
    t->gid = gr ? gr->gr_gid : otherwise ? otherwise->gid : (gid_t)-1;
    if (user && !pw && !id_read(user, &t->uid)) {
        log_error("%s: there is no user \"%s\" on this machine", t->settings->owner_source,
                  log_escape(shown, sizeof(shown), user, strlen(user)));
        return EX_NOUSER;
    }
    if (group && !gr && !id_read(group, &t->gid)) {
        log_error("%s: there is no group \"%s\" on this machine", t->settings->group_source,
                  log_escape(shown, sizeof(shown), group, strlen(group)));
        return EX_NOUSER;
    }
    return 0;
}

/* Makes `path` absolute, because the process may be in another directory when the file must be removed. */
static int find_path(struct attempt *t) {
    const struct sockaddr_un *sun = (const void *)&t->address->sa;
    const bool is_relative = sun->sun_path[0] != '/';
    const char *given = strncmp(sun->sun_path, "./", 2) == 0 ? sun->sun_path + 2 : sun->sun_path;
    char *cwd = is_relative ? getcwd(NULL, 0) : NULL;
    t->path = is_relative && !cwd ? NULL : path_absolute(cwd, given);
    free(cwd);
    if (!t->path) {
        log_error("cannot make the path of %s absolute: %s", given, strerror(errno));
        return EX_OSERR;
    }
    t->base = strrchr(t->path, '/') + 1;
    log_escape(t->shown, sizeof(t->shown), t->path, strlen(t->path));
    if (!*t->base) {
        log_error("%s names a directory: write the name of the socket file behind it", t->shown);
        return EX_USAGE;
    }
    return 0;
}

static size_t dir_len(const struct attempt *t) {
    size_t len = (size_t)(t->base - t->path);
    return len > 1 ? len - 1 : 1;
}

static int complain_dir(const struct attempt *t, int error) {
    char shown[ADDRESS_TEXT_SIZE];
    log_escape(shown, sizeof(shown), t->path, dir_len(t));
    switch (error) {
    case ENOENT:
        log_error("cannot create %s: there is no directory %s, create it first", t->shown, shown);
        return EX_CANTCREAT;
    case ENOTDIR:
        log_error("cannot create %s: %s is not a directory", t->shown, shown);
        return EX_CANTCREAT;
    case EACCES:
        log_error("no permission to enter %s: run as root, or choose a directory that user \"%s\" may write", shown,
                  own_name());
        return EX_NOPERM;
    default:
        log_error("cannot create %s: %s: %s", t->shown, shown, strerror(error));
        return EX_OSERR;
    }
}

static int open_dir(struct attempt *t) {
    char *name = strndup(t->path, dir_len(t));
    descriptors_lock();
    t->dir = name ? descriptors_adopt(open(name, O_PATH | O_DIRECTORY | O_CLOEXEC)) : -1;
    descriptors_unlock();
    int error = errno;
    free(name);
    return t->dir >= 0 ? 0 : complain_dir(t, error);
}

static int complain_in_use(const struct attempt *t, int probe) {
    struct ucred peer = {0};
    socklen_t len = sizeof(peer);
    /* The credentials are those of the process that called listen(2): unix(7). */
    if (probe >= 0 && getsockopt(probe, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && peer.pid > 0)
        log_error("%s is in use by another process (pid %ld): stop it, or choose another path", t->shown,
                  (long)peer.pid);
    else
        log_error("%s is in use by another process: stop it, or choose another path", t->shown);
    return EX_UNAVAILABLE;
}

/* New socket, or -1 with errno. */
static int make_socket(void) {
    descriptors_lock();
    int fd = descriptors_adopt(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    descriptors_unlock();
    return fd;
}

/* Finds out by connecting whether anybody listens on the existing socket file. Returns 0 if nobody does. */
static int probe_live(const struct attempt *t) {
    int status, probe = make_socket();
    int error = probe < 0 || connect(probe, (const struct sockaddr *)&t->address->sa, t->address->len) ? errno : 0;
    switch (error) {
    case ECONNREFUSED:
    case ENOENT:
        status = 0;
        break;
    case 0:
        status = complain_in_use(t, probe);
        break;
    case EAGAIN:     /* its backlog is full */
    case EPROTOTYPE: /* it is no stream socket */
        status = complain_in_use(t, -1);
        break;
    case EACCES:
    case EPERM:
        log_error("%s exists, and user \"%s\" has no permission to find out whether it is in use: remove it, or choose "
                  "another path",
                  t->shown, own_name());
        status = EX_NOPERM;
        break;
    default:
        log_error("cannot find out whether %s is in use: %s", t->shown, strerror(error));
        status = EX_OSERR;
    }
    if (probe >= 0)
        descriptors_close(probe);
    return status;
}

/* Checks what is at the path. Returns 0, with *stale telling whether it is a dead socket, whose identity goes to *st;
 * or the status after a complaint. */
static int look(const struct attempt *t, bool *stale, struct stat *st) {
    *stale = fstatat(t->dir, t->base, st, AT_SYMLINK_NOFOLLOW) == 0;
    if (!*stale && errno == ENOENT)
        return 0;
    if (!*stale)
        return complain_dir(t, errno);
    if (S_ISSOCK(st->st_mode))
        return probe_live(t);
    log_error("%s exists and is not a socket: it was left alone, remove it or choose another path", t->shown);
    return EX_CANTCREAT;
}

static int complain_create(const struct attempt *t, int error) {
    switch (error) {
    case EACCES:
    case EPERM:
        log_error("no permission to create %s: run as root, or choose a directory that user \"%s\" may write", t->shown,
                  own_name());
        return EX_NOPERM;
    case EROFS:
        log_error("cannot create %s: its file system is read-only: choose another directory, or mount a tmpfs there",
                  t->shown);
        return EX_CANTCREAT;
    default:
        log_error("cannot create %s: %s", t->shown, strerror(error));
        return EX_OSERR;
    }
}

/* Makes the socket, and its file with it. ss(8) and lsof(8) show the absolute path, if it fits; a path that was given
 * in a shorter form may not fit. Until owner and mode are right nobody can connect, because the socket does not
 * listen. */
static int bind_socket(struct attempt *t) {
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    const size_t len = strlen(t->path);
    const bool fits = len < sizeof(sun.sun_path);
    if (fits)
        memcpy(sun.sun_path, t->path, len);
    t->fd = make_socket();
    if (t->fd < 0 || (fits ? bind(t->fd, (const struct sockaddr *)&sun, sizeof(sun))
                           : bind(t->fd, (const struct sockaddr *)&t->address->sa, t->address->len)))
        return -1;
    t->bound = true;
    if (fstatat(t->dir, t->base, &t->st, AT_SYMLINK_NOFOLLOW))
        return -1;
    /* Who may write to the directory can have put another one's socket in its place, but not its only name. */
    errno = EADDRINUSE;
    return S_ISSOCK(t->st.st_mode) && t->st.st_nlink == 1 ? 0 : -1;
}

static bool is_at_path(const struct attempt *t, const struct stat *file) {
    struct stat st;
    return fstatat(t->dir, t->base, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_dev == file->st_dev &&
           st.st_ino == file->st_ino;
}

/* Sets the mode, from which the umask has removed permissions. Glibc says EOPNOTSUPP where it finds no /proc, and where
 * somebody who may write to the directory has put a link in its place: the second call would follow that. Returns 0, or
 * -1 with errno (EADDRINUSE: something else is there). */
static int set_mode(const struct attempt *t) {
    const mode_t mode = t->settings->mode;
    if ((t->st.st_mode & 07777) == mode || fchmodat(t->dir, t->base, mode, AT_SYMLINK_NOFOLLOW) == 0)
        return 0;
    if (errno != EOPNOTSUPP)
        return -1;
    if (is_at_path(t, &t->st))
        return fchmodat(t->dir, t->base, mode, 0);
    errno = EADDRINUSE;
    return -1;
}

/* By a descriptor, so that it is the file that this process has made, whatever is at its path by now. Returns 0, or -1
 * with errno (EADDRINUSE: something else is there). */
static int set_owner(const struct attempt *t) {
    struct stat st;
    descriptors_lock();
    int fd = descriptors_adopt(openat(t->dir, t->base, O_PATH | O_NOFOLLOW | O_CLOEXEC));
    descriptors_unlock();
    if (fd < 0)
        return -1;
    errno = EADDRINUSE;
    int failed = fstat(fd, &st) || st.st_dev != t->st.st_dev || st.st_ino != t->st.st_ino ||
                         fchownat(fd, "", t->uid, t->gid, AT_EMPTY_PATH)
                     ? -1
                     : 0;
    const int error = errno;
    descriptors_close(fd);
    errno = error;
    return failed;
}

/* Gives the file its owner and mode, then lets the socket accept. Returns as put does. */
static int finish(struct attempt *t) {
    if ((t->uid != (uid_t)-1 || t->gid != (gid_t)-1) && set_owner(t)) {
        if (errno != EPERM)
            return -1;
        if (t->uid != (uid_t)-1)
            log_error("no permission to give %s to another owner: run as root", t->shown);
        else
            log_error("no permission to give %s to another group: run as root, or make the user \"%s\" a member of %s",
                      t->shown, own_name(), t->settings->group);
        return EX_NOPERM;
    }
    return set_mode(t) ? -1 : listen(t->fd, (int)t->settings->backlog);
}

/* Gives up what was made. */
static void undo(struct attempt *t) {
    if (t->bound && is_at_path(t, &t->st))
        unlinkat(t->dir, t->base, 0);
    if (t->fd >= 0)
        descriptors_close(t->fd);
    t->bound = false;
    t->fd = -1;
}

/* Puts the socket at the path, where there is nothing, or the dead socket `stale`. Returns 0, the status after a
 * complaint, or -1 with errno (EADDRINUSE: check again). */
static int put(struct attempt *t, const struct stat *stale) {
    if (stale && is_at_path(t, stale) && unlinkat(t->dir, t->base, 0) && errno != ENOENT)
        return -1;
    int status = bind_socket(t);
    if (!status)
        status = finish(t);
    if (!status && is_at_path(t, &t->st))
        return 0;
    /* A server that continues without the lock may have taken this socket for a dead one before it listened. */
    int error = t->bound && (!status || errno == ENOENT) ? EADDRINUSE : errno;
    undo(t);
    errno = error;
    return status ? status : -1;
}

/* Keeps servers that start at the same moment apart: a socket that does not listen yet looks dead. Continues without
 * the lock after two seconds, because anybody who may read the directory can hold it. */
static void lock_dir(struct attempt *t) {
    const struct timespec pause = {.tv_nsec = LOCK_PAUSE_NS};
    descriptors_lock();
    t->lock = descriptors_adopt(openat(t->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    descriptors_unlock();
    for (int i = 0; t->lock >= 0 && i < LOCK_TRIES; i++) {
        if (flock(t->lock, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
            return;
        nanosleep(&pause, NULL);
    }
}

static int replace(struct attempt *t) {
    for (int i = 0; i < OPEN_TRIES; i++) {
        bool stale;
        struct stat st;
        int status = look(t, &stale, &st);
        if (status)
            return status;
        if (i == 0) { /* who is refused need not wait */
            lock_dir(t);
            continue;
        }
        status = put(t, stale ? &st : NULL);
        if (status >= 0)
            return status;
        if (errno != EADDRINUSE)
            break;
    }
    return complain_create(t, errno);
}

int socket_file_open(struct listener *l, const struct address *a, const struct listener_settings *settings) {
    struct attempt t = {.address = a, .settings = settings, .dir = -1, .lock = -1, .fd = -1};
    int status = find_owner(&t);
    if (!status)
        status = find_path(&t);
    if (!status)
        status = open_dir(&t);
    if (!status)
        status = replace(&t);
    if (!status) {
        *l = (struct listener){
            .fd = t.fd, .is_unix = true, .path = t.path, .dev = t.st.st_dev, .ino = t.st.st_ino, .owner = getpid()};
        memcpy(l->text, t.shown, sizeof(l->text));
        t.path = NULL;
    }
    if (t.lock >= 0)
        descriptors_close(t.lock);
    if (t.dir >= 0)
        descriptors_close(t.dir);
    free(t.path);
    return status;
}

void socket_file_unlink(const struct listener *l) {
    struct stat st;
    if (l->path && listener_is_own(l) && lstat(l->path, &st) == 0 && st.st_dev == l->dev && st.st_ino == l->ino)
        unlink(l->path);
}
