/* The files of --reload-extra: those that match patterns, in directories that may come and go.
 *
 * Threads: the main thread.
 */
#ifndef WSGI_FCGI_SUPERVISOR_FILE_GLOBS_H
#define WSGI_FCGI_SUPERVISOR_FILE_GLOBS_H

#include "cli/options.h"
#include "supervisor/file_set.h"
#include "supervisor/file_watch.h"

struct file_glob {
    char *directory;     /* that the pattern is relative to; absolute, "" is the root */
    const char *pattern; /* of base/glob.h, relative; of the options */
};

struct file_globs {
    struct file_glob *items;
    size_t count;
    size_t looked_at; /* names in directories by the last file_globs_walk */
    bool too_many;    /* that was told */
};

/* *g is zeroed. Returns 0, or -1 when memory runs out. *o outlives it. */
int file_globs_init(struct file_globs *g, const struct options *o);

/* Whether a file of this absolute path counts. */
bool file_globs_match(const struct file_globs *g, const char *path);

/* Looks for all of them: adds their directories, and those in which they may come to be, to *w, and themselves, without
 * stamps, to *found. Links to directories are not followed. What goes beyond its limits is left out, with a log line. */
void file_globs_walk(struct file_globs *g, struct file_watch *w, struct file_set *found);

void file_globs_fini(struct file_globs *g);

#endif
