/* Checks the directories that options name before sockets are opened and Python starts, so that mistakes show at once.
 *
 * Threads: the main thread.
 */
#ifndef WSGI_FCGI_PROCESS_DIRECTORIES_H
#define WSGI_FCGI_PROCESS_DIRECTORIES_H

#include "cli/options.h"

#include <limits.h>

/* Changes to the directory of --chdir, and checks those of --pythonpath (only with a warning) and --spool-dir; that of
 * --venv is checked when Python starts (python/venv.h). Writes the path of the current directory to `cwd`. Looks with the
 * effective rights of the process. Returns 0, or a sysexits status after printing. */
int directories_check(const struct options *o, char cwd[static PATH_MAX]);

#endif
