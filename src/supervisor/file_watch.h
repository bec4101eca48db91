/* Directories that are watched (inotify(7)): what is written, made, moved and deleted in them.
 *
 * Directories, not files: an editor puts another file in the place of the one that it has read. In the place of a
 * directory that is not there the nearest one above it is watched, and when something is made in that, the owner is to
 * say again what is to be watched: file_watch_begin, file_watch_add for each directory, file_watch_end.
 *
 * Threads: the main thread.
 */
#ifndef WSGI_FCGI_SUPERVISOR_FILE_WATCH_H
#define WSGI_FCGI_SUPERVISOR_FILE_WATCH_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>

enum { FILE_WATCH_MAX = 8192 /* directories */ };

struct file_watch_dir {
    int wd;
    char *path; /* without a slash at its end: "" is the root */
};

struct file_watch_dirs {
    struct file_watch_dir *items;
    size_t count, room;
};

struct file_watch {
    /* A file is whole again, or gone. `path` is that of file_watch_add with its name behind; until it returns. */
    void (*changed)(void *arg, const char *path);
    /* A directory is new, or gone, or the kernel had more to tell than it could keep: nothing is certain. */
    void (*uncertain)(void *arg);
    void *arg;

    int fd;
    struct ev_loop *loop;
    ev_io io;
    struct file_watch_dirs dirs, next; /* by wd; several paths may lead to one directory */
    bool full, denied;                 /* a limit was told of; a directory that may not be read */
};

/* Begins with no directory. Returns 0, or -1 after a log line. *w has the callbacks, and is zeroed otherwise. */
int file_watch_open(struct file_watch *w, struct ev_loop *loop);

/* From now on directories are named anew; those that are not are watched no longer from file_watch_end on. */
void file_watch_begin(struct file_watch *w);

/* `directory`: absolute, with `len` bytes. Beyond FILE_WATCH_MAX, or what the system allows, it is left out, and a log
 * line says so, once. */
void file_watch_add(struct file_watch *w, const char *directory, size_t len);

void file_watch_end(struct file_watch *w);

void file_watch_close(struct file_watch *w);

#endif
