/* Checks the options before anything is opened and Python starts, so that mistakes show at once.
 *
 * Threads: the main thread.
 */
#ifndef WSGI_FCGI_PROCESS_DIRECTORIES_H
#define WSGI_FCGI_PROCESS_DIRECTORIES_H

#include "cli/options.h"

#include <limits.h>

/* Changes to the directory of --chdir, and checks everything that the options name. Writes the path of the directory to
 * `cwd`. Returns 0, or a sysexits status after printing. */
int directories_check(const struct options *o, char cwd[static PATH_MAX]);

#endif
