#include "config.h"

#include "process/development.h"

#include "base/descriptors.h"
#include "base/log.h"
#include "base/sealed_file.h"
#include "cli/options.h"
#include "ipc/control.h"
#include "net/lane.h"
#include "process/ends.h"
#include "process/worker.h"
#include "python/app/loaded_files.h"
#include "python/bytecode.h"
#include "python/interp.h"
#include "python/pending_calls.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sysexits.h>

enum { SAID_MAX = 1 << 20 };

static const double LOOK_S = 0.2; /* after a request has ended */

/* Static, as os._exit tells nothing else.
 * Mutable loading: the main thread, before threads of the application can read it. */
static struct development *loading;

/* Telling. */

/* Returns a descriptor, or -1 with errno. */
static int make_file(const struct buf *files) {
    descriptors_lock();
    int fd = descriptors_adopt(sealed_file_make("wsgi-fcgi files", buf_head(files), buf_len(files)));
    descriptors_unlock();
    return fd;
}

static void tell(const struct development *d, enum control_files which) {
    struct buf files = {0};
    const int failed = which == CONTROL_FILES_FIRST
                           ? loaded_files_put_first(&files)
                           : loaded_files_put_all(&files, CONTROL_FILES_SIZE, CONTROL_FILES_MAX);
    struct control_message m = {.type = CONTROL_FILES, .a = which, .nfds = 1};
    errno = ENOMEM;
    m.fds[0] = failed ? -1 : make_file(&files);
    if (m.fds[0] >= 0) {
        (void)worker_tell(d->worker, &m);
        descriptors_close(m.fds[0]);
    } else
        log_warning("cannot tell the supervisor which files were loaded: %s; their changes are not noticed",
                    strerror(errno));
    buf_fini(&files);
}

static void tell_all(struct development *d) {
    d->modules_told = loaded_files_modules();
    tell(d, CONTROL_FILES_ALL);
}

void development_exit(int status) {
    if (loading)
        tell_all(loading);
    ends_exit(status);
}

/* Loading. */

void development_init(struct development *d, const struct options *o, const struct worker *worker) {
    *d = (struct development){.o = o, .worker = o->reload && !o->check ? worker : NULL};
}

void development_load_begins(struct development *d) {
    if (!d->worker)
        return;
    if (bytecode_write_late())
        interp_print_error("cannot keep Python from writing .pyc files of what has just changed");
    loaded_files_begin(d->o->application, d->o->start_directory);
    tell(d, CONTROL_FILES_FIRST);
    loading = d;
    log_copy_to(&d->said, SAID_MAX);
}

void development_hooks_begin(struct development *d) {
    if (!d->worker)
        return;
    loading = d;
    buf_reset(&d->said, 0);
    log_copy_to(&d->said, SAID_MAX);
}

bool development_load_ends(struct development *d, int status) {
    if (!d->worker)
        return false;
    log_copy_to(NULL, 0);
    loading = NULL;
    if (status || d->modules_told != loaded_files_modules())
        tell_all(d);
    d->broken = status == EX_SOFTWARE || status == EX_CONFIG || status == EX_NOINPUT || status == EX_NOPERM;
    if (d->broken)
        log_warning("the application does not load: every client is shown why, until one of its files changes");
    return d->broken;
}

void development_fini(struct development *d) {
    buf_fini(&d->said);
}

/* While it serves. */

/* A pending call of Python: on the main thread, with the GIL. The page may import some, but what was told of the load that
 * has failed is known no more: the files that can mend it. */
static int look_for_modules(void *arg) {
    struct development *d = arg;
    if (!d->broken && d->modules_told != loaded_files_modules())
        tell_all(d);
    return 0;
}

static void look_cb(struct ev_loop *loop, ev_timer *timer, int revents) {
    (void)loop;
    (void)revents;
    (void)pending_calls_add(look_for_modules, timer->data); /* without room, after the next request */
}

/* In each turn of the loop, as worker_limit_requests counts. */
static void turn_cb(struct ev_loop *loop, ev_prepare *turn, int revents) {
    struct development *d = turn->data;
    const unsigned ended = lane_ended(d->lane);
    (void)revents;
    if (ended == d->ended || ev_is_active(&d->look))
        return;
    d->ended = ended;
    ev_timer_set(&d->look, LOOK_S, 0.);
    ev_timer_start(loop, &d->look);
}

void development_join(struct development *d, struct ev_loop *loop, const struct lane *lane) {
    if (!d->worker)
        return;
    d->lane = lane;
    ev_timer_init(&d->look, look_cb, LOOK_S, 0.);
    d->look.data = d;
    ev_prepare_init(&d->turn, turn_cb);
    d->turn.data = d;
    ev_prepare_start(loop, &d->turn);
}
