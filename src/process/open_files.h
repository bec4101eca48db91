/* Sets the limit of open files, and tells how many connections it allows.
 *
 * Threads: the main thread.
 */
#ifndef WSGI_FCGI_PROCESS_OPEN_FILES_H
#define WSGI_FCGI_PROCESS_OPEN_FILES_H

#include "cli/options.h"

/* Raises the soft limit to what connections need, as far as the hard limit allows, and grows the descriptor table for
 * them. Call it while there is only one thread (base/fdtable.h). */
void open_files_raise(const struct options *o);

/* How many connections may be open: --max-connections, else what the soft limit allows. */
unsigned open_files_connections(const struct options *o);

#endif
