#include "config.h"

#include "supervisor/files.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/path.h"
#include "process/user.h"
#include "supervisor/file_globs.h"
#include "supervisor/file_set.h"
#include "supervisor/file_watch.h"
#include "supervisor/workers.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>

#define QUIET_NS UINT64_C(15000000)     /* without a further event, a change is over; */
#define LONGEST_NS UINT64_C(500000000)  /* or so long after its first one */
#define PATIENT_NS UINT64_C(2000000000) /* a worker that loads for longer does not hold up the next one */
#define LATEST_NS UINT64_C(100000000)   /* what a worker has told waits no longer for it to serve */

enum { SHOWN_SIZE = 300 };

/* What the workers of one number have loaded. */
struct told {
    struct file_set set;  /* what is watched */
    struct file_set next; /* what is to be watched instead, if `waits`; what was, while that one is taken */
    uint64_t started_at;  /* of the worker that has told it; 0: none has */
    uint64_t start;       /* the same as file systems tell the time */
    uint64_t told_at;
    pid_t pid;
    bool waits, taken;
};

struct files {
    struct supervisor *supervisor;
    struct file_watch watch;
    struct file_globs globs;
    struct told told[SUPERVISOR_WORKERS_MAX]; /* by number */
    struct file_set extra;                    /* what the patterns have found */
    char *directory;                          /* that the application runs in */
    bool walked;                              /* the patterns were looked for before */

    uint64_t first_at, last_at; /* events of the change that is not over; 0: there is none */
    bool uncertain;             /* every file is to be looked at, and what is watched may be wrong */
    unsigned counted;           /* files that were found to be others than before, and */
    char name[SHOWN_SIZE];      /* one of them, until they are the latest change: */
    unsigned changed;           /* how many, */
    char first[SHOWN_SIZE];     /* and one of them, for the log */
    uint64_t changed_at;        /* when it was over: workers that were started before are outdated */
    bool news;                  /* nothing was done about it yet */
};

/* Events. */

static void note(struct files *f) {
    f->last_at = clock_ns();
    if (!f->first_at)
        f->first_at = f->last_at;
}

static void uncertain_cb(void *arg) {
    struct files *f = arg;
    f->uncertain = true;
    note(f);
}

static bool touch(const struct file_set *set, const char *path) {
    struct file_entry *entry = file_set_find(set, path);
    if (entry)
        entry->touched = true;
    return entry;
}

static void changed_cb(void *arg, const char *path) {
    struct files *f = arg;
    bool counts = touch(&f->extra, path);
    for (unsigned n = 0; n < SUPERVISOR_WORKERS_MAX; n++)
        counts |= touch(&f->told[n].set, path);
    if (!counts && !file_globs_match(&f->globs, path))
        return;
    f->uncertain |= !counts; /* one that is new */
    note(f);
}

/* What has changed. */

static void count(struct files *f, const char *path) {
    const size_t n = strlen(f->directory);
    if (!strncmp(path, f->directory, n) && path[n] == '/')
        path += n + 1;
    if (!f->counted++)
        log_escape(f->name, sizeof f->name, path, strlen(path));
}

/* Paths are what workers say: with --user their application learns nothing from the log of the supervisor, which is
 * root, that it could not find out itself. A failure was logged, and ends nothing. */
static void look_as_user(const struct files *f, bool as) {
    (void)user_act_as(f->supervisor->sockets.user, as);
}

/* Of one set. A file that is also in one of those that were looked at before, was counted there. */
static void compare(struct files *f, struct file_set *set, bool all) {
    for (size_t i = 0; i < set->count; i++) {
        struct file_entry *entry = &set->items[i];
        if ((!all && !entry->touched) || !file_entry_look(entry, NULL))
            continue;
        bool known = set != &f->extra && file_set_find(&f->extra, entry->path);
        for (const struct told *t = f->told; !known && set != &f->extra && &t->set != set; t++)
            known = file_set_find(&t->set, entry->path);
        if (!known)
            count(f, entry->path);
    }
}

static void add_directories(struct files *f, const struct file_set *set) {
    for (size_t i = 0; i < set->count; i++) {
        const char *path = set->items[i].path;
        file_watch_add(&f->watch, path, (size_t)(strrchr(path, '/') - path));
    }
}

/* Takes the files that match now; those that are new, or gone, have changed. */
static void take_extra(struct files *f, struct file_set *found) {
    for (size_t i = 0; i < found->count; i++) {
        struct file_entry *entry = &found->items[i];
        const struct file_entry *known = file_set_find(&f->extra, entry->path);
        if (known)
            *entry = (struct file_entry){.path = entry->path, .stamp = known->stamp, .touched = known->touched};
        if (file_entry_look(entry, NULL) && f->walked)
            count(f, entry->path);
    }
    for (size_t i = 0; i < f->extra.count; i++) {
        if (!file_set_find(found, f->extra.items[i].path))
            count(f, f->extra.items[i].path);
    }
    file_set_fini(&f->extra);
    f->extra = *found;
    f->walked = true;
}

/* Watches what is to be watched. The directories first: what is looked at before they are could change unseen. */
static void watch_anew(struct files *f) {
    struct file_set found = {0};
    file_watch_begin(&f->watch);
    for (unsigned n = 0; n < SUPERVISOR_WORKERS_MAX; n++)
        add_directories(f, &f->told[n].set);
    file_globs_walk(&f->globs, &f->watch, &found);
    file_watch_end(&f->watch);
    take_extra(f, &found);
}

/* Makes what was counted the latest change. */
static void end_change(struct files *f, uint64_t now) {
    if (!f->counted)
        return;
    f->changed = f->news ? f->changed + f->counted : f->counted;
    memcpy(f->first, f->name, sizeof f->first);
    f->counted = 0;
    f->changed_at = now;
    f->news = true;
}

/* Nothing was written for a moment. */
static void settle(struct files *f, uint64_t now) {
    const bool all = f->uncertain;
    f->first_at = f->last_at = 0;
    f->uncertain = false;
    look_as_user(f, true);
    if (all)
        watch_anew(f);
    else
        compare(f, &f->extra, false);
    for (unsigned n = 0; n < SUPERVISOR_WORKERS_MAX; n++)
        compare(f, &f->told[n].set, all);
    look_as_user(f, false);
    end_change(f, now);
}

/* What workers tell. */

/* When a worker was started, as file systems tell the time. */
static uint64_t start_of(const struct worker *w, uint64_t now) {
    return clock_unix_ns() - (now > w->started_at ? now - w->started_at : 0);
}

/* Looks at files for the first time. One that was not watched while the worker has loaded it, and has changed since its
 * start, may be another one now than it has seen. It may still be written, as others of the same change. */
static void look_first(struct files *f, struct told *told) {
    for (size_t i = 0; i < told->set.count; i++) {
        uint64_t changed_at;
        struct file_entry *entry = &told->set.items[i];
        const struct file_entry *known = file_set_find(&told->next, entry->path);
        if (known) {
            entry->stamp = known->stamp;
            entry->touched = known->touched;
            continue;
        }
        file_entry_look(entry, &changed_at);
        if (changed_at > told->start) {
            entry->stamp.modified = 0; /* another one than it can be, whether it is still there or not */
            entry->touched = true;
            note(f);
        }
    }
}

static void exchange(struct told *told) {
    const struct file_set set = told->set;
    told->set = told->next;
    told->next = set;
    told->taken = true;
    told->waits = false;
}

static void end_exchange(struct files *f, unsigned number) {
    struct told *told = &f->told[number];
    look_first(f, told);
    file_set_fini(&told->next);
    told->taken = false;
    log_debug("worker %u (process %d) has %zu files, in %zu directories", number, (int)told->pid, told->set.count,
              f->watch.dirs.count);
}

void files_told(struct worker *w, const struct control_message *m, uint64_t now) {
    char reason[FILE_SET_REASON_SIZE];
    struct files *f = w->supervisor->files;
    struct file_set set;
    if (!f)
        return;
    struct told *told = &f->told[w->number];
    w->files_told = true;
    /* What the command line names is little beside what an earlier one has loaded; and that one does not know better
     * than its successor. */
    if (told->started_at > w->started_at || (m->a == CONTROL_FILES_FIRST && told->started_at))
        return;
    if (m->nfds != 1 || file_set_read(&set, m->fds[0], reason)) {
        log_warning(WORKER_LINE "tells which files it has loaded, but %s: changes of new ones are not noticed",
                    WORKER_WORDS(w), m->nfds != 1 ? "without them" : reason);
        return;
    }
    file_set_fini(&told->next);
    told->next = set;
    told->started_at = w->started_at;
    told->start = start_of(w, now);
    told->told_at = now;
    told->pid = w->pid;
    told->waits = true;
}

bool files_may_mend(const struct worker *w, int status) {
    const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
    return w->supervisor->files && w->files_told && code != EX_USAGE && code != EX_OSERR;
}

/* What follows. */

/* "app.py has changed", or "app.py and 3 other files have changed". */
static void describe(const struct files *f, char out[static SHOWN_SIZE + 64]) {
    if (f->changed <= 1)
        snprintf(out, SHOWN_SIZE + 64, "%s has changed", f->first);
    else
        snprintf(out, SHOWN_SIZE + 64, "%s and %u other file%s have changed", f->first, f->changed - 1,
                 f->changed == 2 ? "" : "s");
}

/* The worker of this number that was started last, of those that serve or are to; NULL: there is none. */
static struct worker *find_newest(struct supervisor *s, unsigned number) {
    struct worker *newest = NULL;
    for (unsigned i = 0; i < s->slots_made; i++) {
        struct worker *w = &s->workers[i];
        if (worker_is_live(w) && w->number == number && (!newest || w->started_at > newest->started_at))
            newest = w;
    }
    return newest;
}

/* Nothing that has failed before says anything about what is there now. */
static void forgive(struct supervisor *s) {
    char what[SHOWN_SIZE + 64];
    describe(s->files, what);
    for (unsigned n = 0; n < s->wanted; n++) {
        const bool waits = s->places[n].due_at > s->files->changed_at;
        s->places[n] = (struct place){0};
        if (waits && !find_newest(s, n))
            log_info("%s: starting worker %u", what, n);
    }
}

static void look_at(struct supervisor *s, struct worker *w, uint64_t now) {
    char what[SHOWN_SIZE + 64];
    const struct files *f = s->files;
    if (w->started_at >= f->changed_at)
        return;
    if (w->state == WORKER_SERVING && w->wish != WISH_FILES) {
        w->wish = WISH_FILES;
        w->wished_at = now;
        describe(f, what);
        log_info("%s: replacing worker %u", what, w->number);
    } else if (w->state != WORKER_SERVING && supervisor_is_due(s, w->started_at + PATIENT_NS, now)) {
        describe(f, what);
        log_info("%s: worker %u, which has not served yet, begins anew", what, w->number);
        workers_stop(w, now);
    }
}

void files_look(struct supervisor *s, uint64_t now) {
    struct files *f = s->files;
    if (!f)
        return;
    if (f->first_at) {
        const uint64_t quiet = f->last_at + QUIET_NS, longest = f->first_at + LONGEST_NS;
        if (supervisor_is_due(s, quiet < longest ? quiet : longest, now))
            settle(f, now);
    }
    if (f->news)
        forgive(s);
    f->news = false;
    for (unsigned n = 0; n < s->wanted && f->changed_at; n++) {
        struct worker *w = find_newest(s, n);
        if (w)
            look_at(s, w, now);
    }
}

/* The messages of a worker that loads are more urgent. */
static bool is_awaited(struct supervisor *s, unsigned number) {
    const struct worker *w = find_newest(s, number);
    return w && w->state != WORKER_SERVING;
}

void files_take(struct supervisor *s, uint64_t now) {
    struct files *f = s->files;
    bool any = false;
    for (unsigned n = 0; f && n < SUPERVISOR_WORKERS_MAX; n++) {
        struct told *told = &f->told[n];
        if (!told->waits || (is_awaited(s, n) && !supervisor_is_due(s, told->told_at + LATEST_NS, now)))
            continue;
        exchange(told);
        any = true;
    }
    if (!any)
        return;
    look_as_user(f, true);
    watch_anew(f);
    for (unsigned n = 0; n < SUPERVISOR_WORKERS_MAX; n++) {
        if (f->told[n].taken)
            end_exchange(f, n);
    }
    look_as_user(f, false);
    if (f->counted)
        note(f);
    if (f->first_at)
        (void)supervisor_is_due(s, f->last_at + QUIET_NS, now); /* files_look goes on then */
}

int files_open(struct supervisor *s) {
    const struct options *o = s->o;
    struct files *f = o->reload ? calloc(1, sizeof *f) : NULL;
    if (!o->reload)
        return 0;
    if (!f || file_globs_init(&f->globs, o) ||
        !(f->directory = path_clean(o->start_directory ? o->start_directory : "/", o->chdir ? o->chdir : ""))) {
        log_error("out of memory");
        free(f);
        return EX_OSERR;
    }
    f->watch = (struct file_watch){.changed = changed_cb, .uncertain = uncertain_cb, .arg = f};
    f->supervisor = s;
    s->files = f;
    if (file_watch_open(&f->watch, s->loop))
        return EX_OSERR;
    look_as_user(f, true);
    watch_anew(f);
    look_as_user(f, false);
    return 0;
}

void files_close(struct supervisor *s) {
    struct files *f = s->files;
    if (!f)
        return;
    for (unsigned n = 0; n < SUPERVISOR_WORKERS_MAX; n++) {
        file_set_fini(&f->told[n].set);
        file_set_fini(&f->told[n].next);
    }
    file_set_fini(&f->extra);
    file_globs_fini(&f->globs);
    file_watch_close(&f->watch);
    free(f->directory);
    free(f);
    s->files = NULL;
}
