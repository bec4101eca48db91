/* Options in the environment: WSGI_FCGI_SOCKET_MODE is --socket-mode.
 *
 * One that may be repeated has all of its values in one variable, with blanks between them; a value that has blanks
 * itself is in double quotes (cli/quote.h). An empty variable is none.
 *
 * Threads: the main thread.
 */
#ifndef WSGI_FCGI_CLI_ENVIRONMENT_H
#define WSGI_FCGI_CLI_ENVIRONMENT_H

#include "cli/settings.h"

#include <stdbool.h>

/* Appends what is in the environment to the settings. Logs what is wrong, each mistake in a line. Returns 0, EX_USAGE or
 * EX_OSERR. */
int environment_read(struct settings *all);

/* Warns of each variable whose name begins like ours and is none, unless it is what Kubernetes makes for a service of
 * that name. */
void environment_warn(void);

/* Variables that programs of the server leave to each other, and those of its tests, without the prefix; NULL is behind
 * the last. No option may have such a name. */
extern const char *const environment_internal[];

#endif
