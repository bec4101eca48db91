/* What the supervisor executes: for each worker, to check whether a reload can go on, and in its own process then.
 *
 * Usually all of these are one program with the command line of the server. With an interpreter its own words stand in
 * front (process/supervise.h), and a reload executes the file of the supervisor in its own process, not the interpreter,
 * which reads many files before it comes to anything of this server: if they were just being replaced, it would fail
 * when all that the supervisor knows is gone. The check has run it before, in a child. So the name and the place of that
 * file are part of what versions have in common.
 *
 * Threads: the main thread.
 */
#ifndef WSGI_FCGI_SUPERVISOR_COMMAND_H
#define WSGI_FCGI_SUPERVISOR_COMMAND_H

struct command {
    char *file;        /* absolute; what workers execute */
    char **argv;       /* with this; where there are words, the first one is `file` */
    int words;         /* how many of them, behind the first one, stand before the options of the server */
    char *name;        /* as which the server was executed */
    char *own;         /* absolute; the file of the supervisor */
    const char *shown; /* what to look at, when it does not run: `file`, or the last of the words */
};

/* Takes it from the environment, where nobody else is to see it, and from the command line, which it copies: getopt_long(3)
 * changes the order, and a title is written over what the system has put there (process/title.h). From then on *argc and
 * *argv are the server's command line alone, and refer to the copy. Returns 0, or a sysexits status after printing; in
 * either case the caller calls command_fini. */
int command_take(struct command *p, int *argc, char ***argv);

void command_fini(struct command *p);

/* Whether there is something to execute. Returns 0, or an errno. */
int command_look(const struct command *p);

/* The file that command_execute executes. */
const char *command_of_reload(const struct command *p);

/* Executes it in this process, which finds its state by the environment. Returns an errno. */
int command_execute(const struct command *p);

#endif
