#include "config.h"

#include "supervisor/file_set.h"

#include "ipc/control.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const int SEALS = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW;

#define SECOND_NS UINT64_C(1000000000)

static int refuse(char *reason, const char *text) {
    snprintf(reason, FILE_SET_REASON_SIZE, "%s", text);
    return -1;
}

/* Nobody can change it while it is read. */
static int read_text(struct file_set *set, int fd, size_t *size, char *reason) {
    struct stat st;
    const int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &st) || st.st_size < 0 || st.st_size > CONTROL_FILES_SIZE)
        return refuse(reason, "what it has sent is no sealed file of that size");
    *size = (size_t)st.st_size;
    if (!(set->text = malloc(*size + 1)))
        return refuse(reason, "out of memory");
    if (pread(fd, set->text, *size, 0) != (ssize_t)*size)
        return refuse(reason, "it cannot be read");
    set->text[*size] = '\0';
    return 0;
}

static int compare(const void *a, const void *b) {
    const struct file_entry *x = a, *y = b;
    return strcmp(x->path, y->path);
}

static int append(struct file_set *set, const char *path) {
    if (set->count == set->room) {
        size_t room = set->room ? 2 * set->room : 64;
        struct file_entry *items = realloc(set->items, room * sizeof *items);
        if (!items)
            return -1;
        set->items = items;
        set->room = room;
    }
    set->items[set->count++] = (struct file_entry){.path = path};
    return 0;
}

static int cut(struct file_set *set, size_t size, char *reason) {
    for (size_t at = 0; at < size; at += strlen(set->text + at) + 1) {
        const char *path = set->text + at;
        if (*path != '/' || strlen(path) >= PATH_MAX)
            return refuse(reason, "a name in it is no absolute path");
        if (set->count == CONTROL_FILES_MAX)
            return refuse(reason, "there are too many");
        if (append(set, path))
            return refuse(reason, "out of memory");
    }
    return 0;
}

int file_set_read(struct file_set *set, int fd, char reason[static FILE_SET_REASON_SIZE]) {
    size_t size;
    *set = (struct file_set){0};
    if (read_text(set, fd, &size, reason) || cut(set, size, reason)) {
        file_set_fini(set);
        return -1;
    }
    file_set_sort(set);
    return 0;
}

int file_set_add(struct file_set *set, const char *path) {
    char *copy = strdup(path);
    set->owns_paths = true;
    if (copy && !append(set, copy))
        return 0;
    free(copy);
    return -1;
}

void file_set_sort(struct file_set *set) {
    size_t kept = 0;
    if (set->count)
        qsort(set->items, set->count, sizeof *set->items, compare);
    for (size_t i = 0; i < set->count; i++) {
        if (!kept || strcmp(set->items[kept - 1].path, set->items[i].path) != 0)
            set->items[kept++] = set->items[i];
        else if (set->owns_paths)
            free((char *)(uintptr_t)set->items[i].path);
    }
    set->count = kept;
}

struct file_entry *file_set_find(const struct file_set *set, const char *path) {
    const struct file_entry key = {.path = path};
    return set->count ? bsearch(&key, set->items, set->count, sizeof *set->items, compare) : NULL;
}

static uint64_t in_ns(const struct timespec *t) {
    return t->tv_sec < 0 ? 0 : (uint64_t)t->tv_sec * SECOND_NS + (uint64_t)t->tv_nsec;
}

bool file_entry_look(struct file_entry *entry, uint64_t *changed_at) {
    struct stat st;
    struct file_stamp now = {0};
    const bool there = !stat(entry->path, &st);
    if (there)
        now = (struct file_stamp){
            .device = st.st_dev, .inode = st.st_ino, .size = (uint64_t)st.st_size, .modified = in_ns(&st.st_mtim)};
    if (there && S_ISDIR(st.st_mode)) /* where a package is looked for: what is made in it is told by its own name */
        now.size = now.modified = 0;
    if (changed_at)
        *changed_at = there && now.modified ? in_ns(&st.st_ctim) : 0;
    const bool same = now.device == entry->stamp.device && now.inode == entry->stamp.inode &&
                      now.size == entry->stamp.size && now.modified == entry->stamp.modified;
    const bool coarse = there && entry->touched && now.modified && now.modified % SECOND_NS == 0;
    entry->stamp = now;
    entry->touched = false;
    return !same || coarse;
}

void file_set_fini(struct file_set *set) {
    for (size_t i = 0; i < set->count && set->owns_paths; i++)
        free((char *)(uintptr_t)set->items[i].path);
    free(set->items);
    free(set->text);
    *set = (struct file_set){0};
}
