/* The configuration of this process: the defaults, then the file of --config, then the environment, then the command
 * line. A later layer wins; a list of a later layer replaces that of an earlier one.
 *
 * Threads: called once, by the main thread, before Python is started.
 */
#ifndef WSGI_FCGI_CLI_CONFIGURATION_H
#define WSGI_FCGI_CLI_CONFIGURATION_H

#include "cli/options.h"

#include <stdbool.h>

/* Fills *o; options_resolve comes next. `warns`: whether to log what is no mistake, which one process of a server does.
 *
 * Returns -1 if the program should go on; otherwise the exit status to end with: 0 after --help or --print-config has
 * printed on standard output; after what is wrong was logged, EX_USAGE, EX_CONFIG (in the file), or EX_OSERR (memory has
 * run out, or standard output cannot be written). The caller calls options_fini in every case. argv is permuted (operands
 * go last). */
int configuration_read(struct options *o, int argc, char **argv, bool warns);

#endif
