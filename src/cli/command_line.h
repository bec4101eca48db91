/* Reads the command line.
 *
 * Threads: called once, by the main thread, before Python is started.
 */
#ifndef WSGI_FCGI_CLI_COMMAND_LINE_H
#define WSGI_FCGI_CLI_COMMAND_LINE_H

#include "cli/settings.h"

#include <stdbool.h>

/* Appends what is on the command line to the settings, which point to its words. `warns`: whether to log what is no
 * mistake.
 *
 * Returns -1 if the program should go on; otherwise the exit status to end with: 0 after --help was printed on standard
 * output, EX_USAGE after the mistake was logged, EX_OSERR when memory ran out or standard output could not be written.
 * argv is permuted (operands go last). */
int command_line_read(struct settings *all, int argc, char **argv, bool warns);

#endif
