#include "config.h"

#include "supervisor/workers.h"

#include "base/ascii.h"
#include "base/clock.h"
#include "base/descriptors.h"
#include "base/log.h"
#include "base/process_memory.h"
#include "ipc/control.h"
#include "ipc/fd_socket.h"
#include "process/user.h"
#include "supervisor/calls.h"
#include "supervisor/count.h"
#include "supervisor/files.h"
#include "supervisor/memory.h"
#include "supervisor/page.h"
#include "supervisor/spawn.h"
#include "supervisor/status.h"
#include "supervisor/zygotes.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

enum {
    BATCH = 16,       /* messages of one worker that are read before the loop looks elsewhere */
    PAUSE_MOST_S = 30 /* between two starts of a worker that fails */
};

#define SECOND_NS UINT64_C(1000000000)
#define SERVES_WELL_NS (10 * SECOND_NS) /* a worker that has served for so long was no failure */
#define CLOSED_NS (5 * SECOND_NS)       /* that a worker may take to end when it has closed its socket */
/* Within this time a signal reaches all processes of a terminal, or of a service. */
#define SIGNALLED_NS UINT64_C(200000000)

static struct place *place_of(const struct worker *w) {
    return &w->supervisor->places[w->number];
}

static uint64_t patience(const struct supervisor *s) {
    return (uint64_t)((s->o->graceful_timeout + SUPERVISOR_MARGIN) * 1e9);
}

/* "1.5": seconds since `since`. */
static const char *seconds_since(char out[static ASCII_SECONDS_SIZE], uint64_t since, uint64_t now) {
    return ascii_put_seconds(out, (double)((now - since) / 10000000) / 100);
}

/* A start that has failed, or an end soon after one. The first one is taken for bad luck. */
static void count_failure(struct place *place, uint64_t now) {
    unsigned pause = place->failures ? 1u << (place->failures - 1 < 8 ? place->failures - 1 : 8) : 0;
    place->failures++;
    place->due_at = now + (pause < PAUSE_MOST_S ? pause : PAUSE_MOST_S) * SECOND_NS;
}

/* " in 4 s", or " now". */
static char *say_when(char out[static 32], const struct place *place, uint64_t now) {
    if (place->due_at <= now)
        snprintf(out, 32, "now");
    else
        snprintf(out, 32, "in %u s", (unsigned)((place->due_at - now + SECOND_NS / 2) / SECOND_NS));
    return out;
}

/* Messages of workers. */

static void on_loaded(struct worker *w) {
    if (w->state != WORKER_STARTING)
        return;
    w->state = WORKER_LOADED;
    w->supervisor->loaded = true;
}

/* Up to a tenth earlier than it may be, so that workers that were started together do not retire together. */
static uint64_t choose_lifetime(const struct supervisor *s) {
    uint16_t chance;
    if (getentropy(&chance, sizeof chance))
        chance = 0;
    return (uint64_t)(s->o->max_lifetime * (1 - 0.1 * chance / UINT16_MAX) * 1e9);
}

/* In bytes, as --max-memory counts it; 0 when it cannot be found out. */
static uint64_t measure(const struct worker *w) {
    struct supervisor *s = w->supervisor;
    const uint64_t in_parts = s->o->preload ? memory_proportional(w->pid) : 0;
    if (in_parts)
        return in_parts;
    const uint64_t whole = process_memory_resident(w->pid);
    if (whole && s->o->preload && !s->whole_memory_told) {
        s->whole_memory_told = true;
        log_warning("--max-memory counts what workers share in full, as it cannot be read which part of it is theirs "
                    "(/proc/%d/smaps_rollup): with --user the supervisor needs the capability CAP_SYS_PTRACE for that",
                    (int)w->pid);
    }
    return whole;
}

static uint64_t in_mib(uint64_t size) {
    return (size + (1 << 20) - 1) >> 20;
}

/* A worker that is too large at once would be replaced again and again. */
static void check_first_memory(struct worker *w) {
    const uint64_t most = w->supervisor->o->max_memory, has = most ? measure(w) : 0;
    w->first_memory = has;
    if (!most || has <= most)
        return;
    w->memory_told = true;
    log_warning(WORKER_LINE "has %llu MiB before its first request, more than --max-memory, so that limit is not "
                            "applied to it: raise it",
                WORKER_WORDS(w), (unsigned long long)in_mib(has));
}

static void log_listening(const struct supervisor *s) {
    char whom[ALLOW_TEXT_SIZE];
    const struct listener_set *set = &s->sockets.opened;
    log_info("wsgi-fcgi %s serves %s with %u worker%s, up to %u request%s at a time in each", PACKAGE_VERSION,
             s->o->application, s->wanted, ascii_plural(s->wanted), s->o->threads, ascii_plural(s->o->threads));
    for (size_t i = 0; i < set->count; i++)
        log_info("listening on %s%s", set->items[i].text, allow_describe(&s->sockets.allow, &set->items[i], whom));
    if (s->o->status_path)
        log_info("the status page is at %s of what the application serves", s->o->status_path);
}

static void on_serving(struct worker *w, uint64_t now) {
    struct supervisor *s = w->supervisor;
    char shown[ASCII_SECONDS_SIZE];
    if (w->state != WORKER_LOADED)
        return;
    w->state = WORKER_SERVING;
    w->served_at = now;
    w->retire_at = s->o->max_lifetime > 0 ? now + choose_lifetime(s) : 0;
    log_info(WORKER_LINE "serves, %s s after its start", WORKER_WORDS(w), seconds_since(shown, w->started_at, now));
    if (!s->served)
        log_listening(s);
    s->served = true;
    reload_served(s, w);
    check_first_memory(w);
    workers_wake_one(s);
    memory_forget_start();
}

static void on_wish(struct worker *w, uint64_t reason, uint64_t now) {
    if (reason == CONTROL_REASON_REQUESTS)
        workers_wish(w, WISH_REQUESTS, now);
    if (reason == CONTROL_REASON_LOST)
        workers_wish(w, WISH_LOST, now);
    if (reason == CONTROL_REASON_STUCK)
        workers_wish(w, WISH_STUCK, now);
    if (reason != CONTROL_REASON_SIGNAL || !worker_is_live(w))
        return;
    /* It retires at once. The whole server may get the same signal, and then nobody is to take its place. */
    w->wish = WISH_SIGNAL;
    w->state = WORKER_RETIRING;
    w->kill_at = now + patience(w->supervisor);
    w->kill_text = "has not ended after a signal";
    if (place_of(w)->due_at < now + SIGNALLED_NS)
        place_of(w)->due_at = now + SIGNALLED_NS;
}

static void on_message(struct worker *w, const struct control_message *m, uint64_t now) {
    switch (m->type) {
    case CONTROL_LOADED:
        on_loaded(w);
        break;
    case CONTROL_SERVING:
        on_serving(w, now);
        break;
    case CONTROL_WANTS_TO_RETIRE:
        on_wish(w, m->a, now);
        break;
    case CONTROL_ENDS:
        w->ends_told = true;
        w->finished = m->a;
        w->cut = m->b;
        break;
    case CONTROL_FILES:
        files_told(w, m, now);
        break;
    default:
        log_debug(WORKER_LINE "says something unknown: %d", WORKER_WORDS(w), (int)m->type);
    }
}

static void close_control(struct worker *w) {
    if (w->control < 0)
        return;
    ev_io_stop(w->supervisor->loop, &w->watch);
    descriptors_close(w->control);
    w->control = -1;
}

/* Takes at most `most` messages. */
static void read_control(struct worker *w, unsigned most, uint64_t now) {
    struct control_message m;
    int got = 0;
    for (unsigned i = 0; i < most && w->control >= 0 && (got = control_receive(w->control, &m)) > 0; i++) {
        on_message(w, &m, now);
        control_close_fds(&m);
    }
    if (w->control < 0 || got > 0 || (got < 0 && errno == EAGAIN))
        return;
    /* It usually has ended. */
    bool gone = !got;
    w->kill_text = gone ? "has closed its control socket, and has not ended" : "talks nonsense to the supervisor";
    w->kill_at = gone ? now + CLOSED_NS : now;
    close_control(w);
}

static void control_cb(struct ev_loop *loop, ev_io *watch, int revents) {
    (void)loop;
    (void)revents;
    read_control(watch->data, BATCH, clock_ns());
}

void workers_watch(struct worker *w) {
    ev_io_init(&w->watch, control_cb, w->control, EV_READ);
    w->watch.data = w;
    ev_io_start(w->supervisor->loop, &w->watch);
}

/* The start. */

/* Slots that were used before have an eventfd. Returns NULL with errno. */
static struct worker *find_slot(struct supervisor *s) {
    unsigned slot = 0;
    while (slot < s->slots_made && s->workers[slot].state != WORKER_NONE)
        slot++;
    if (slot < s->slots_made)
        return &s->workers[slot];
    if (slot == SCOREBOARD_SLOTS) {
        errno = EAGAIN;
        return NULL;
    }
    descriptors_lock();
    int wake = descriptors_adopt(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    descriptors_unlock();
    if (wake < 0)
        return NULL;
    s->workers[slot].wake = wake;
    s->slots_made++;
    return &s->workers[slot];
}

static void prepare_slot(const struct worker *w) {
    struct scoreboard_slot *slot = worker_score(w);
    calls_clear(w->supervisor->board, worker_slot(w));
    count_slot_begins(w);
    atomic_store(&slot->generation, w->generation);
    atomic_store(&slot->number, w->number);
    atomic_store(&slot->pid, 0);
    atomic_store(&slot->computing, 0);
    atomic_store(&slot->full, 0);
    atomic_store(&slot->state, SCOREBOARD_STARTING);
}

/* Returns 0, or -1 with errno. `end` of the pair is closed. */
static int execute(struct supervisor *s, struct worker *w, int end) {
    pid_t pid = spawn_worker(s->command, end, s->config_fd);
    descriptors_close(end);
    if (pid < 0)
        return -1;
    w->pid = pid;
    atomic_store(&worker_score(w)->pid, pid);
    count_started(w);
    log_info(WORKER_LINE "is started", WORKER_WORDS(w));
    return 0;
}

/* Returns 0, or -1 with errno. With --preload it waits for its zygote. */
static int start(struct supervisor *s, struct worker *w) {
    int pair[2];
    if (fd_socket_pair(pair))
        return -1;
    prepare_slot(w);
    w->waits = s->o->preload;
    if (w->waits)
        w->given = pair[1];
    else if (execute(s, w, pair[1])) {
        descriptors_close(pair[0]);
        atomic_store(&worker_score(w)->state, SCOREBOARD_FREE);
        return -1;
    }
    w->control = pair[0];
    workers_watch(w);
    w->state = WORKER_STARTING;
    return 0;
}

struct worker *workers_find_live(struct supervisor *s, unsigned number, const struct worker *but) {
    for (unsigned i = 0; i < s->slots_made; i++) {
        struct worker *w = &s->workers[i];
        if (w != but && worker_is_live(w) && w->number == number)
            return w;
    }
    return NULL;
}

static bool has_serving(const struct supervisor *s) {
    for (unsigned i = 0; i < s->slots_made; i++) {
        if (s->workers[i].state == WORKER_SERVING)
            return true;
    }
    return false;
}

/* Nothing can be served. */
static void fail(struct supervisor *s, int status) {
    s->stopping = true;
    s->status = status;
    page_stop(s);
    sockets_stop(&s->sockets); /* so that those who wait to be accepted learn it */
}

/* What to do about an errno, or nothing. */
static const char *advise_start(int error) {
    switch (error) {
    case EMFILE:
        return " (raise the hard limit of open files: ulimit -n, LimitNOFILE of systemd)";
    case EAGAIN:
        return " (raise the limit of processes: ulimit -u, TasksMax of systemd, the pids limit of the container)";
    default:
        return "";
    }
}

static void on_failed_start(struct supervisor *s, unsigned number, int error, uint64_t now) {
    char when[32];
    struct place *place = &s->places[number];
    count_failure(place, now);
    if (s->served)
        log_error("cannot start worker %u by %s: %s%s: the next attempt is made %s", number, s->command->file,
                  strerror(error), advise_start(error), say_when(when, place, now));
    else {
        log_error("cannot start worker %u by %s: %s%s", number, s->command->file, strerror(error), advise_start(error));
        fail(s, EX_OSERR);
    }
}

void workers_start(struct supervisor *s, unsigned number, uint64_t now) {
    const bool replaces = workers_find_live(s, number, NULL);
    struct worker *w = find_slot(s);
    if (w) {
        int wake = w->wake;
        *w = (struct worker){.supervisor = s,
                             .number = number,
                             .generation = zygotes_generation(s),
                             .started_at = now,
                             .replaces = replaces,
                             .control = -1,
                             .wake = wake};
    }
    if (!w || start(s, w))
        on_failed_start(s, number, errno, now);
}

static void free_slot(struct worker *w) {
    struct scoreboard_slot *slot = worker_score(w);
    atomic_store(&slot->state, SCOREBOARD_FREE);
    atomic_store(&slot->computing, 0);
    atomic_store(&slot->full, 0);
    atomic_store(&slot->pid, 0);
    calls_clear(w->supervisor->board, worker_slot(w));
    count_slot_ends(w);
    w->state = WORKER_NONE;
    w->pid = 0;
}

/* Nobody has been asked to fork it yet. */
static void cancel(struct worker *w) {
    w->waits = false;
    descriptors_close(w->given);
    close_control(w);
    free_slot(w);
}

void workers_given(struct worker *w, struct zygote *z) {
    w->waits = false;
    descriptors_close(w->given);
    w->zygote = z;
}

void workers_forked(struct zygote *z, unsigned slot, pid_t pid, int error, uint64_t now) {
    struct supervisor *s = z->supervisor;
    struct worker *w = slot < s->slots_made ? &s->workers[slot] : NULL;
    if (!w || w->state == WORKER_NONE || w->zygote != z)
        return;
    w->zygote = NULL;
    if (pid <= 0) {
        const bool failed = w->state == WORKER_STARTING;
        close_control(w);
        free_slot(w);
        if (failed)
            on_failed_start(s, w->number, error, now);
        return;
    }
    w->pid = pid;
    atomic_store(&worker_score(w)->pid, pid);
    count_started(w);
    log_info(WORKER_LINE "is forked", WORKER_WORDS(w));
    on_loaded(w);
}

/* Retirement and stop. */

static const char *const reasons[] = {
    [WISH_NONE] = "",
    [WISH_REQUESTS] = "it has had as many requests as --max-requests says",
    [WISH_MEMORY] = "it has more memory than --max-memory says",
    [WISH_LIFETIME] = "it has served for as long as --max-lifetime says",
    [WISH_SIGNAL] = "it has got a signal",
    [WISH_FEWER] = "there are to be fewer workers",
    [WISH_RELOAD] = "a new generation serves",
    [WISH_LOST] = "as many calls as --threads says go on beyond --request-timeout",
    [WISH_STUCK] = "a call keeps the interpreter lock for longer than --stuck-timeout",
    [WISH_FILES] = "files have changed, and another one serves with them",
};

/* Nobody else has the number of a child before it is waited for. That of a worker that was forked is what its zygote
 * says, and so is its end; and the zygote is a process of the application, which must not have root kill others. Returns
 * 0; or -1 with errno, ESRCH also where it can be none of the workers. */
static int send_signal(const struct worker *w, int number) {
    siginfo_t info;
    if (!waitid(P_PID, (id_t)w->pid, &info, WEXITED | WNOHANG | WNOWAIT))
        return kill(w->pid, number);
    const int sent = user_kill(w->supervisor->sockets.user, w->pid, number);
    if (sent && errno == EPERM)
        errno = ESRCH;
    return sent;
}

void workers_signal(const struct worker *w, int number) {
    if (w->pid > 0)
        (void)send_signal(w, number);
}

static bool is_urgent(enum worker_wish wish) {
    return wish == WISH_LOST || wish == WISH_STUCK;
}

bool workers_hangs(const struct worker *w) {
    return is_urgent(w->wish);
}

void workers_wish(struct worker *w, enum worker_wish wish, uint64_t now) {
    if (w->state != WORKER_SERVING || (w->wish != WISH_NONE && (workers_hangs(w) || !is_urgent(wish))))
        return;
    w->wish = wish;
    w->wished_at = now;
    log_info(WORKER_LINE "is to be replaced: %s", WORKER_WORDS(w), reasons[wish]);
}

/* One at a time, since those that have begun together leak together, and the server would be slow as a whole. */
static void trace_memory(struct worker *w, uint64_t has, uint64_t now) {
    struct supervisor *s = w->supervisor;
    if (w->memory_traced || s->o->trace_memory <= 0 || now < s->traced_until)
        return;
    w->memory_traced = w->trace_due = true;
    w->traced_from = has;
    s->traced_until = now + (uint64_t)(s->o->trace_memory * 1e9);
}

void workers_check_memory(struct worker *w, uint64_t now) {
    const uint64_t most = w->supervisor->o->max_memory;
    if (w->state != WORKER_SERVING || w->wish != WISH_NONE || w->memory_told)
        return;
    const uint64_t has = measure(w);
    if (has >= memory_trace_from(w->first_memory, most))
        trace_memory(w, has, now);
    if (has <= most)
        return;
    log_info(WORKER_LINE "has %llu MiB of memory", WORKER_WORDS(w), (unsigned long long)in_mib(has));
    workers_wish(w, WISH_MEMORY, now);
}

void workers_retire(struct worker *w, uint64_t now) {
    log_info(WORKER_LINE "retires: %s", WORKER_WORDS(w), reasons[w->wish]);
    place_of(w)->failures = 0;
    w->state = WORKER_RETIRING;
    w->retire_due = true;
    w->kill_at = now + patience(w->supervisor);
    w->kill_text = "has not ended although it was to retire";
}

void workers_stop(struct worker *w, uint64_t now) {
    if (w->waits) {
        cancel(w);
        return;
    }
    /* It does not listen to messages while it loads the application, nor while hooks run, which may hang. */
    if (w->state == WORKER_STARTING || w->state == WORKER_LOADED)
        workers_signal(w, SIGTERM);
    w->state = WORKER_STOPPING;
    w->stop_due = true;
    if (w->control >= 0) {
        w->kill_at = now + patience(w->supervisor);
        w->kill_text = "has not ended although it was to stop";
    }
}

void workers_kill(struct worker *w, uint64_t now) {
    char running[CALLS_TEXT_SIZE];
    calls_describe(w->supervisor->board, worker_slot(w), now, running);
    log_error(WORKER_LINE "%s: it is killed%s%s", WORKER_WORDS(w), w->kill_text, *running ? "; it runs " : "", running);
    w->killed = true;
    w->kill_at = 0;
    if (w->pid <= 0 || !send_signal(w, SIGKILL) || errno != ESRCH)
        return;
    /* A zygote has waited for it, and was killed before it could tell; or it has told something else. Nobody else will. */
    w->supervisor->look_at = now;
    workers_ended(w->supervisor, w->pid, W_EXITCODE(0, SIGKILL));
}

/* The end. */

char *workers_describe_status(int status, char out[static WORKERS_STATUS_SIZE]) {
    if (WIFSIGNALED(status))
        snprintf(out, WORKERS_STATUS_SIZE, "was killed by SIG%s%s",
                 sigabbrev_np(WTERMSIG(status)) ? sigabbrev_np(WTERMSIG(status)) : "?",
                 WCOREDUMP(status) ? " (core dumped)" : "");
    else
        snprintf(out, WORKERS_STATUS_SIZE, "has ended with status %d", WEXITSTATUS(status));
    return out;
}

static const char *advise(const struct worker *w, int status) {
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && !w->killed)
        return "; if nobody has sent that, memory ran out: see dmesg, and the limit of the service or the container";
    return "";
}

/* Whether the server ends with it. */
static bool is_fatal(const struct worker *w, int status) {
    return !w->supervisor->served && !files_may_mend(w, status);
}

/* Nobody has told it to end. */
static void log_unexpected(const struct worker *w, int status, uint64_t now) {
    char how[WORKERS_STATUS_SIZE], running[CALLS_TEXT_SIZE], when[32];
    const struct supervisor *s = w->supervisor;
    workers_describe_status(status, how);
    calls_describe(s->board, worker_slot(w), now, running);
    log_printf(LOG_LEVEL_ERROR, WORKER_LINE "%s%s%s%s%s%s", WORKER_WORDS(w), how,
               w->served_at ? "" : " before it served", *running ? "; it ran " : "", running, advise(w, status),
               is_fatal(w, status) ? ": ending" : "");
    if (is_fatal(w, status))
        return;
    if (reload_is_starting(s) && w->generation != s->generation)
        log_info("worker %u is not started again, as a new generation is starting", w->number);
    else if (w->replaces && workers_find_live(w->supervisor, w->number, NULL))
        log_warning("worker %u goes on in its old process; the next attempt to replace it is made %s", w->number,
                    say_when(when, place_of(w), now));
    else if (has_serving(s) || place_of(w)->due_at <= now)
        log_info("worker %u is started again %s", w->number, say_when(when, place_of(w), now));
    else
        log_warning("worker %u is started again %s; no worker serves now, so all requests wait", w->number,
                    say_when(when, place_of(w), now));
}

static void log_expected(const struct worker *w, int status, uint64_t now) {
    char how[WORKERS_STATUS_SIZE], running[CALLS_TEXT_SIZE];
    workers_describe_status(status, how);
    calls_describe(w->supervisor->board, worker_slot(w), now, running);
    if (w->ends_told)
        log_printf(status && !w->cut ? LOG_LEVEL_ERROR
                   : w->cut          ? LOG_LEVEL_WARNING
                                     : LOG_LEVEL_INFO,
                   WORKER_LINE "%s: %llu request%s finished meanwhile, %llu cut off", WORKER_WORDS(w), how,
                   (unsigned long long)w->finished, ascii_plural(w->finished), (unsigned long long)w->cut);
    else if (status && !w->killed && w->served_at)
        log_error(WORKER_LINE "%s while it was to end%s%s%s", WORKER_WORDS(w), how, *running ? "; it ran " : "",
                  running, advise(w, status));
    else
        log_info(WORKER_LINE "%s%s%s", WORKER_WORDS(w), how, *running ? "; it ran " : "", running);
}

static int exit_status_of(int status) {
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void on_unexpected_end(struct worker *w, int status, uint64_t now) {
    struct supervisor *s = w->supervisor;
    struct place *place = place_of(w);
    if (w->served_at && now - w->served_at >= SERVES_WELL_NS)
        *place = (struct place){0};
    else
        count_failure(place, now);
    w->state = WORKER_NONE;
    if (reload_failed_by(s, w, status)) {
        *place = (struct place){0}; /* the old one may need another one at any time */
        return;
    }
    /* When the application cannot be loaded, the worker has said why. */
    const bool fatal = is_fatal(w, status);
    if (!fatal || WIFSIGNALED(status) || !status)
        log_unexpected(w, status, now);
    else
        status_not_loaded(status);
    if (fatal)
        fail(s, exit_status_of(status));
}

static void on_end(struct worker *w, int status) {
    struct supervisor *s = w->supervisor;
    const uint64_t now = clock_ns();
    read_control(w, UINT32_MAX, now); /* its last words */
    close_control(w);
    if (!w->ends_told)
        w->cut = calls_count(s->board, worker_slot(w));
    if (s->stopping) {
        s->finished += w->finished;
        s->cut += w->cut;
    }
    const bool expected = w->state == WORKER_RETIRING || w->state == WORKER_STOPPING;
    count_ended(w, expected, status);
    if (expected)
        log_expected(w, status, now);
    else
        on_unexpected_end(w, status, now);
    free_slot(w);
    workers_wake_one(s);
}

static struct worker *find_process(struct supervisor *s, pid_t pid) {
    for (unsigned i = 0; i < s->slots_made; i++) {
        if (s->workers[i].pid == pid)
            return &s->workers[i];
    }
    return NULL;
}

void workers_ended(struct supervisor *s, pid_t pid, int status) {
    struct worker *w = pid > 0 ? find_process(s, pid) : NULL;
    if (w)
        on_end(w, status);
}

void workers_lost(struct worker *w, pid_t pid, int status) {
    w->waits = false;
    descriptors_close(w->given);
    w->pid = pid; /* whose lines in the log say why */
    on_end(w, status);
}

void workers_reap(struct supervisor *s) {
    pid_t pid;
    int status;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        struct worker *w = find_process(s, pid);
        if (w)
            on_end(w, status);
        else if (!zygotes_reaped(s, pid, status) && !reload_reaped(s, pid, status))
            log_debug("process %d, which was left behind, has ended", (int)pid);
    }
}

/* One that has begun to end by itself says so in the scoreboard first; but that is not believed about slots that have
 * no worker. */
static const struct worker *find_serving(const struct supervisor *s) {
    for (unsigned i = 0; i < s->slots_made; i++) {
        const struct worker *w = &s->workers[i];
        if (w->state == WORKER_SERVING && atomic_load(&worker_score(w)->state) == SCOREBOARD_SERVING)
            return w;
    }
    return NULL;
}

void workers_wake_one(struct supervisor *s) {
    struct pollfd queue = {.fd = s->queue[1], .events = POLLIN};
    const uint64_t one = 1;
    const struct worker *w = find_serving(s);
    if (!w || poll(&queue, 1, 0) <= 0)
        return;
    atomic_store(&s->board->queued, 1);
    ssize_t n = write(w->wake, &one, sizeof one);
    (void)n; /* one that is full is readable as well */
}
