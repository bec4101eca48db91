#include "config.h"

#include "supervisor/reload.h"

#include "base/ascii.h"
#include "base/clock.h"
#include "base/descriptors.h"
#include "base/log.h"
#include "base/notify.h"
#include "process/pid_file.h"
#include "supervisor/count.h"
#include "supervisor/generations.h"
#include "supervisor/memory.h"
#include "supervisor/page.h"
#include "supervisor/reload_config.h"
#include "supervisor/spawn.h"
#include "supervisor/state.h"
#include "supervisor/supervisor.h"
#include "supervisor/workers.h"
#include "supervisor/zygotes.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#define SECOND_NS UINT64_C(1000000000)
#define CHECK_NS (60 * SECOND_NS) /* that the check may take: it may look names up */
#define LOAD_NS (30 * SECOND_NS)  /* after which another SIGHUP gives a worker up that still loads */
#define OUT_NS (10 * SECOND_NS)   /* that old workers may take until they accept no more */
#define OUT_LOOK_NS UINT64_C(1000000)

enum { WHY_SIZE = 512 };

_Static_assert((int)STATE_ZYGOTES == (int)SUPERVISOR_ZYGOTES, "the state has room for all zygotes");

/* --- the state, from what the supervisor knows and back */

static uint32_t flags_of(const struct worker *w) {
    return (w->greeted ? STATE_GREETED : 0u) | (w->retire_due ? STATE_RETIRE_DUE : 0u) |
           (w->stop_due ? STATE_STOP_DUE : 0u) | (w->reopen_due ? STATE_REOPEN_DUE : 0u) |
           (w->killed ? STATE_KILLED : 0u) | (w->replaces ? STATE_REPLACES : 0u) |
           (w->memory_told ? STATE_MEMORY_TOLD : 0u);
}

static void put_worker(struct state *st, const struct worker *w) {
    st->workers[st->nworkers++] = (struct state_worker){.slot = worker_slot(w),
                                                        .number = w->number,
                                                        .generation = w->generation,
                                                        .pid = w->pid,
                                                        .phase = w->state,
                                                        .wish = w->wish,
                                                        .started_at = w->started_at,
                                                        .served_at = w->served_at,
                                                        .retire_at = w->retire_at,
                                                        .wished_at = w->wished_at,
                                                        .kill_at = w->kill_at,
                                                        .peers_told = w->peers_told,
                                                        .flags = flags_of(w),
                                                        .control = w->control};
}

static int put_listeners(struct state *st, const struct listener_set *set) {
    int failed = 0;
    for (size_t i = 0; i < set->count && !failed; i++)
        failed = state_add_listener(st, &set->items[i]);
    return failed;
}

/* Returns NULL when memory runs out. The caller frees it, after state_fini. */
static struct state *describe(const struct supervisor *s) {
    struct state *st = malloc(sizeof *st);
    if (!st)
        return NULL;
    state_init(st);
    st->program = strdup(s->command->file);
    st->generation = s->generation;
    st->count = s->wanted;
    st->chosen = s->chosen;
    st->scoreboard = s->board_fd;
    memcpy(st->shared, s->shared, sizeof st->shared);
    st->queue[0] = s->queue[0];
    st->queue[1] = s->queue[1];
    st->pid_file = pid_file_fd();
    st->pid_file_path = st->pid_file >= 0 ? strdup(pid_file_path()) : NULL;
    st->nwake = s->slots_made;
    for (unsigned i = 0; i < s->slots_made; i++) {
        st->wake[i] = s->workers[i].wake;
        if (s->workers[i].state != WORKER_NONE && s->workers[i].pid > 0)
            put_worker(st, &s->workers[i]);
    }
    for (const struct zygote *z = s->zygotes; z < s->zygotes + SUPERVISOR_ZYGOTES; z++) {
        if (z->state != ZYGOTE_NONE)
            st->zygotes[st->nzygotes++] = (struct state_zygote){
                .generation = z->generation, .pid = z->pid, .phase = z->state, .control = z->control};
    }
    if (st->program && !st->pid_file_path == (st->pid_file < 0) && !put_listeners(st, &s->sockets.opened) &&
        !put_listeners(st, &s->reload.left))
        return st;
    state_fini(st);
    free(st);
    return NULL;
}

static void drop(struct state *st) {
    if (!st)
        return;
    state_fini(st);
    free(st);
}

/* --- failures */

/* What has failed ends here. */
static void __attribute__((format(printf, 2, 3))) fail(struct supervisor *s, const char *format, ...) {
    char why[WHY_SIZE];
    va_list args;
    va_start(args, format);
    vsnprintf(why, sizeof why, format, args);
    va_end(args);
    if (s->reload.phase == RELOAD_STARTING)
        zygotes_retire(s, s->generation);
    s->reload.phase = RELOAD_NONE;
    reload_config_close(&s->reload.config);
    count_reload(s, true);
    log_error("the reload has failed, the old application goes on: %s", why);
    snprintf(s->service.reload_error, sizeof s->service.reload_error, "%s", why);
    memory_forget_start();
}

/* --- step 1: a child checks the program */

struct passing {
    posix_spawn_file_actions_t *actions;
    int error;
};

static void pass_cb(int fd, void *arg) {
    struct passing *p = arg;
    if (!p->error)
        p->error = spawn_pass(p->actions, fd);
}

/* Returns an errno, or 0. */
static int spawn_check(struct supervisor *s, const struct state *st, int fd) {
    posix_spawn_file_actions_t actions;
    int error = posix_spawn_file_actions_init(&actions);
    if (error)
        return error;
    struct passing passing = {&actions, 0};
    state_visit(st, pass_cb, &passing);
    pass_cb(fd, &passing);
    if (s->reload.config >= 0)
        pass_cb(s->reload.config, &passing);
    error = passing.error;
    if (!error)
        error = spawn_command(&s->reload.check, s->command, environ, &actions);
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

/* The environment has these variables for as long as it takes to execute the program. Returns an errno, or 0. */
static int set_variables(const struct supervisor *s, const char *prefix, int fd) {
    char value[32];
    snprintf(value, sizeof value, "%s%d", prefix, fd);
    return setenv(STATE_ENV, value, 1) ? errno : reload_config_announce(s->reload.config);
}

/* Returns false after the reload has failed. */
static bool read_config(struct supervisor *s) {
    char why[RELOAD_CONFIG_WHY_SIZE];
    if (s->o->config_path && (s->reload.config = reload_config_read(s->o->config_path, why)) < 0) {
        fail(s, "%s", why);
        return false;
    }
    return true;
}

static void unset_variables(void) {
    unsetenv(STATE_ENV);
    reload_config_withdraw();
}

static void begin_check(struct supervisor *s, uint64_t now) {
    s->reload.again = false;
    int error = command_look(s->command);
    if (error) {
        fail(s, "cannot read %s: %s: reload again when the installation is complete", s->command->shown,
             strerror(error));
        return;
    }
    if (!read_config(s))
        return;
    struct state *st = describe(s);
    int fd = st ? state_write(st) : -1;
    error = fd < 0 ? errno : 0;
    s->reload = (struct reload){
        .phase = RELOAD_CHECKING, .give_up_at = now + CHECK_NS, .left = s->reload.left, .config = s->reload.config};
    if (!error)
        error = set_variables(s, STATE_CHECK, fd);
    if (!error)
        error = spawn_check(s, st, fd);
    unset_variables();
    if (fd >= 0)
        descriptors_close(fd);
    drop(st);
    if (error) {
        s->reload.check = 0;
        fail(s, "cannot execute %s: %s", s->command->file, strerror(error));
    }
}

bool reload_reaped(struct supervisor *s, pid_t pid, int status) {
    char how[WORKERS_STATUS_SIZE];
    if (!pid || pid != s->reload.check)
        return false;
    s->reload.check = 0;
    if (s->reload.phase != RELOAD_CHECKING)
        return true; /* the server stops */
    if (!status)
        s->reload.phase = RELOAD_EXECUTING;
    else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && s->reload.give_up_at == UINT64_MAX)
        fail(s, "%s did not end within a minute when it was to check whether it can go on", s->command->shown);
    else
        fail(s, "%s, executed to check whether it can go on, %s", s->command->shown,
             workers_describe_status(status, how));
    return true;
}

enum reload_role reload_find(int *fd) {
    const char *value = getenv(STATE_ENV);
    enum reload_role role = RELOAD_RESUME;
    uint64_t number;
    if (!value)
        return RELOAD_FIRST;
    if (!strncmp(value, STATE_CHECK, strlen(STATE_CHECK))) {
        role = RELOAD_CHECK;
        value += strlen(STATE_CHECK);
    }
    if (!ascii_is_number(value, INT_MAX, &number)) {
        log_error("the environment variable " STATE_ENV " is for the server itself: remove it");
        role = RELOAD_UNKNOWN;
    } else {
        *fd = (int)number;
    }
    unsetenv(STATE_ENV);
    return role;
}

static int complain_board(void) {
    log_error(errno == EPROTO
                  ? "this version shares memory with workers in another way than the one that runs: restart "
                    "the server instead"
                  : "cannot map the memory that workers share: out of memory");
    return errno == EPROTO ? EX_SOFTWARE : EX_OSERR;
}

static int try_sockets(const struct options *o, const struct user *user, struct state *st) {
    struct sockets sockets = {.user = user};
    struct listener_set left = {.count = 0};
    for (size_t i = 0; i < st->nlisteners; i++)
        st->listeners[i].owner = 0; /* this process leaves them as they are */
    int status = sockets_read(&sockets, o);
    if (!status)
        status = sockets_resume(&sockets, o, st->listeners, st->nlisteners, &left);
    listener_close_all(&left);
    sockets_fini(&sockets);
    return status;
}

int reload_check(const struct options *o, const struct user *user, int fd) {
    char reason[STATE_REASON_SIZE];
    struct state *st = malloc(sizeof *st);
    if (!st || state_read(fd, st, reason)) {
        log_error("%s", st ? reason : "out of memory");
        free(st);
        return EX_SOFTWARE;
    }
    struct scoreboard *board = scoreboard_map(st->scoreboard);
    int status = board ? try_sockets(o, user, st) : complain_board();
    drop(st);
    return status;
}

/* --- step 2: the supervisor executes the program */

static void execute(struct supervisor *s) {
    struct state *st = describe(s);
    int fd = st ? state_write(st) : -1;
    int error = fd < 0 || notify_put_back() ? errno : set_variables(s, "", fd);
    if (!error) {
        log_debug("executing %s", command_of_reload(s->command));
        log_flush();
        state_pass_on(st, true);
        fcntl(fd, F_SETFD, 0);
        reload_config_keep(s->reload.config);
        error = command_execute(s->command);
        state_pass_on(st, false);
    }
    unset_variables();
    notify_take();
    if (fd >= 0)
        descriptors_close(fd);
    drop(st);
    fail(s, "cannot execute %s: %s", command_of_reload(s->command), strerror(error));
}

static void resume_worker(struct supervisor *s, const struct state_worker *was) {
    struct worker *w = &s->workers[was->slot];
    w->state = (enum worker_state)was->phase;
    w->pid = was->pid;
    w->number = was->number;
    w->generation = (unsigned)was->generation;
    w->started_at = was->started_at;
    w->served_at = was->served_at;
    w->retire_at = was->retire_at;
    w->wish = was->wish < WISH_COUNT ? (enum worker_wish)was->wish : WISH_NONE; /* it may tell its wish again */
    w->wished_at = was->wished_at;
    w->kill_at = was->kill_at;
    w->kill_text = "has not ended although it was to end";
    w->control = was->control;
    w->peers_told = was->peers_told < s->slots_made ? was->peers_told : s->slots_made;
    w->greeted = was->flags & STATE_GREETED;
    w->access_log_told = true;
    w->shared_told = CONTROL_MEMORY_COUNT; /* what it was not told by the program before this one it does not know */
    w->retire_due = was->flags & STATE_RETIRE_DUE;
    w->stop_due = was->flags & STATE_STOP_DUE;
    w->reopen_due = was->flags & STATE_REOPEN_DUE;
    w->killed = was->flags & STATE_KILLED;
    w->replaces = was->flags & STATE_REPLACES;
    w->memory_told = was->flags & STATE_MEMORY_TOLD;
    w->listeners_told = s->sockets.opened.count;
    w->serve_told = true;
    if (w->control >= 0)
        workers_watch(w);
}

/* What it was to be told it is told again, which does no harm. One that loads the application would be of no use. */
static void resume_zygotes(struct supervisor *s, const struct state *st) {
    for (size_t i = 0; i < st->nzygotes && i < SUPERVISOR_ZYGOTES; i++) {
        const struct state_zygote *was = &st->zygotes[i];
        struct zygote *z = &s->zygotes[i];
        if (was->phase == ZYGOTE_NONE || was->phase > ZYGOTE_ENDING)
            continue;
        *z = (struct zygote){.supervisor = s,
                             .state = (enum zygote_state)was->phase,
                             .pid = was->pid,
                             .generation = (unsigned)was->generation,
                             .started_at = clock_ns(),
                             .control = was->control,
                             .greeted = true,
                             .shared_told = CONTROL_MEMORY_COUNT,
                             .prepare_told = true,
                             .end_due = was->phase == ZYGOTE_ENDING};
        if (z->control >= 0)
            zygotes_watch(z);
        if (z->state == ZYGOTE_STARTING)
            zygotes_retire(s, z->generation);
    }
}

/* Whoever does not serve yet would be of the old generation when it does. */
static void give_up_starting(struct supervisor *s, uint64_t now) {
    for (unsigned i = 0; i < s->slots_made; i++) {
        struct worker *w = &s->workers[i];
        if (w->state == WORKER_STARTING)
            workers_stop(w, now);
        if (w->state == WORKER_LOADED)
            workers_retire(w, now);
    }
}

static bool is_phase(uint32_t phase) {
    return phase > WORKER_NONE && phase <= WORKER_STOPPING;
}

static void resume_workers(struct supervisor *s, const struct state *st) {
    s->slots_made = st->nwake;
    for (unsigned i = 0; i < SCOREBOARD_SLOTS; i++) {
        struct worker *w = &s->workers[i];
        w->supervisor = s;
        w->control = -1;
        w->wake = i < st->nwake ? st->wake[i] : -1;
    }
    for (size_t i = 0; i < st->nworkers; i++) {
        if (is_phase(st->workers[i].phase) && st->workers[i].number < SUPERVISOR_WORKERS_MAX)
            resume_worker(s, &st->workers[i]);
    }
}

/* The options may say something else now (--workers auto), but signals have said more or less than that. */
static unsigned change_count(unsigned chosen, int by) {
    const int count = (int)chosen + by;
    if (count < 1)
        return 1;
    return count < SUPERVISOR_WORKERS_MAX ? (unsigned)count : SUPERVISOR_WORKERS_MAX;
}

static int resume_sockets(struct supervisor *s, struct state *st, bool readable) {
    if (!readable) {
        fail(s, "what the options say about sockets cannot be read now");
        return sockets_keep(&s->sockets, st->listeners, st->nlisteners);
    }
    if (sockets_resume(&s->sockets, s->o, st->listeners, st->nlisteners, &s->reload.left))
        fail(s, "a socket that is new cannot be opened");
    return 0;
}

/* The old one is kept until another one is there. */
static void resume_pid_file(struct supervisor *s, const struct state *st) {
    char shown[WHY_SIZE];
    const char *wanted = s->o->pid_file;
    if (st->pid_file >= 0 && pid_file_resume(st->pid_file, st->pid_file_path))
        log_error("the pid file %s is no longer this server's: %s",
                  log_escape(shown, sizeof shown, st->pid_file_path, strlen(st->pid_file_path)), strerror(errno));
    if (!wanted)
        pid_file_close();
    else if (pid_file_open(wanted, options_name(s->o, "--pidfile")))
        fail(s, "the pid file cannot be had");
}

static int resume(struct supervisor *s, struct state *st, bool readable) {
    s->board = scoreboard_map(st->scoreboard);
    if (!s->board)
        return complain_board();
    if (state_adopt(st)) {
        log_error("out of memory");
        return EX_OSERR;
    }
    s->board_fd = st->scoreboard;
    memcpy(s->shared, st->shared, sizeof s->shared);
    s->queue[0] = st->queue[0];
    s->queue[1] = st->queue[1];
    s->generation = (unsigned)st->generation + 1;
    s->wanted = change_count(s->chosen, (int)st->count - (int)st->chosen);
    s->loaded = s->served = true;
    if (count_open(s)) /* before anybody's end is noticed */
        return EX_OSERR;
    s->reload = (struct reload){.phase = RELOAD_STARTING, .config = -1};
    s->service.told = NOTIFY_RELOADING; /* by the program before this one */
    int status = resume_sockets(s, st, readable);
    resume_pid_file(s, st);
    resume_workers(s, st);
    resume_zygotes(s, st);
    give_up_starting(s, clock_ns());
    workers_reap(s);
    return status;
}

int reload_resume(struct supervisor *s, int fd, bool readable) {
    char reason[STATE_REASON_SIZE];
    struct state *st = malloc(sizeof *st);
    int status = EX_SOFTWARE;
    if (st && !state_read(fd, st, reason)) {
        close(fd);
        status = resume(s, st, readable);
        drop(st);
    } else {
        log_error("%s", st ? reason : "out of memory");
        free(st);
    }
    return status;
}

/* --- step 3: workers of the new generation */

bool reload_is_starting(const struct supervisor *s) {
    return s->reload.phase == RELOAD_STARTING;
}

bool reload_failed_by(struct supervisor *s, const struct worker *w, int status) {
    char how[WORKERS_STATUS_SIZE];
    if (!reload_is_starting(s) || s->reload.proved || w->generation != s->generation)
        return false;
    fail(s, WORKER_LINE "%s before it served", WORKER_WORDS(w), workers_describe_status(status, how));
    return true;
}

void reload_served(struct supervisor *s, const struct worker *w) {
    if (w->generation == s->generation)
        s->reload.proved = true;
}

static void start_first(struct supervisor *s, uint64_t now) {
    if (!s->reload.first_started) {
        s->reload.first_started = true;
        s->reload.first_started_at = now;
        workers_start(s, 0, now);
    }
    if (!generations_find_new(s, 0)) /* it could not be made, or has got a signal */
        fail(s, "the first new worker did not serve");
}

/* Whoever connects from then on gets an answer of the new application. So that is awaited; but not for ever, as nobody
 * can say when a process goes on that somebody has stopped. */
static bool old_workers_are_out(struct supervisor *s, uint64_t now) {
    if (!s->reload.old_until)
        s->reload.old_until = now + OUT_NS;
    generations_retire_old(s, now);
    zygotes_retire_others(s, s->generation);
    const struct worker *w = generations_find_accepting(s);
    if (!w)
        return true;
    supervisor_is_due(s, now + OUT_LOOK_NS, now);
    if (!supervisor_is_due(s, s->reload.old_until, now))
        return false;
    log_warning(WORKER_LINE "has not ceased to accept connections within %u s: until it does, or is killed, requests "
                            "may be answered by the old application; is it stopped (SIGSTOP, a debugger)?",
                WORKER_WORDS(w), (unsigned)(OUT_NS / SECOND_NS));
    return true;
}

static void complete(struct supervisor *s) {
    log_info("the reload is complete: wsgi-fcgi %s serves with %u worker%s of generation %u", PACKAGE_VERSION,
             s->wanted, ascii_plural(s->wanted), s->generation);
    s->reload.phase = RELOAD_NONE;
    count_reload(s, false);
    memory_forget_start();
}

static void start_others(struct supervisor *s, uint64_t now) {
    bool all = true;
    for (unsigned n = 0; n < s->wanted; n++) {
        struct worker *w = generations_find_new(s, n);
        if (!w && supervisor_is_due(s, s->places[n].due_at, now))
            workers_start(s, n, now);
        all = all && w && w->state == WORKER_SERVING;
    }
    if (!all)
        s->reload.old_until = 0;
    else if (old_workers_are_out(s, now))
        complete(s);
}

/* --- in between */

/* Workers that have not served after so long may never do so, and then nothing but this helps. */
static void give_up(struct supervisor *s, uint64_t now) {
    struct worker *w = generations_find_new(s, 0);
    if (!reload_is_starting(s) || s->reload.old_until || !w || now - s->reload.first_started_at < LOAD_NS)
        return;
    if (s->reload.proved) {
        log_warning("not all new workers have served within %u s: the next reload does not wait for them",
                    (unsigned)(LOAD_NS / SECOND_NS));
        s->reload.phase = RELOAD_NONE;
        return;
    }
    workers_stop(w, now);
    fail(s, WORKER_LINE "did not serve within %u s, and there was another SIGHUP", WORKER_WORDS(w),
         (unsigned)(LOAD_NS / SECOND_NS));
}

/* Whoever has not served yet is waited for, since no execution goes on with one of the old generation; but not for
 * ever. */
static bool is_settled(struct supervisor *s, uint64_t now) {
    for (unsigned i = 0; i < s->slots_made; i++) {
        const struct worker *w = &s->workers[i];
        if ((w->state == WORKER_STARTING || w->state == WORKER_LOADED) &&
            !supervisor_is_due(s, w->started_at + LOAD_NS, now))
            return false;
    }
    return s->served;
}

void reload_ask(struct supervisor *s) {
    const uint64_t now = clock_ns();
    if (s->stopping || s->leave_until)
        return;
    if (!s->reload.again)
        log_info("SIGHUP: loading the application anew%s", s->reload.phase == RELOAD_NONE && is_settled(s, now)
                                                               ? ""
                                                               : " when all that has begun has come to its end");
    s->reload.again = true;
    give_up(s, now);
}

void reload_look(struct supervisor *s, uint64_t now) {
    struct reload *r = &s->reload;
    if (r->phase == RELOAD_NONE && r->again && is_settled(s, now))
        begin_check(s, now);
    if (r->check && supervisor_is_due(s, r->give_up_at, now)) {
        r->give_up_at = UINT64_MAX;
        kill(r->check, SIGKILL);
    }
    if (r->phase == RELOAD_EXECUTING && is_settled(s, now) && !page_delays(s, now))
        execute(s);
    if (r->phase == RELOAD_STARTING && !r->proved)
        start_first(s, now);
    else if (r->phase == RELOAD_STARTING)
        start_others(s, now);
    if (r->phase == RELOAD_NONE && r->left.count && !generations_has_old(s))
        listener_close_all(&r->left);
    if (r->phase == RELOAD_NONE && r->again && is_settled(s, now))
        s->look_at = now; /* one more */
}

void reload_stop(struct supervisor *s) {
    s->reload.again = false;
    if (s->reload.phase == RELOAD_CHECKING && s->reload.check)
        kill(s->reload.check, SIGKILL);
    s->reload.phase = RELOAD_NONE;
}

void reload_fini(struct supervisor *s) {
    listener_close_all(&s->reload.left);
}
