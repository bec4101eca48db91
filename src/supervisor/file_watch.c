#include "config.h"

#include "supervisor/file_watch.h"

#include "base/descriptors.h"
#include "base/log.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EVENTS_SIZE = 16384, TRIES = 8 };

static const uint32_t WATCHED = IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF |
                                IN_MOVE_SELF | IN_ONLYDIR | IN_EXCL_UNLINK;

static void dirs_clear(struct file_watch_dirs *dirs) {
    for (size_t i = 0; i < dirs->count; i++)
        free(dirs->items[i].path);
    dirs->count = 0;
}

static int compare(const void *a, const void *b) {
    const struct file_watch_dir *x = a, *y = b;
    return x->wd != y->wd ? (x->wd > y->wd) - (x->wd < y->wd) : strcmp(x->path, y->path);
}

static void dirs_sort(struct file_watch_dirs *dirs) {
    size_t kept = 0;
    if (dirs->count)
        qsort(dirs->items, dirs->count, sizeof *dirs->items, compare);
    for (size_t i = 0; i < dirs->count; i++) {
        if (kept && !compare(&dirs->items[kept - 1], &dirs->items[i]))
            free(dirs->items[i].path);
        else
            dirs->items[kept++] = dirs->items[i];
    }
    dirs->count = kept;
}

/* The first of those with this wd; NULL when there is none. */
static struct file_watch_dir *dirs_find(const struct file_watch_dirs *dirs, int wd) {
    size_t low = 0, high = dirs->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (dirs->items[middle].wd < wd)
            low = middle + 1;
        else
            high = middle;
    }
    return low < dirs->count && dirs->items[low].wd == wd ? &dirs->items[low] : NULL;
}

/* Events. */

/* A file that is just being made is not whole before it is closed: that is told by another event. One that has come as
 * a link is. */
static bool is_whole(const char *path) {
    struct stat st;
    return !lstat(path, &st) && (!S_ISREG(st.st_mode) || st.st_nlink > 1);
}

static void on_name(struct file_watch *w, const struct file_watch_dir *dir, const struct inotify_event *event) {
    char path[PATH_MAX + NAME_MAX + 2];
    if (snprintf(path, sizeof path, "%s/%s", dir->path, event->name) >= (int)sizeof path)
        return;
    if (!(event->mask & IN_CREATE) || is_whole(path))
        w->changed(w->arg, path);
}

static void on_event(struct file_watch *w, const struct inotify_event *event) {
    /* Python makes this one beside modules, and nothing that counts is in it. */
    static const char cache[] = "__pycache__";
    if (!(event->mask & IN_Q_OVERFLOW) && !dirs_find(&w->dirs, event->wd))
        return; /* it is watched no longer */
    if (!event->len || event->mask & (IN_ISDIR | IN_Q_OVERFLOW)) {
        if (!event->len || strcmp(event->name, cache) != 0)
            w->uncertain(w->arg);
        return;
    }
    const struct file_watch_dir *end = w->dirs.items + w->dirs.count;
    for (const struct file_watch_dir *dir = dirs_find(&w->dirs, event->wd); dir && dir < end && dir->wd == event->wd;
         dir++)
        on_name(w, dir, event);
}

static void events_cb(struct ev_loop *loop, ev_io *io, int revents) {
    struct file_watch *w = io->data;
    _Alignas(struct inotify_event) char events[EVENTS_SIZE];
    (void)loop;
    (void)revents;
    const ssize_t n = read(w->fd, events, sizeof events); /* the rest makes the loop come back */
    for (ssize_t at = 0; at < n;) {
        const struct inotify_event *event = (const void *)(events + at);
        on_event(w, event);
        at += (ssize_t)(sizeof *event + event->len);
    }
}

/* What is watched. */

int file_watch_open(struct file_watch *w, struct ev_loop *loop) {
    descriptors_lock();
    w->fd = descriptors_adopt(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
    descriptors_unlock();
    if (w->fd < 0) {
        log_error("--reload cannot watch files: inotify: %s%s", strerror(errno),
                  errno == EMFILE ? "; raise fs.inotify.max_user_instances (sysctl), or the limit of open files" : "");
        return -1;
    }
    w->loop = loop;
    ev_io_init(&w->io, events_cb, w->fd, EV_READ);
    w->io.data = w;
    ev_io_start(loop, &w->io);
    return 0;
}

void file_watch_begin(struct file_watch *w) {
    dirs_clear(&w->next);
}

static void complain(struct file_watch *w, const char *what) {
    if (!w->full)
        log_warning("--reload watches %zu directories, and cannot watch more: %s; changes in others are not noticed",
                    w->next.count, what);
    w->full = true;
}

static void complain_denied(struct file_watch *w, const char *path) {
    char shown[PATH_MAX];
    if (!w->denied)
        log_warning(
            "--reload cannot watch %s: %s; changes in it are not noticed, until the user of the application may "
            "read that directory",
            log_escape(shown, sizeof shown, path, strlen(path)), strerror(EACCES));
    w->denied = true;
}

/* Takes `path`, of `len` bytes and in memory of its own. */
static void keep(struct file_watch *w, int wd, char *path, size_t len) {
    struct file_watch_dirs *dirs = &w->next;
    if (dirs->count == dirs->room) {
        size_t room = dirs->room ? 2 * dirs->room : 64;
        struct file_watch_dir *items = realloc(dirs->items, room * sizeof *items);
        if (!items) {
            free(path);
            complain(w, "out of memory");
            return;
        }
        dirs->items = items;
        dirs->room = room;
    }
    path[len] = '\0';
    dirs->items[dirs->count++] = (struct file_watch_dir){.wd = wd, .path = path};
}

static int watch(const struct file_watch *w, const char *path) {
    return inotify_add_watch(w->fd, *path ? path : "/", WATCHED);
}

/* Watches the directory, or the nearest one above it. Returns the wd, and in *len how much of `path` that is; -1 with
 * errno. */
static int watch_nearest_now(const struct file_watch *w, char *path, size_t *len) {
    for (;;) {
        const char end = path[*len];
        path[*len] = '\0';
        const int wd = watch(w, path);
        path[*len] = end;
        if (wd >= 0 || !*len || (errno != ENOENT && errno != ENOTDIR))
            return wd;
        const char *slash = memrchr(path, '/', *len);
        *len = slash ? (size_t)(slash - path) : 0;
    }
}

/* The same; what was made below that one before it was watched is seen as well. */
static int watch_nearest(const struct file_watch *w, char *path, size_t *len) {
    const size_t whole = *len;
    for (unsigned tries = 0;; tries++) {
        *len = whole;
        const int wd = watch_nearest_now(w, path, len);
        if (wd < 0 || *len == whole || tries == TRIES)
            return wd;
        const size_t next = *len + 1 + strcspn(path + *len + 1, "/");
        const char end = path[next];
        path[next] = '\0';
        const bool made = !access(path, F_OK);
        path[next] = end;
        if (!made)
            return wd;
    }
}

void file_watch_add(struct file_watch *w, const char *directory, size_t len) {
    const struct file_watch_dir *last = w->next.count ? &w->next.items[w->next.count - 1] : NULL;
    if (last && strlen(last->path) == len && !memcmp(last->path, directory, len))
        return;
    if (w->next.count >= FILE_WATCH_MAX) {
        complain(w, "these are enough; see --reload in the manual page");
        return;
    }
    char *path = strndup(directory, len);
    int wd = path ? watch_nearest(w, path, &len) : -1;
    if (wd >= 0) {
        keep(w, wd, path, len);
        return;
    }
    if (!path || errno == ENOMEM)
        complain(w, "out of memory");
    else if (errno == ENOSPC)
        complain(w, "raise fs.inotify.max_user_watches (sysctl)");
    else if (errno == EACCES)
        complain_denied(w, path);
    free(path);
}

void file_watch_end(struct file_watch *w) {
    struct file_watch_dirs before = w->dirs;
    dirs_sort(&w->next);
    w->dirs = w->next;
    for (size_t i = 0; i < before.count; i++) {
        if (!dirs_find(&w->dirs, before.items[i].wd))
            (void)inotify_rm_watch(w->fd, before.items[i].wd); /* the kernel may have done so */
    }
    dirs_clear(&before);
    w->next = before;
}

void file_watch_close(struct file_watch *w) {
    if (w->fd >= 0) {
        ev_io_stop(w->loop, &w->io);
        descriptors_close(w->fd);
    }
    dirs_clear(&w->dirs);
    dirs_clear(&w->next);
    free(w->dirs.items);
    free(w->next.items);
}
