#include "config.h"

#include "supervisor/file_globs.h"

#include "base/glob.h"
#include "base/log.h"
#include "base/path.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { DEPTH_MAX = 64, NAMES_MAX = 200000, FOUND_MAX = 16384 };

/* Takes what leads to other directories off the front of a pattern, so that only its own part is compared, whatever is
 * in the name of the directory. Returns 0, or -1 when memory runs out. */
static int glob_init(struct file_glob *glob, const char *run_directory, const char *pattern) {
    const char *rest = pattern;
    size_t n;
    for (; *rest == '/'; rest++)
        run_directory = "";
    while ((n = !strncmp(rest, "./", 2) ? 2 : !strncmp(rest, "../", 3) ? 3 : 0))
        rest += n;
    char *front = strndup(pattern, (size_t)(rest - pattern));
    glob->pattern = rest;
    glob->directory = front ? path_clean(run_directory, front) : NULL;
    free(front);
    return glob->directory ? 0 : -1;
}

int file_globs_init(struct file_globs *g, const struct options *o) {
    const char *start = o->start_directory ? o->start_directory : "/";
    char *run = path_clean(start, o->chdir ? o->chdir : "");
    int failed = !run;
    g->items = calloc(o->reload_extra.count + 1, sizeof *g->items);
    for (size_t i = 0; g->items && !failed && i < o->reload_extra.count; i++) {
        failed = glob_init(&g->items[i], run, o->reload_extra.items[i]);
        g->count++;
    }
    free(run);
    return failed || !g->items ? -1 : 0;
}

/* What stands behind the directory of the pattern, and its slash; NULL: it is elsewhere. */
static const char *inside(const struct file_glob *glob, const char *path) {
    const size_t n = strlen(glob->directory);
    return !strncmp(path, glob->directory, n) && path[n] == '/' ? path + n + 1 : NULL;
}

bool file_globs_match(const struct file_globs *g, const char *path) {
    for (size_t i = 0; i < g->count; i++) {
        const char *rest = inside(&g->items[i], path);
        if (rest && glob_match(g->items[i].pattern, rest))
            return true;
    }
    return false;
}

struct walk {
    struct file_globs *globs;
    const struct file_glob *glob;
    struct file_watch *watch;
    struct file_set *found;
    size_t inside; /* where in `path` the part begins that is compared */
    char path[PATH_MAX];
};

static void complain(struct file_globs *g, const char *pattern) {
    char shown[200];
    if (!g->too_many)
        log_warning("--reload-extra: \"%s\" leads to more than %d names, or %d files: those beyond are left out; write "
                    "a narrower one",
                    log_escape(shown, sizeof shown, pattern, strlen(pattern)), NAMES_MAX, FOUND_MAX);
    g->too_many = true;
}

static bool is_directory(const char *path, const struct dirent *entry) {
    struct stat st;
    return entry->d_type == DT_DIR || (entry->d_type == DT_UNKNOWN && !lstat(path, &st) && S_ISDIR(st.st_mode));
}

static void visit(struct walk *w, unsigned depth);

static void visit_name(struct walk *w, const struct dirent *entry, unsigned depth) {
    if (is_directory(w->path, entry)) {
        if (depth < DEPTH_MAX && glob_may_match_below(w->glob->pattern, w->path + w->inside))
            visit(w, depth + 1);
        return;
    }
    if (!glob_match(w->glob->pattern, w->path + w->inside))
        return;
    if (w->found->count >= FOUND_MAX)
        complain(w->globs, w->glob->pattern);
    else
        (void)file_set_add(w->found, w->path); /* without memory, it is not watched */
}

/* The directory `path`. */
static void visit(struct walk *w, unsigned depth) {
    const size_t len = strlen(w->path);
    struct dirent *entry;
    file_watch_add(w->watch, w->path, len); /* first: what comes later is told */
    DIR *dir = opendir(len ? w->path : "/");
    while (dir && (entry = readdir(dir))) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        if (++w->globs->looked_at > NAMES_MAX) {
            complain(w->globs, w->glob->pattern);
            break;
        }
        if (snprintf(w->path + len, sizeof w->path - len, "/%s", entry->d_name) < (int)(sizeof w->path - len))
            visit_name(w, entry, depth);
        w->path[len] = '\0';
    }
    if (dir)
        closedir(dir);
}

void file_globs_walk(struct file_globs *g, struct file_watch *watch, struct file_set *found) {
    g->looked_at = 0;
    for (size_t i = 0; i < g->count; i++) {
        const struct file_glob *glob = &g->items[i];
        struct walk *w = malloc(sizeof *w);
        if (!w)
            return;
        *w = (struct walk){
            .globs = g, .glob = glob, .watch = watch, .found = found, .inside = strlen(glob->directory) + 1};
        const int n = snprintf(w->path, sizeof w->path, "%s%s%.*s", glob->directory,
                               glob_base(glob->pattern) ? "/" : "", (int)glob_base(glob->pattern), glob->pattern);
        if (n < (int)sizeof w->path)
            visit(w, 0);
        free(w);
    }
    file_set_sort(found);
}

void file_globs_fini(struct file_globs *g) {
    for (size_t i = 0; i < g->count; i++)
        free(g->items[i].directory);
    free(g->items);
    *g = (struct file_globs){0};
}
