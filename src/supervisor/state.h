/* What a supervisor leaves to the program that it executes under its own pid, at a reload: a file in memory
 * (memfd_create(2)), sealed, whose number is in the environment variable STATE_ENV. Everything that it names stays open
 * across the execution: sockets, the scoreboard, the pair of each worker.
 *
 * The reader may be of another version of the program than the writer. So the file is a sequence of records, each with
 * a type and a length: unknown types, and what is longer than it was, are passed over. STATE_VERSION changes only when
 * an older reader would go wrong.
 *
 * Nothing in it is believed: neither lengths nor numbers of descriptors.
 *
 * Threads: one.
 */
#ifndef WSGI_FCGI_SUPERVISOR_STATE_H
#define WSGI_FCGI_SUPERVISOR_STATE_H

#include "ipc/control.h"
#include "ipc/scoreboard.h"
#include "net/listen/listener.h"
#include "process/supervise.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Which variable has the number of the file. */
#define STATE_ENV SUPERVISE_STATE_ENV
#define STATE_CHECK SUPERVISE_STATE_CHECK

enum { STATE_VERSION = 1, STATE_REASON_SIZE = 128 };

/* Times are clock_ns of base/clock.h, which goes on across executions. */
struct state_worker {
    uint32_t slot, number;
    uint64_t generation;
    pid_t pid;
    uint32_t phase; /* enum worker_state of supervisor.h */
    uint32_t wish;  /* enum worker_wish */
    uint64_t started_at, served_at, retire_at, wished_at, kill_at;
    uint32_t peers_told;
    uint32_t flags; /* a set of STATE_* */
    int control;    /* -1: closed */
};

enum {
    STATE_GREETED = 1,
    STATE_RETIRE_DUE = 2,
    STATE_STOP_DUE = 4,
    STATE_REOPEN_DUE = 8,
    STATE_KILLED = 16,
    STATE_REPLACES = 32,
    STATE_MEMORY_TOLD = 64
};

/* A process that forks workers; there is one for each generation that has some. */
struct state_zygote {
    uint64_t generation;
    pid_t pid;
    uint32_t phase;
    int control;
};

enum { STATE_ZYGOTES = 16 };

struct state {
    char *program;       /* absolute path of what workers execute */
    uint64_t generation; /* of the workers that were started last */
    uint32_t chosen;     /* how many workers there were to be as the options said, */
    uint32_t count;      /* and as signals have changed that */
    int scoreboard;
    int shared[CONTROL_MEMORY_COUNT]; /* by enum control_memory; -1: none */
    int queue[2];                     /* the end to send, the end to receive */
    int wake[SCOREBOARD_SLOTS];       /* the eventfd of each slot that was ever used: */
    uint32_t nwake;                   /* of slots 0 to N-1 */
    int pid_file;                     /* which is open and locked; -1: none */
    char *pid_file_path;              /* absolute; NULL: none */
    struct listener *listeners;       /* `owner`: the process that reads the state, or 0 */
    size_t nlisteners;
    struct state_worker workers[SCOREBOARD_SLOTS];
    size_t nworkers;
    struct state_zygote zygotes[STATE_ZYGOTES];
    size_t nzygotes;
};

/* Makes an empty one, without descriptors. */
void state_init(struct state *s);

/* Adds a copy of *l, whose descriptor stays the caller's. Returns 0, or -1 with errno ENOMEM. */
int state_add_listener(struct state *s, const struct listener *l);

/* Frees the memory; closes nothing. */
void state_fini(struct state *s);

/* Writes the state to a sealed file in memory. Returns its descriptor, which is close-on-exec and one of the server's
 * (base/descriptors.h); or -1 with errno. */
int state_write(const struct state *s);

/* Reads it again. Returns 0; or -1 with what is wrong in `reason`, and *s empty. In either case the caller calls
 * state_fini. The descriptors are looked at: each is open, has one role only, and is of the kind that this role needs.
 * They stay as they are, close-on-exec or not, and are not adopted (base/descriptors.h). */
int state_read(int fd, struct state *s, char reason[static STATE_REASON_SIZE]);

/* The first half of state_read: what the bytes say, without a look at the descriptors. */
int state_decode(const char *bytes, size_t n, struct state *s, char reason[static STATE_REASON_SIZE]);

/* Calls `visit` for each descriptor that the state names. */
void state_visit(const struct state *s, void (*visit)(int fd, void *arg), void *arg);

/* Makes all of them close-on-exec, and the server's. Returns 0, or -1 with errno ENOMEM. */
int state_adopt(const struct state *s);

/* Lets all these descriptors stay open in the program that is executed next, or not (close-on-exec). */
void state_pass_on(const struct state *s, bool pass_on);

#endif
