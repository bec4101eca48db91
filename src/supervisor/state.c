#include "config.h"

#include "supervisor/state.h"

#include "base/buf.h"
#include "base/descriptors.h"
#include "base/sealed_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static const uint32_t STATE_MAGIC = 0x77667373; /* "wfss" */

enum { FILE_MAX = 4 << 20 };

/* The numbers and the members are part of what versions have in common: none is ever used for something else, and new
 * members come at the end of a struct whose record has no text behind it, or in a new record. */
enum record_type {
    RECORD_END = 0,
    RECORD_GENERAL = 1,
    RECORD_WAKE,
    RECORD_LISTENER,
    RECORD_WORKER,
    RECORD_ZYGOTE,
    RECORD_PIDFILE,
    RECORD_SHARED
};

struct file_head {
    uint32_t magic, version;
};

struct record_head {
    uint32_t type, length; /* of what follows */
};

struct general {
    uint64_t generation;
    uint32_t count;
    int32_t scoreboard, queue[2];
    uint32_t program_length; /* bytes behind this */
    uint32_t chosen;
};

struct wake {
    uint32_t slot;
    int32_t fd;
};

enum { IS_UNIX = 1, IS_INHERITED = 2, IS_OWN = 4, HAS_ASKED = 8, HAS_PATH = 16, IS_ACTIVATED = 32 };

struct listening {
    uint64_t dev, ino;
    uint32_t protocol, flags;
    int32_t fd, given;
    uint32_t text_length, asked_length, path_length; /* bytes behind this, in this order */
    uint32_t unused;
};

struct working {
    uint64_t generation, started_at, served_at, retire_at, wished_at, kill_at;
    uint32_t slot, number, phase, wish, peers_told, flags;
    int32_t pid, control;
};

struct forking {
    uint64_t generation;
    uint32_t phase;
    int32_t pid, control;
    uint32_t unused;
};

struct shared {
    uint32_t kind; /* enum control_memory */
    int32_t fd;
};

struct pid_file {
    int32_t fd;
    uint32_t path_length; /* bytes behind this */
};

void state_init(struct state *s) {
    memset(s, 0, sizeof *s);
    s->scoreboard = s->queue[0] = s->queue[1] = s->pid_file = -1;
    for (unsigned i = 0; i < CONTROL_MEMORY_COUNT; i++)
        s->shared[i] = -1;
}

/* The strings of *l belong to the state from now on, also when it fails. */
static int add_listener(struct state *s, const struct listener *l) {
    struct listener *larger = realloc(s->listeners, (s->nlisteners + 1) * sizeof *larger);
    if (!larger) {
        free(l->asked);
        free(l->path);
        return -1;
    }
    s->listeners = larger;
    larger[s->nlisteners++] = *l;
    return 0;
}

int state_add_listener(struct state *s, const struct listener *l) {
    struct listener copy = *l;
    copy.asked = l->asked ? strdup(l->asked) : NULL;
    copy.path = l->path ? strdup(l->path) : NULL;
    if (!copy.asked == !l->asked && !copy.path == !l->path)
        return add_listener(s, &copy);
    free(copy.asked);
    free(copy.path);
    return -1;
}

void state_fini(struct state *s) {
    for (size_t i = 0; i < s->nlisteners; i++) {
        free(s->listeners[i].asked);
        free(s->listeners[i].path);
    }
    free(s->listeners);
    free(s->program);
    free(s->pid_file_path);
    state_init(s);
}

/* --- writing */

struct text {
    const char *p;
    size_t n;
};

static struct text text_of(const char *string) {
    return (struct text){string, string ? strlen(string) : 0};
}

static int put(struct buf *b, enum record_type type, const void *fixed, size_t size, const struct text *texts, int n) {
    struct record_head head = {.type = type, .length = (uint32_t)size};
    for (int i = 0; i < n; i++)
        head.length += (uint32_t)texts[i].n;
    if (buf_append(b, &head, sizeof head) || buf_append(b, fixed, size))
        return -1;
    for (int i = 0; i < n; i++) {
        if (buf_append(b, texts[i].p, texts[i].n))
            return -1;
    }
    return 0;
}

static int put_general(struct buf *b, const struct state *s) {
    struct text program = text_of(s->program);
    struct general g = {.generation = s->generation,
                        .chosen = s->chosen,
                        .count = s->count,
                        .scoreboard = s->scoreboard,
                        .queue = {s->queue[0], s->queue[1]},
                        .program_length = (uint32_t)program.n};
    return put(b, RECORD_GENERAL, &g, sizeof g, &program, 1);
}

static int put_wakes(struct buf *b, const struct state *s) {
    int failed = 0;
    for (uint32_t i = 0; i < s->nwake && !failed; i++) {
        struct wake w = {.slot = i, .fd = s->wake[i]};
        failed = put(b, RECORD_WAKE, &w, sizeof w, NULL, 0);
    }
    return failed;
}

static int put_listener(struct buf *b, const struct listener *l) {
    struct text texts[] = {text_of(l->text), text_of(l->asked), text_of(l->path)};
    struct listening fixed = {
        .dev = l->dev,
        .ino = l->ino,
        .protocol = l->protocol,
        .flags = (l->is_unix ? IS_UNIX : 0u) | (l->inherited ? IS_INHERITED : 0u) | (listener_is_own(l) ? IS_OWN : 0u) |
                 (l->asked ? HAS_ASKED : 0u) | (l->path ? HAS_PATH : 0u) | (l->activated ? IS_ACTIVATED : 0u),
        .fd = l->fd,
        .given = l->given,
        .text_length = (uint32_t)texts[0].n,
        .asked_length = (uint32_t)texts[1].n,
        .path_length = (uint32_t)texts[2].n,
    };
    return put(b, RECORD_LISTENER, &fixed, sizeof fixed, texts, 3);
}

static int put_worker(struct buf *b, const struct state_worker *w) {
    struct working fixed = {.generation = w->generation,
                            .started_at = w->started_at,
                            .served_at = w->served_at,
                            .retire_at = w->retire_at,
                            .wished_at = w->wished_at,
                            .kill_at = w->kill_at,
                            .slot = w->slot,
                            .number = w->number,
                            .phase = w->phase,
                            .wish = w->wish,
                            .peers_told = w->peers_told,
                            .flags = w->flags,
                            .pid = w->pid,
                            .control = w->control};
    return put(b, RECORD_WORKER, &fixed, sizeof fixed, NULL, 0);
}

static int put_zygote(struct buf *b, const struct state_zygote *z) {
    struct forking fixed = {.generation = z->generation, .phase = z->phase, .pid = z->pid, .control = z->control};
    return put(b, RECORD_ZYGOTE, &fixed, sizeof fixed, NULL, 0);
}

static int put_shared(struct buf *b, const struct state *s) {
    int failed = 0;
    for (uint32_t i = 0; i < CONTROL_MEMORY_COUNT && !failed; i++) {
        struct shared fixed = {.kind = i, .fd = s->shared[i]};
        failed = s->shared[i] < 0 ? 0 : put(b, RECORD_SHARED, &fixed, sizeof fixed, NULL, 0);
    }
    return failed;
}

static int put_pid_file(struct buf *b, const struct state *s) {
    struct text path = text_of(s->pid_file_path);
    struct pid_file fixed = {.fd = s->pid_file, .path_length = (uint32_t)path.n};
    return s->pid_file < 0 ? 0 : put(b, RECORD_PIDFILE, &fixed, sizeof fixed, &path, 1);
}

static int encode(struct buf *b, const struct state *s) {
    struct file_head head = {.magic = STATE_MAGIC, .version = STATE_VERSION};
    int failed = buf_append(b, &head, sizeof head) || put_general(b, s) || put_wakes(b, s) || put_pid_file(b, s) ||
                 put_shared(b, s);
    for (size_t i = 0; i < s->nlisteners && !failed; i++)
        failed = put_listener(b, &s->listeners[i]);
    for (size_t i = 0; i < s->nworkers && !failed; i++)
        failed = put_worker(b, &s->workers[i]);
    for (size_t i = 0; i < s->nzygotes && !failed; i++)
        failed = put_zygote(b, &s->zygotes[i]);
    return failed || put(b, RECORD_END, NULL, 0, NULL, 0) ? -1 : 0;
}

int state_write(const struct state *s) {
    struct buf b = {0};
    if (encode(&b, s)) {
        buf_fini(&b);
        return -1;
    }
    descriptors_lock();
    int fd = descriptors_adopt(sealed_file_make("wsgi-fcgi state", buf_head(&b), buf_len(&b)));
    descriptors_unlock();
    int error = errno;
    buf_fini(&b);
    errno = error;
    return fd;
}

/* --- reading */

struct input {
    const char *p, *end;
};

static int refuse(char reason[static STATE_REASON_SIZE], const char *what) {
    snprintf(reason, STATE_REASON_SIZE, "%s", what);
    return -1;
}

static const char no_memory[] = "out of memory";
static const char cut_off[] = "the state of the running server is cut off";
static const char strange[] = "the state of the running server is none that this version writes";

static bool take(struct input *in, void *out, size_t n) {
    if ((size_t)(in->end - in->p) < n)
        return false;
    memcpy(out, in->p, n);
    in->p += n;
    return true;
}

/* A string in new memory. Returns NULL with errno; EPROTO when there are not so many bytes, or a zero among them. */
static char *take_text(struct input *in, size_t n) {
    const char *p = in->p;
    errno = EPROTO;
    if ((size_t)(in->end - p) < n || memchr(p, '\0', n))
        return NULL;
    in->p += n;
    char *text = malloc(n + 1);
    if (text) {
        memcpy(text, p, n);
        text[n] = '\0';
    }
    return text;
}

static const char *why_no_text(void) {
    return errno == EPROTO ? strange : no_memory;
}

static int get_general(struct input *in, struct state *s, char *reason) {
    struct general g;
    if (s->program || !take(in, &g, sizeof g) || !g.program_length || !g.generation || !g.count ||
        g.count > SCOREBOARD_SLOTS || g.chosen > SCOREBOARD_SLOTS)
        return refuse(reason, strange);
    s->program = take_text(in, g.program_length);
    if (!s->program)
        return refuse(reason, why_no_text());
    s->generation = g.generation;
    s->chosen = g.chosen;
    s->count = g.count;
    s->scoreboard = g.scoreboard;
    s->queue[0] = g.queue[0];
    s->queue[1] = g.queue[1];
    return s->program[0] == '/' ? 0 : refuse(reason, strange);
}

static int get_wake(struct input *in, struct state *s, char *reason) {
    struct wake w;
    if (!take(in, &w, sizeof w) || w.slot != s->nwake || w.slot >= SCOREBOARD_SLOTS)
        return refuse(reason, strange);
    s->wake[s->nwake++] = w.fd;
    return 0;
}

static void forget_text(char **text) {
    free(*text);
    *text = NULL;
}

static int get_listener(struct input *in, struct state *s, char *reason) {
    struct listening fixed;
    if (!take(in, &fixed, sizeof fixed) || fixed.protocol >= LISTENER_PROTOCOL_COUNT ||
        fixed.text_length >= ADDRESS_TEXT_SIZE || (size_t)(in->end - in->p) < fixed.text_length ||
        memchr(in->p, '\0', fixed.text_length))
        return refuse(reason, strange);
    struct listener l = {.fd = fixed.fd,
                         .is_unix = fixed.flags & IS_UNIX,
                         .inherited = fixed.flags & IS_INHERITED,
                         .given = fixed.given,
                         .activated = fixed.flags & IS_ACTIVATED,
                         .protocol = (enum listener_protocol)fixed.protocol,
                         .dev = fixed.dev,
                         .ino = fixed.ino,
                         .owner = fixed.flags & IS_OWN ? getpid() : 0};
    take(in, l.text, fixed.text_length);
    l.asked = take_text(in, fixed.asked_length);
    l.path = l.asked ? take_text(in, fixed.path_length) : NULL;
    const char *why = l.path ? NULL : why_no_text();
    if (why || !(fixed.flags & HAS_ASKED))
        forget_text(&l.asked);
    if (!(fixed.flags & HAS_PATH))
        forget_text(&l.path);
    if (why)
        return refuse(reason, why);
    return add_listener(s, &l) ? refuse(reason, no_memory) : 0;
}

static int get_worker(struct input *in, struct state *s, char *reason) {
    struct working fixed;
    if (!take(in, &fixed, sizeof fixed) || fixed.slot >= s->nwake || fixed.number >= SCOREBOARD_SLOTS || fixed.pid <= 1)
        return refuse(reason, strange);
    for (size_t i = 0; i < s->nworkers; i++) { /* so there is room for all */
        if (s->workers[i].slot == fixed.slot || s->workers[i].pid == fixed.pid)
            return refuse(reason, strange);
    }
    s->workers[s->nworkers++] = (struct state_worker){.slot = fixed.slot,
                                                      .number = fixed.number,
                                                      .generation = fixed.generation,
                                                      .pid = fixed.pid,
                                                      .phase = fixed.phase,
                                                      .wish = fixed.wish,
                                                      .started_at = fixed.started_at,
                                                      .served_at = fixed.served_at,
                                                      .retire_at = fixed.retire_at,
                                                      .wished_at = fixed.wished_at,
                                                      .kill_at = fixed.kill_at,
                                                      .peers_told = fixed.peers_told,
                                                      .flags = fixed.flags,
                                                      .control = fixed.control};
    return 0;
}

static int get_zygote(struct input *in, struct state *s, char *reason) {
    struct forking fixed;
    if (!take(in, &fixed, sizeof fixed) || fixed.pid <= 1 || s->nzygotes == STATE_ZYGOTES)
        return refuse(reason, strange);
    s->zygotes[s->nzygotes++] = (struct state_zygote){
        .generation = fixed.generation, .pid = fixed.pid, .phase = fixed.phase, .control = fixed.control};
    return 0;
}

/* A kind that is not known belongs to a later version: its workers do without it, when it has reloaded to this one. */
static int get_shared(struct input *in, struct state *s, char *reason) {
    struct shared fixed;
    if (!take(in, &fixed, sizeof fixed) || fixed.fd < 0)
        return refuse(reason, strange);
    if (fixed.kind < CONTROL_MEMORY_COUNT)
        s->shared[fixed.kind] = fixed.fd;
    return 0;
}

static int get_pid_file(struct input *in, struct state *s, char *reason) {
    struct pid_file fixed;
    if (s->pid_file_path || !take(in, &fixed, sizeof fixed) || fixed.fd < 0)
        return refuse(reason, strange);
    s->pid_file_path = take_text(in, fixed.path_length);
    if (!s->pid_file_path)
        return refuse(reason, why_no_text());
    s->pid_file = fixed.fd;
    return s->pid_file_path[0] == '/' ? 0 : refuse(reason, strange);
}

static int get_record(enum record_type type, struct input *in, struct state *s, char *reason) {
    switch (type) {
    case RECORD_GENERAL:
        return get_general(in, s, reason);
    case RECORD_WAKE:
        return get_wake(in, s, reason);
    case RECORD_LISTENER:
        return get_listener(in, s, reason);
    case RECORD_WORKER:
        return get_worker(in, s, reason);
    case RECORD_ZYGOTE:
        return get_zygote(in, s, reason);
    case RECORD_PIDFILE:
        return get_pid_file(in, s, reason);
    case RECORD_SHARED:
        return get_shared(in, s, reason);
    case RECORD_END:
        break;
    }
    return 0;
}

static int decode(struct input in, struct state *s, char *reason) {
    struct file_head file;
    struct record_head head;
    if (!take(&in, &file, sizeof file) || file.magic != STATE_MAGIC)
        return refuse(reason, strange);
    if (file.version != STATE_VERSION)
        return refuse(reason, "this version cannot take over from the one that runs: restart the server instead");
    while (take(&in, &head, sizeof head)) {
        if (head.length > (size_t)(in.end - in.p))
            break;
        if (head.type == RECORD_END)
            return s->program ? 0 : refuse(reason, strange);
        struct input record = {in.p, in.p + head.length};
        if (get_record((enum record_type)head.type, &record, s, reason))
            return -1;
        in.p += head.length;
    }
    return refuse(reason, cut_off);
}

int state_decode(const char *bytes, size_t n, struct state *s, char reason[static STATE_REASON_SIZE]) {
    state_init(s);
    if (!decode((struct input){bytes, bytes + n}, s, reason))
        return 0;
    state_fini(s);
    return -1;
}

/* --- descriptors */

enum role { ROLE_SCOREBOARD, ROLE_SHARED, ROLE_PAIR, ROLE_WAKE, ROLE_LISTENER, ROLE_PIDFILE };

static void visit_roles(const struct state *s, void (*visit)(int fd, enum role role, void *arg), void *arg) {
    visit(s->scoreboard, ROLE_SCOREBOARD, arg);
    visit(s->queue[0], ROLE_PAIR, arg);
    visit(s->queue[1], ROLE_PAIR, arg);
    if (s->pid_file >= 0)
        visit(s->pid_file, ROLE_PIDFILE, arg);
    for (uint32_t i = 0; i < CONTROL_MEMORY_COUNT; i++) {
        if (s->shared[i] >= 0)
            visit(s->shared[i], ROLE_SHARED, arg);
    }
    for (uint32_t i = 0; i < s->nwake; i++)
        visit(s->wake[i], ROLE_WAKE, arg);
    for (size_t i = 0; i < s->nlisteners; i++)
        visit(s->listeners[i].fd, ROLE_LISTENER, arg);
    for (size_t i = 0; i < s->nworkers; i++) {
        if (s->workers[i].control >= 0)
            visit(s->workers[i].control, ROLE_PAIR, arg);
    }
    for (size_t i = 0; i < s->nzygotes; i++) {
        if (s->zygotes[i].control >= 0)
            visit(s->zygotes[i].control, ROLE_PAIR, arg);
    }
}

struct visit {
    void (*visit)(int fd, void *arg);
    void *arg;
};

static void visit_cb(int fd, enum role role, void *arg) {
    const struct visit *v = arg;
    (void)role;
    v->visit(fd, v->arg);
}

void state_visit(const struct state *s, void (*visit)(int fd, void *arg), void *arg) {
    struct visit v = {visit, arg};
    visit_roles(s, visit_cb, &v);
}

static bool is_socket(int fd, int type, int listens) {
    int has = 0, accepts = 0;
    socklen_t has_size = sizeof has, accepts_size = sizeof accepts;
    return !getsockopt(fd, SOL_SOCKET, SO_TYPE, &has, &has_size) && has == type &&
           !getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &accepts, &accepts_size) && accepts == listens;
}

/* What is no file of a file system has no type. Without /proc nothing more can be found out. */
static bool is_eventfd(int fd) {
    static const char eventfd[] = "anon_inode:[eventfd]";
    char link[48], name[sizeof eventfd];
    struct stat st;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, name, sizeof name);
    if (n >= 0)
        return (size_t)n == sizeof eventfd - 1 && !memcmp(name, eventfd, sizeof eventfd - 1);
    return !fstat(fd, &st) && !(st.st_mode & S_IFMT);
}

static bool has_role(int fd, enum role role) {
    struct stat st;
    switch (role) {
    case ROLE_SCOREBOARD:
    case ROLE_SHARED:
    case ROLE_PIDFILE:
        return !fstat(fd, &st) && S_ISREG(st.st_mode);
    case ROLE_PAIR:
        return is_socket(fd, SOCK_SEQPACKET, 0);
    case ROLE_WAKE:
        return is_eventfd(fd);
    case ROLE_LISTENER:
        return is_socket(fd, SOCK_STREAM, 1);
    }
    return false;
}

struct look {
    struct buf seen; /* of int */
    int bad;         /* the first that is not what it should be, or -1 */
    bool twice, failed;
};

static void look_cb(int fd, enum role role, void *arg) {
    struct look *look = arg;
    const char *seen = buf_head(&look->seen);
    if (look->bad >= 0 || look->failed)
        return;
    for (size_t i = 0; i < buf_len(&look->seen); i += sizeof fd)
        look->twice = look->twice || !memcmp(seen + i, &fd, sizeof fd);
    if (look->twice || fd <= STDERR_FILENO || !has_role(fd, role))
        look->bad = fd < 0 ? 0 : fd;
    look->failed = buf_append(&look->seen, &fd, sizeof fd);
}

static int look_at_descriptors(const struct state *s, char *reason) {
    struct look look = {.bad = -1};
    visit_roles(s, look_cb, &look);
    buf_fini(&look.seen);
    if (look.failed)
        return refuse(reason, no_memory);
    if (look.bad < 0)
        return 0;
    snprintf(reason, STATE_REASON_SIZE, "descriptor %d of the running server is not what its state says", look.bad);
    return -1;
}

static void pass_on_cb(int fd, void *arg) {
    fcntl(fd, F_SETFD, *(bool *)arg ? 0 : FD_CLOEXEC);
}

void state_pass_on(const struct state *s, bool pass_on) {
    state_visit(s, pass_on_cb, &pass_on);
}

static void note_cb(int fd, void *arg) {
    descriptors_lock();
    if (descriptors_note(fd))
        *(int *)arg = -1;
    descriptors_unlock();
}

int state_adopt(const struct state *s) {
    int failed = 0;
    state_pass_on(s, false);
    state_visit(s, note_cb, &failed);
    return failed;
}

/* The whole file in new memory, so that nobody can change it while it is read. Returns NULL after filling `reason`. */
static char *read_file(int fd, size_t *size, char *reason) {
    struct stat st;
    if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size <= 0 || st.st_size > FILE_MAX) {
        refuse(reason, strange);
        return NULL;
    }
    *size = (size_t)st.st_size;
    char *bytes = malloc(*size);
    if (!bytes) {
        refuse(reason, no_memory);
    } else if (pread(fd, bytes, *size, 0) != (ssize_t)*size) {
        refuse(reason, cut_off);
        free(bytes);
        bytes = NULL;
    }
    return bytes;
}

int state_read(int fd, struct state *s, char reason[static STATE_REASON_SIZE]) {
    size_t size;
    state_init(s);
    char *bytes = read_file(fd, &size, reason);
    if (!bytes)
        return -1;
    int failed = state_decode(bytes, size, s, reason);
    free(bytes);
    if (!failed && look_at_descriptors(s, reason)) {
        state_fini(s);
        failed = -1;
    }
    return failed;
}
