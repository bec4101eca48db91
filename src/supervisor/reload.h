/* SIGHUP: another generation of workers, by the program file and the application as they are now.
 *
 * 1. A child executes the program file and is told to check only (STATE_CHECK): the program can be loaded, reads the
 *    command line and the state, and could open its sockets. If not, the reload has failed, and nothing has changed.
 * 2. The supervisor executes the program file itself: same process, same descriptors, same workers (reload_resume).
 * 3. It starts one worker of the new generation, number 0. If that ends before it serves, the reload has failed. Else
 *    it starts the others, and only when all of them serve, the workers of older generations retire. When none of
 *    these accepts connections any more, the reload is complete: whoever connects then meets the new application.
 *
 * A reload that has failed leaves the old workers as they were, and the log says why. The supervisor may be of the new
 * program by then. An old worker that ends later is replaced by one of the new program, as there is no other; with
 * --preload the old zygote forks it.
 *
 * A signal that comes meanwhile is remembered: one more reload follows. A signal that ends the server ends that too.
 *
 * Threads: the main thread.
 */
#ifndef WSGI_FCGI_SUPERVISOR_RELOAD_H
#define WSGI_FCGI_SUPERVISOR_RELOAD_H

#include "cli/options.h"
#include "net/listen/listener.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct supervisor;
struct user;
struct worker;

enum reload_phase {
    RELOAD_NONE,
    RELOAD_CHECKING,  /* step 1 */
    RELOAD_EXECUTING, /* step 2 is due */
    RELOAD_STARTING   /* step 3 */
};

struct reload {
    enum reload_phase phase;
    pid_t check;               /* the child of step 1; 0: none */
    uint64_t give_up_at;       /* it is killed then */
    bool first_started;        /* the first worker of step 3 */
    bool proved;               /* some worker of step 3 has served */
    uint64_t first_started_at; /* clock_ns */
    uint64_t old_until;        /* clock_ns: old workers, which retire, are waited for until then; 0: they do not yet */
    bool again;                /* SIGHUP has come meanwhile */
    int config;                /* the configuration file that is checked, in sealed memory; -1: none */
    struct listener_set left;  /* what older generations listen on, and this one does not */
};

/* What a supervisor is executed for. */
enum reload_role {
    RELOAD_FIRST,  /* to begin */
    RELOAD_CHECK,  /* to tell whether it could go on */
    RELOAD_RESUME, /* to go on */
    RELOAD_UNKNOWN /* after one log_error line: STATE_ENV has no such value */
};

/* Looks at STATE_ENV (supervisor/state.h) and removes it. *fd: the state, unless it is to begin. */
enum reload_role reload_find(int *fd);

/* RELOAD_CHECK. Returns the exit status; what is wrong is logged. */
int reload_check(const struct options *o, const struct user *user, int fd);

/* RELOAD_RESUME: fills *s, whose loop, options and program are there, from the state, and closes `fd`.
 * `readable`: what the options say about sockets could be read, by sockets_read. Returns 0; or a sysexits status after
 * one log_error line, when it cannot go on. A reload that has failed is no such error. */
int reload_resume(struct supervisor *s, int fd, bool readable);

/* SIGHUP: loads application and program anew, now or when what has begun has come to its end. */
void reload_ask(struct supervisor *s);

/* A child has ended. Returns whether it was that of step 1. */
bool reload_reaped(struct supervisor *s, pid_t pid, int status);

/* A worker that nobody has told to end has ended, with `status` of wait(2). Returns whether the reload has failed by
 * that, which is logged then; otherwise it is an end like others. */
bool reload_failed_by(struct supervisor *s, const struct worker *w, int status);

/* A worker has begun to serve. */
void reload_served(struct supervisor *s, const struct worker *w);

/* Whether a new generation is being started: then reload_look starts workers, and nobody else does. */
bool reload_is_starting(const struct supervisor *s);

/* What is to be done now; called from supervisor_look unless the server stops. May not return: step 2. */
void reload_look(struct supervisor *s, uint64_t now);

/* The server stops. */
void reload_stop(struct supervisor *s);

/* Closes what is left. */
void reload_fini(struct supervisor *s);

#endif
