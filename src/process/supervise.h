/* Becomes the supervisor of workers: a program of its own, because a process with libpython in it, even if it never
 * starts Python, has three times the memory.
 *
 * Threads: the main thread.
 */
#ifndef WSGI_FCGI_PROCESS_SUPERVISE_H
#define WSGI_FCGI_PROCESS_SUPERVISE_H

/* The absolute path of the program that workers execute. Not for the application: the supervisor removes it. */
#define SUPERVISE_PROGRAM_ENV "WSGI_FCGI_PROGRAM"

/* Executes wsgi-fcgi-supervisor with the same command line in this process: the one beside the file of this program, or
 * else the one that was installed. Workers are to execute the path by which this program was executed, so that a reload
 * finds what has replaced it. Returns EX_OSERR after printing, if it cannot. */
int supervise_execute(char *const *argv);

#endif
