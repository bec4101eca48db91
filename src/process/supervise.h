/* Becomes the supervisor of workers: a program of its own, because a process with libpython in it, even if it never
 * starts Python, has three times the memory.
 *
 * Threads: the main thread.
 */
#ifndef WSGI_FCGI_PROCESS_SUPERVISE_H
#define WSGI_FCGI_PROCESS_SUPERVISE_H

#include "cli/config_file.h"

/* The absolute path of the program that workers execute; and how many words of the command line, behind its first one,
 * are those of an interpreter, before the options of the server. Not for the application: the supervisor removes them. */
#define SUPERVISE_PROGRAM_ENV "WSGI_FCGI_PROGRAM"
#define SUPERVISE_WORDS_ENV "WSGI_FCGI_PROGRAM_WORDS"

/* What a supervisor leaves to the program that it executes at a reload: the number of a file (supervisor/state.h); behind
 * SUPERVISE_STATE_CHECK if the program is only to tell, by its exit status and in the log, whether it could go on from
 * there. Whoever reads the variable removes it. */
#define SUPERVISE_STATE_ENV "WSGI_FCGI_STATE"
#define SUPERVISE_STATE_CHECK "check:"

/* What this process was executed for. */
enum supervise_role {
    SUPERVISE_FIRST, /* nothing of the kind */
    SUPERVISE_CHECK, /* a reload, to tell whether it could go on */
    SUPERVISE_GO_ON, /* a reload */
};

enum supervise_role supervise_role(void);

/* For what is no program of its own, but a module in an interpreter: workers are to execute `words`, up to a NULL, before
 * the options. The first one is the absolute path of the interpreter, the last one that of the file which it runs, beside
 * which the supervisor lies. They stay the caller's, as long as the process. */
void supervise_by(char *const *words);

/* Executes wsgi-fcgi-supervisor with the same command line in this process: the one beside the file of this program, or
 * else the one that was installed. Workers are to execute the path by which this program was executed, so that a reload
 * finds what has replaced it. It gets the bytes of the configuration file as well. Returns EX_OSERR after printing, if it
 * cannot. */
int supervise_execute(const struct config_file *config, char *const *argv);

#endif
