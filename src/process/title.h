/* What ps(1) shows for a process of a server with workers: "wsgi-fcgi: worker 2 (retiring)" in place of the command
 * line, which is the same for all of them. A single process keeps its own; the application may change that one
 * (setproctitle), for which its memory stays as it is.
 *
 * Threads: one at a time.
 */
#ifndef WSGI_FCGI_PROCESS_TITLE_H
#define WSGI_FCGI_PROCESS_TITLE_H

/* Finds the memory of the command line: `argv` as main has got it, whose strings the title will overwrite. The caller
 * makes copies of what it needs. Main thread, before anything changes argv or the environment. */
void title_init(int argc, char *const *argv);

/* The same where nobody has got it, but Python: the kernel tells where it is. `name` is what stands for argv[0]. Without
 * /proc there will be no title. */
void title_find(const char *name);

/* Shows "NAME: ROLE", or "NAME: ROLE (STATE)", where NAME is the last component of argv[0]; `state` may be NULL. The
 * first call may move the environment, while there is only one thread; later ones are for any thread. A title for which
 * there is no memory is cut. */
void title_set(const char *role, const char *state);

/* The same for worker `number`. */
void title_set_worker(unsigned number, const char *state);

/* Gives the main thread, and so the process, the name "wsgi-fcgi-wN", which top(1) shows. Main thread. */
void title_name_worker(unsigned number);

#endif
