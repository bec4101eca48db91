/* Names of files, with what each looked like when it was last looked at.
 *
 * Ownership: the set has them. Threads: the main thread.
 */
#ifndef WSGI_FCGI_SUPERVISOR_FILE_SET_H
#define WSGI_FCGI_SUPERVISOR_FILE_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All zero: it is not there. */
struct file_stamp {
    uint64_t device, inode, size;
    uint64_t modified; /* nanoseconds since 1970 */
};

struct file_entry {
    const char *path; /* absolute, not always the shortest one */
    struct file_stamp stamp;
    bool touched; /* an event was about it */
};

/* Zeroed: empty. */
struct file_set {
    char *text;
    struct file_entry *items; /* by path, each once, unless file_set_add has added some */
    size_t count, room;
    bool owns_paths; /* each of them for itself, as file_set_add makes them */
};

enum { FILE_SET_REASON_SIZE = 128 };

/* Reads what a worker has sent: a sealed file in memory (CONTROL_FILES in ipc/control.h). No stamps yet. Returns 0, or
 * -1 after filling `reason`: a worker is not believed. */
int file_set_read(struct file_set *set, int fd, char reason[static FILE_SET_REASON_SIZE]);

/* Adds a copy of `path` to a set that is only filled in this way. Returns 0, or -1 when memory runs out. */
int file_set_add(struct file_set *set, const char *path);

/* Brings those that were added into their order. */
void file_set_sort(struct file_set *set);

/* NULL: there is none. */
struct file_entry *file_set_find(const struct file_set *set, const char *path);

/* Looks at the file. Returns whether it is another one than at the last time, or has been touched within the resolution
 * of its time, as some file systems have whole seconds. `changed_at`, unless NULL: when, as the file system tells, its
 * inode last changed in any way, nanoseconds since 1970; 0: it is not there. */
bool file_entry_look(struct file_entry *entry, uint64_t *changed_at);

void file_set_fini(struct file_set *set);

#endif
