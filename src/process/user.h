/* As whom the server runs: --user and --group, and the environment that goes with them. The supervisor, too, which
 * stays as it is and only looks the names up.
 *
 * Threads: the main thread, while there is only one. No function needs the GIL.
 */
#ifndef WSGI_FCGI_PROCESS_USER_H
#define WSGI_FCGI_PROCESS_USER_H

#include "cli/options.h"

#include <stdbool.h>
#include <sys/types.h>

struct user {
    bool changes; /* the process is somebody else now; if not, the rest is what it is already */
    uid_t uid;
    gid_t gid;
    gid_t *groups; /* all of them */
    size_t ngroups;
    char *name, *home; /* NULL: the user has only a number */
};

/* Looks up whom the options name, and whether this process may become that one. Opens and changes nothing. Returns 0;
 * or a sysexits status after printing: EX_NOUSER, EX_NOPERM, or EX_OSERR. The caller calls user_fini in either case. */
int user_read(struct user *u, const struct options *o);

void user_fini(struct user *u);

/* Who is to have files that the server makes; -1: who makes them. */
uid_t user_owner(const struct user *u);
gid_t user_owning_group(const struct user *u);

/* Has the system decide about files as for that user from now on (`as`), or as before. Returns 0, or EX_OSERR after
 * printing. */
int user_act_as(const struct user *u, bool as);

/* Becomes that user for good, with its groups and without capabilities, and sets the environment: HOME, USER and
 * LOGNAME if --user was given, then what --env says. Returns 0, or EX_OSERR after printing. */
int user_become(const struct user *u, const struct options *o);

/* As kill(2), with no more rights than that user has: to a process whose number somebody has told who runs as the user.
 * The main thread, also beside others. */
int user_kill(const struct user *u, pid_t pid, int number);

/* Warns when this process, which stays as it is, will not be allowed to kill those that become the user. */
void user_warn_supervisor(const struct user *u);

/* Warns when the application is going to run as root and nobody has said so. */
void user_warn_root(const struct options *o);

#endif
