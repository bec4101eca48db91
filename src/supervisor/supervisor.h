/* The supervisor: the process that starts the workers (process/worker.h), replaces and retires them, and ends with the
 * last one. It has the listening sockets, the queue for connections and the scoreboard, but no Python, and it touches
 * no connection. wsgi-fcgi executes it when it is given --workers (process/supervise.h).
 *
 * Everything that it knows is in struct supervisor. Callbacks only note what has happened; before the loop waits again,
 * supervisor_look does what is to be done about that: starts workers, tells them something, kills them.
 *
 * Times are clock_ns of base/clock.h, which goes on across execve(2); 0: not yet, or never.
 *
 * Threads: the main thread. There is a second one, which writes the log (log_start_writer).
 */
#ifndef WSGI_FCGI_SUPERVISOR_SUPERVISOR_H
#define WSGI_FCGI_SUPERVISOR_SUPERVISOR_H

#include "cli/options.h"
#include "ipc/control.h"
#include "ipc/inspect.h"
#include "ipc/log_ring.h"
#include "ipc/metrics.h"
#include "ipc/scoreboard.h"
#include "net/status_page.h"
#include "net/status_server.h"
#include "process/sockets.h"
#include "process/watchdog.h"
#include "supervisor/reload.h"
#include "supervisor/status.h"

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    SUPERVISOR_WORKERS_MAX = SCOREBOARD_SLOTS / 2, /* so that each can have a replacement */
    SUPERVISOR_ZYGOTES = 16,                       /* of several generations */
    /* Seconds beyond --graceful-timeout that a worker may take to end. Within them the end of Python has a limit of its
     * own (process/exit_timer.h). */
    SUPERVISOR_MARGIN = 30
};

/* A process that loads the application and is forked for workers (supervisor/zygotes.h). */
enum zygote_state {
    ZYGOTE_NONE,
    ZYGOTE_STARTING, /* it loads the application */
    ZYGOTE_LOADED,
    ZYGOTE_ENDING /* it forks no more, and ends when its last worker has ended */
};

struct zygote {
    enum zygote_state state;
    pid_t pid;
    unsigned generation;
    uint64_t started_at;

    int control; /* the supervisor's end of its pair; -1: none, or closed */
    bool greeted, prepare_told, end_due;
    unsigned shared_told;

    uint64_t kill_at; /* unless it has ended by then */
    const char *kill_text;
    bool killed;

    struct supervisor *supervisor;
    ev_io watch; /* of `control` */
};

enum worker_state {
    WORKER_NONE,     /* no process: the slot is free */
    WORKER_STARTING, /* it loads the application */
    WORKER_LOADED,   /* it gets its listening sockets, and prepares to serve */
    WORKER_SERVING,
    WORKER_RETIRING, /* as it was told, or by itself */
    WORKER_STOPPING  /* with the whole server, or because it does not behave */
};

/* Why another one is to take its place. The numbers are left to other versions (supervisor/state.h): none is ever used
 * for something else. */
enum worker_wish {
    WISH_NONE,
    WISH_REQUESTS,
    WISH_MEMORY,
    WISH_LIFETIME,
    WISH_SIGNAL, /* somebody has sent it a signal: it has begun to retire already */
    WISH_FEWER,  /* there are to be fewer workers: nobody is to take its place */
    WISH_RELOAD, /* a new generation serves */
    WISH_LOST,   /* calls hang in it (process/lost_calls.h), as many as it runs at a time; */
    WISH_STUCK,  /* or one of them keeps all others from going on */
    WISH_FILES,  /* files that it has loaded are others now (--reload) */
    WISH_COUNT
};

/* A process, by its slot of the scoreboard. */
struct worker {
    enum worker_state state;
    pid_t pid;       /* 0: not known yet, or there is none yet */
    unsigned number; /* from 0, for people: a replacement has that of its predecessor */
    unsigned generation;
    uint64_t started_at, served_at;
    uint64_t retire_at; /* --max-lifetime */

    enum worker_wish wish;
    uint64_t wished_at;
    bool memory_told;      /* it needs more than --max-memory from its start: nothing can be done about that */
    uint64_t first_memory; /* bytes, when it began to serve; 0: not known */
    bool memory_traced;    /* it was, or is to be, told to trace its memory, since it had: */
    uint64_t traced_from;  /* bytes */
    bool replaces;         /* it was started while another one had its place */
    bool files_told;       /* CONTROL_FILES has come */
    bool ends_told;        /* CONTROL_ENDS has come, with: */
    uint64_t finished, cut;

    uint64_t kill_at;      /* unless it has ended by then */
    const char *kill_text; /* the reason, behind "worker N (process N) " */
    bool killed;

    /* What it was told so far (supervisor/tell.h). What the socket does not take at once is told later. */
    int control; /* the supervisor's end of its pair; -1: none, or closed */
    bool greeted;
    unsigned shared_told;
    bool access_log_told; /* which file it is, or that it was opened anew */
    unsigned peers_told;  /* of slots 0 to N-1 */
    size_t listeners_told;
    bool serve_told;
    bool retire_due, stop_due, reopen_due, stacks_due, trace_due;
    uint64_t stuck_since; /* it takes no message */

    /* With --preload, until it is forked. */
    bool waits;            /* for a zygote that has loaded the application, with: */
    int given;             /* the worker's end of its pair */
    struct zygote *zygote; /* the one that is to fork it, and has not told yet that it has */

    int wake; /* the eventfd of the slot; -1 until the slot is first used, and then kept for the next worker */

    struct supervisor *supervisor;
    ev_io watch; /* of `control` */
};

/* What is known about the workers of one number, of which there may be two at a time, or none. */
struct place {
    unsigned failures; /* how many in a row have ended before they served, or soon afterwards */
    uint64_t due_at;   /* the next one is not started before */
};

struct supervisor {
    const struct options *o;
    const struct command *command;
    int config_fd; /* the configuration file in sealed memory, for them; -1: none */
    struct sockets sockets;
    struct ev_loop *loop;

    struct scoreboard *board;
    int board_fd;
    struct log_ring *log_ring;
    struct inspect *inspect;
    struct metrics *metrics;          /* supervisor/count.h */
    int shared[CONTROL_MEMORY_COUNT]; /* the descriptor of each enum control_memory */
    int queue[2]; /* to send and to receive: both ends, so that what is in it does not go with the workers */

    unsigned generation; /* from 1; of the workers that are started next */
    unsigned chosen;     /* how many workers there are to be as the options say, */
    unsigned wanted;     /* and as signals have changed that */
    unsigned slots_made; /* slots 0 to N-1 have an eventfd */
    bool loaded;         /* some worker has loaded the application */
    bool served;         /* some worker has served: from now on none that fails ends the server */
    struct worker workers[SCOREBOARD_SLOTS];
    struct place places[SUPERVISOR_WORKERS_MAX]; /* by number */

    struct zygote zygotes[SUPERVISOR_ZYGOTES];
    unsigned revive; /* the generation of a zygote that has died and is to be started again; 0: none */

    struct reload reload;
    struct {
        struct status_page content;
        struct status_server *server; /* NULL: there is no socket for it */
        uint64_t delays_since;
    } page;              /* supervisor/page.h */
    struct files *files; /* --reload (supervisor/files.h); NULL: it is not given */
    struct status service;
    struct watchdog watchdog;

    bool whole_memory_told; /* what workers share cannot be told from what is their own */
    uint64_t traced_until;  /* clock_ns: a worker traces its memory (--trace-memory); no other one begins before */
    bool had_terminal;
    bool stopping;
    int stop_signal;        /* what workers are told about it */
    uint64_t signal_at;     /* when the first signal that ends the server came; 0: none has */
    uint64_t leave_until;   /* it goes on until then (--stop-delay); 0: it stops at once, or no signal has come */
    uint64_t stop_at;       /* when a signal began that; 0: none has, and the application cannot be served */
    uint64_t at_once_at;    /* when a second signal came: nobody is waited for */
    uint64_t finished, cut; /* requests since `stop_at`, as workers have told */
    int status;             /* to exit with */

    uint64_t look_at; /* when supervisor_look is wanted next, if nothing happens before; UINT64_MAX: never */
    ev_prepare look;
    ev_timer look_timer, memory_timer;
    int signal_fd;
    ev_io signal_watch;
};

/* Supervises workers until a signal ends the server, or its application cannot be loaded. *o has gone through
 * options_resolve, and o->workers is not 0. `user`: whom it names (user_read). `command`: what
 * workers execute. Returns the exit status: a sysexits code after a failure, which was
 * printed; the status of the first worker when that could not load the application; 79 when requests were cut off; 128
 * + N after a second signal N. */
int supervise(const struct options *o, const struct user *user, const struct command *command);

/* Does what is to be done now. Called before the loop waits. */
void supervisor_look(struct supervisor *s);

/* The server ends: nobody can connect any more where there is a way to say so, socket files go, and workers alone have
 * the sockets from now on, until they have accepted those who wait. */
void supervisor_leave_sockets(struct supervisor *s);

/* "process N" of which worker it is, in front of what the log tells about it. */
#define WORKER_LINE "worker %u (process %d) "
#define WORKER_WORDS(w) (w)->number, (int)(w)->pid

/* The slot of a worker. */
static inline unsigned worker_slot(const struct worker *w) {
    return (unsigned)(w - w->supervisor->workers);
}

/* What the process itself tells there. */
static inline struct scoreboard_slot *worker_score(const struct worker *w) {
    return &w->supervisor->board->slots[worker_slot(w)];
}

/* Whether it has the place of its number: it serves, or is to serve. */
static inline bool worker_is_live(const struct worker *w) {
    return w->state == WORKER_STARTING || w->state == WORKER_LOADED || w->state == WORKER_SERVING;
}

/* Whether the time has come; if not, supervisor_look is wanted then. 0 has always come, UINT64_MAX never does. */
static inline bool supervisor_is_due(struct supervisor *s, uint64_t at, uint64_t now) {
    if (at > now && at < s->look_at)
        s->look_at = at;
    return at <= now;
}

#endif
