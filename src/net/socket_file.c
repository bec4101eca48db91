#include "config.h"

#include "net/socket_file.h"

#include "base/descriptors.h"
#include "base/log.h"
#include "net/id.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

enum { OPEN_TRIES = 8, RANDOM_LETTERS = 6, LOCK_TRIES = 200, LOCK_PAUSE_NS = 10 * 1000 * 1000 };

/* What is needed between looking at the path and publishing the new socket there. The socket is bound under a hidden
 * name in the same directory and renamed when it has its mode and owner and listens, so that nobody ever meets it with
 * wider permissions than asked for or refusing connections. (The kernel goes on showing the hidden name, in ss(8).) */
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
    struct sockaddr_un temp_address;
    const char *temp; /* the hidden name, relative to `dir`: the tail of temp_address */
    struct stat st;   /* of the new socket file */
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
    t->uid = pw ? pw->pw_uid : (uid_t)-1;
    t->gid = gr ? gr->gr_gid : (gid_t)-1;
    if (user && !pw && !id_read(user, &t->uid)) {
        log_error("--socket-owner: there is no user \"%s\" on this machine",
                  log_escape(shown, sizeof(shown), user, strlen(user)));
        return EX_NOUSER;
    }
    if (group && !gr && !id_read(group, &t->gid)) {
        log_error("--socket-group: there is no group \"%s\" on this machine",
                  log_escape(shown, sizeof(shown), group, strlen(group)));
        return EX_NOUSER;
    }
    return 0;
}

/* Makes `path` absolute: the process may be in another directory when the file has to be removed. */
static int find_path(struct attempt *t) {
    const struct sockaddr_un *sun = (const void *)&t->address->sa;
    const bool is_relative = sun->sun_path[0] != '/';
    const char *given = strncmp(sun->sun_path, "./", 2) == 0 ? sun->sun_path + 2 : sun->sun_path;
    char *cwd = is_relative ? getcwd(NULL, 0) : NULL;
    int n = is_relative && !cwd ? -1 : asprintf(&t->path, "%s%s%s", cwd ? cwd : "", cwd ? "/" : "", given);
    free(cwd);
    if (n < 0) {
        t->path = NULL;
        log_error("cannot make the path of %s absolute: %s", given, strerror(errno));
        return EX_OSERR;
    }
    t->base = strrchr(t->path, '/') + 1;
    log_escape(t->shown, sizeof(t->shown), t->path, (size_t)n);
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

/* Finds out by connecting whether anybody listens on the socket file that is there. Returns 0 when nobody does. */
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

/* Looks at what is at the path. Returns 0 with *stale telling whether a dead socket is there, whose identity goes to
 * *st; or the status after a complaint. */
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
        log_error("cannot create %s: its file system is read-only, choose another directory", t->shown);
        return EX_CANTCREAT;
    default:
        log_error("cannot create %s: %s", t->shown, strerror(error));
        return EX_OSERR;
    }
}

static int make_temp_name(struct attempt *t) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567";
    char *out = t->temp_address.sun_path, random[RANDOM_LETTERS + 1] = "";
    const size_t size = sizeof(t->temp_address.sun_path);
    if (getrandom(random, RANDOM_LETTERS, 0) != RANDOM_LETTERS)
        return -1;
    for (int i = 0; i < RANDOM_LETTERS; i++)
        random[i] = letters[random[i] & 31];
    t->temp_address.sun_family = AF_UNIX;
    const int prefix = (int)(t->base - t->path);
    int n = snprintf(out, size, "%.*s.%s.%s", prefix, t->path, t->base, random);
    if (n < (int)size) {
        t->temp = out + prefix;
        return 0;
    }
    /* The path fits sun_path and the longer hidden one does not: take the way round through the open directory. */
    n = snprintf(out, size, "/proc/self/fd/%d/", t->dir);
    t->temp = out + n;
    snprintf(out + n, size - (size_t)n, ".%s", random);
    return 0;
}

static int bind_temp(struct attempt *t) {
    t->fd = make_socket();
    if (t->fd < 0)
        return complain_create(t, errno);
    for (int i = 0; i < OPEN_TRIES; i++) {
        if (make_temp_name(t) == 0 &&
            bind(t->fd, (const struct sockaddr *)&t->temp_address, sizeof(t->temp_address)) == 0)
            return 0;
        if (errno != EADDRINUSE)
            break;
    }
    int error = errno;
    t->temp = NULL;
    return complain_create(t, error);
}

/* Gives the socket its owner and mode, then lets it accept. */
static int finish_temp(struct attempt *t) {
    if ((t->uid != (uid_t)-1 || t->gid != (gid_t)-1) &&
        fchownat(t->dir, t->temp, t->uid, t->gid, AT_SYMLINK_NOFOLLOW)) {
        if (errno != EPERM)
            return complain_create(t, errno);
        log_error("no permission to give %s to another %s: run as root%s", t->shown,
                  t->uid != (uid_t)-1 ? "owner" : "group",
                  t->uid != (uid_t)-1 ? "" : ", or as a member of the --socket-group");
        return EX_NOPERM;
    }
    if (fchmodat(t->dir, t->temp, t->settings->mode, 0) || fstatat(t->dir, t->temp, &t->st, AT_SYMLINK_NOFOLLOW) ||
        listen(t->fd, (int)t->settings->backlog))
        return complain_create(t, errno);
    return 0;
}

/* Moves the socket to its path, where there must be nothing, or the stale socket that was looked at: a server that has
 * started there since is not replaced. Returns 0, or -1 with errno (EEXIST, ENOENT: look again). */
static int publish(struct attempt *t, const struct stat *stale) {
    struct stat st;
    if (renameat2(t->dir, t->temp, t->dir, t->base, stale ? RENAME_EXCHANGE : RENAME_NOREPLACE)) {
        if (errno != EINVAL || renameat(t->dir, t->temp, t->dir, t->base)) /* EINVAL: unknown to the file system */
            return -1;
        stale = NULL;
    }
    if (stale && fstatat(t->dir, t->temp, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        if (st.st_dev != stale->st_dev || st.st_ino != stale->st_ino) {
            renameat2(t->dir, t->temp, t->dir, t->base, RENAME_EXCHANGE);
            errno = EEXIST;
            return -1;
        }
        unlinkat(t->dir, t->temp, 0);
    }
    t->temp = NULL;
    return 0;
}

/* Keeps several servers that start at the same moment from replacing each other's socket for the same stale one. Goes
 * on without the lock after two seconds, since whoever may read the directory can hold it. */
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
    bool locked = false;
    for (int i = 0; i < OPEN_TRIES; i++) {
        bool stale;
        struct stat st;
        int status = look(t, &stale, &st);
        if (!status && stale && !locked) {
            lock_dir(t);
            locked = true;
            continue;
        }
        if (!status && !t->temp && !(status = bind_temp(t)))
            status = finish_temp(t);
        if (status)
            return status;
        if (publish(t, stale ? &st : NULL) == 0)
            return 0;
        if (errno != EEXIST && errno != ENOENT)
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
            .fd = t.fd, .is_unix = true, .path = t.path, .dev = t.st.st_dev, .ino = t.st.st_ino, .pid = getpid()};
        memcpy(l->text, t.shown, sizeof(l->text));
        t.fd = -1;
        t.path = NULL;
    }
    if (t.temp)
        unlinkat(t.dir, t.temp, 0);
    if (t.fd >= 0)
        descriptors_close(t.fd);
    if (t.lock >= 0)
        descriptors_close(t.lock);
    if (t.dir >= 0)
        descriptors_close(t.dir);
    free(t.path);
    return status;
}

void socket_file_unlink(const struct listener *l) {
    struct stat st;
    if (l->path && l->pid == getpid() && lstat(l->path, &st) == 0 && st.st_dev == l->dev && st.st_ino == l->ino)
        unlink(l->path);
}
