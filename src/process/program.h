/* What a process does from its command line to its exit status, whether it is a program that embeds Python or a Python that
 * has imported the server (src/extension).
 *
 * Open it for what comes before Python, and for what decides between a supervisor, a worker and a process of its own.
 *
 * Threads: the main thread.
 */
#ifndef WSGI_FCGI_PROCESS_PROGRAM_H
#define WSGI_FCGI_PROCESS_PROGRAM_H

struct interp_life;

/* Returns the exit status: one of sysexits after printing, or what serve says. `argv` is the command line with a
 * terminating NULL, which may be put in another order, and which stays until the process ends. `life`: where Python comes
 * from. Call it once. The GIL is held if Python runs, on entry and on return. */
int program_main(int argc, char **argv, const struct interp_life *life);

#endif
