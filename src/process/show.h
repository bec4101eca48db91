/* Prints what --version and --check show.
 *
 * Threads: the main thread.
 */
#ifndef WSGI_FCGI_PROCESS_SHOW_H
#define WSGI_FCGI_PROCESS_SHOW_H

#include "process/sockets.h"

struct pylane;

/* Prints the version, those of Python and libev, and compile-time choices. Returns the exit status. */
int show_version(void);

/* Prints what was found once the application is loaded. `cwd`: the directory in which it runs. Returns the exit status.
 * GIL held. */
int show_check(const struct sockets *sockets, const struct pylane *python, const char *cwd);

#endif
